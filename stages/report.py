"""Write one page about all data sets: those of this run and those that come with the repository."""

import csv
from pathlib import Path

from catwise.config import params
from catwise.pipeline.environment import processor, versions
from catwise.pipeline.files import read_json, write_whole
from catwise.pipeline.results import Results, run_and_carried
from catwise.pipeline.stage import run
from catwise.report.benchmarks import benchmarks
from catwise.report.page import Chapter, Drawing, Page, render

REPORTS = Path("reports")


def main() -> None:
    loaded = params.load()
    measured = {
        path.stem: read_json(path) for path in sorted((REPORTS / "benchmarks").glob("*.json"))
    }
    with Path("docs", "differences.csv").open(newline="") as file:
        _, *differences = csv.reader(file)
    here = loaded.run.datasets
    threads = ", ".join(f"{name} {loaded.datasets[name].threads}" for name in here)
    page = Page(
        chapters=[chapter(results) for results in run_and_carried(loaded)],
        claims=read_json(REPORTS / "claims.json"),
        benchmarks=benchmarks(measured),
        differences=differences,
        environment=[["processor", processor()], *versions().items(), ["threads", threads]],
    )
    text = render(page)
    write_whole(REPORTS / "index.html", lambda scratch: scratch.write_text(text))


def chapter(results: Results) -> Chapter:
    """Put the drawings of a data set beside its results."""
    folder = REPORTS / ("carried" if results.provenance else "figures") / results.dataset
    captions = read_json(folder / "captions.json")
    drawings = {
        name: Drawing((folder / name).read_bytes(), **words) for name, words in captions.items()
    }
    return Chapter(results, drawings)


if __name__ == "__main__":
    run(main, __doc__)
