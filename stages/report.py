"""Write one page over all data sets."""

from pathlib import Path

from catwise import charts, params, plots
from catwise.report import Chapter, Cost, costs, render
from stages.io import read_json, run, written

MEASURED = ("train", "influence", "fidelity", "removal", "ceiling")


def main() -> None:
    template = Path("catwise", "report.html").read_text()
    bench, ranking = (read_json(Path("reports", f"{name}.json")) for name in ("bench", "ranking"))
    drawn = charts.benchmark(bench, ranking)
    cost = Cost(costs(bench), plots.png(drawn.figure), drawn.title, drawn.caption, drawn.alt)
    page = render(template, {dataset: chapter(dataset) for dataset in params.load().run.datasets}, cost)
    written(Path("reports", "index.html"), lambda scratch: scratch.write_text(page))


def chapter(dataset: str) -> Chapter:
    figures = Path("reports", "figures", dataset)
    captions = read_json(figures / "captions.json")
    return Chapter(
        card=read_json(Path("data", dataset, "card.json")),
        metrics={stage: read_json(Path("reports", stage, dataset, "metrics.json")) for stage in MEASURED},
        ceiling=read_json(Path("reports", "ceiling", dataset, "ceiling.json")),
        figures={name: (figures / name).read_bytes() for name in captions},
        captions=captions,
    )


if __name__ == "__main__":
    run(main, __doc__)
