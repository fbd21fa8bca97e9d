"""Check the results that come with the repository, and draw their figures."""

from catwise.figures.gallery import draw
from catwise.pipeline.files import folder, write_json
from catwise.pipeline.pictures import write_pictures
from catwise.pipeline.provenance import check
from catwise.pipeline.results import Results, names, record
from catwise.pipeline.stage import run


def main() -> None:
    out = folder("reports", "carried")
    checked: dict[str, int] = {}
    for dataset in names():
        sums = record(dataset)["sha256"]
        check(dataset, sums)
        write_pictures(folder(str(out), dataset), draw(Results.carried(dataset)))
        checked[dataset] = len(sums)
    write_json(out / "checked.json", checked)  # the number of files; DVC warns of an empty folder


if __name__ == "__main__":
    run(main, __doc__)
