"""Check the results that come with the repository, and draw their figures."""

from catwise.figures.gallery import draw, write
from catwise.pipeline.files import folder, write_json
from catwise.pipeline.provenance import check
from catwise.pipeline.results import measured, names, record
from catwise.pipeline.stage import run


def main() -> None:
    out = folder("reports", "carried")
    checked: dict[str, int] = {}
    for dataset in names():
        about = record(dataset)
        check(dataset, about["sha256"])
        figures, removal = (about["parameters"][section] for section in ("figures", "removal"))
        pictures = draw(measured(dataset), tuple(figures["classes"]), removal["method"])
        write(folder(str(out), dataset), pictures)
        checked[dataset] = len(about["sha256"])
    write_json(out / "checked.json", checked)  # the number of files; DVC warns of an empty folder


if __name__ == "__main__":
    run(main, __doc__)
