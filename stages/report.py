"""Write one page over all data sets: of this run, and those that were measured once and are carried in git."""

import csv
from pathlib import Path
from typing import Any

from catwise import charts, digest, params, plots
from catwise.report import Chapter, Cost, costs, render, speeds
from stages.io import read_json, run, written
from stages.results import Place, live, made, measured, names, record

STAGES = ("train", "influence", "fidelity", "removal", "ceiling", "reweight")  # those that write a metrics.json


def main() -> None:
    template = Path("catwise", "report.html").read_text()
    bench, ranking, training = (read_json(Path("reports", f"{name}.json")) for name in ("bench", "ranking", "training"))
    drawn = charts.benchmark(bench, ranking)
    cost = Cost(costs(bench), speeds(training), plots.png(drawn.figure), drawn.title, drawn.caption, drawn.alt)
    here = params.load().run.datasets
    chapters = {name: chapter(live(name), Path("reports", "figures", name)) for name in here}
    for name in names():
        if name not in here:
            chapters[name] = chapter(measured(name), Path("reports", "figures_measured", name), record(name))
    page = render(template, chapters, cost)
    written(Path("reports", "index.html"), lambda scratch: scratch.write_text(page))


def chapter(place: Place, figures: Path, about: dict[str, Any] | None = None) -> Chapter:
    captions = read_json(made(figures / "captions.json"))
    return Chapter(
        card=read_json(place("data") / "card.json"),
        metrics={stage: read_json(path) for stage in STAGES if (path := place(stage) / "metrics.json").exists()},
        ceiling=read_json(place("ceiling") / "ceiling.json"),
        figures={name: (figures / name).read_bytes() for name in captions},
        captions=captions,
        diagonal=read_rows(place("removal") / "experiment" / "diagonal.csv"),
        measured=about,
        reweight=digest.digest(read_rows(place("reweight") / "table.csv")),
        printed=digest.layout(read_rows(place("reweight") / "printed.csv")),
    )


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table that only some data sets have."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    run(main, __doc__)
