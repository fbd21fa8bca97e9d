"""Check the results that come with the repository, and draw their figures."""

from pathlib import Path

from catwise.figures.gallery import draw
from catwise.pipeline.files import folder, write_json
from catwise.pipeline.pictures import write_pictures
from catwise.pipeline.results import Results, check, names, record
from catwise.pipeline.stage import run
from catwise.pipeline.workers import pool, worker_count


def main() -> None:
    out, datasets = folder("reports", "carried"), names()
    with pool("cpu", 1, max(1, min(worker_count("cpu", 1), len(datasets)))) as spread:
        counts = list(spread(check_and_draw, [(dataset, out) for dataset in datasets]))
    # the number of files; DVC warns of an empty folder
    write_json(out / "checked.json", dict(zip(datasets, counts, strict=True)))


def check_and_draw(dataset: str, out: Path) -> int:
    """Check the carried files of a data set, draw its figures, and return how many files."""
    sums = record(dataset)["sha256"]
    check(dataset, sums)
    write_pictures(folder(str(out), dataset), draw(Results.carried(dataset)))
    return len(sums)


if __name__ == "__main__":
    run(main, __doc__)
