"""Write one page over all data sets: of this run, and those that were measured once and are carried in git."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from catwise.config import params
from catwise.data import wordpiece
from catwise.pipeline.environment import processor, versions
from catwise.pipeline.files import read_json, read_npz, write_whole
from catwise.pipeline.results import Place, live, made, measured, names, record
from catwise.pipeline.stage import run
from catwise.report.benchmarks import benches
from catwise.report.page import Chapter, Page, render
from catwise.report.sample_browser import Seen

STAGES = (
    "train",
    "influence",
    "fidelity",
    "removal",
    "ceiling",
    "reweight",
)  # those that write a metrics.json
BENCHMARKS = Path("reports", "benchmarks")
TABLES = {
    "diagonal": ("removal", "experiment", "diagonal.csv"),
    "rounds": ("removal", "experiment", "rounds.csv"),
    "table": ("reweight", "table.csv"),
    "printed": ("reweight", "printed.csv"),
    "room": ("reweight", "room.csv"),
}


def main() -> None:
    loaded = params.load()
    here = {name: loaded.datasets[name] for name in loaded.run.datasets}
    chapters = {
        name: chapter(live(name), Path("reports", "figures", name), section.model_dump())
        for name, section in here.items()
    }
    for name in names():
        if name not in here:
            about = record(name)
            drawn = Path("reports", "carried", name)
            chapters[name] = chapter(measured(name), drawn, about["parameters"], about)
    threads = ", ".join(f"{name} {section.threads}" for name, section in here.items())
    page = Page(
        chapters,
        read_json(made(Path("reports", "claims.json"))),
        benches({path.stem: read_json(path) for path in sorted(BENCHMARKS.glob("*.json"))}),
        [
            [row["what"], row["paper"], row["here"]]
            for row in read_rows(Path("docs", "differences.csv"))
        ],
        [["processor", processor()], *map(list, versions().items()), ["threads", threads]],
    )
    text = render(page)
    write_whole(Path("reports", "index.html"), lambda scratch: scratch.write_text(text))


def chapter(
    place: Place, figures: Path, parameters: dict[str, Any], about: dict[str, Any] | None = None
) -> Chapter:
    captions = read_json(made(figures / "captions.json"))
    card = read_json(place("data") / "card.json")
    return Chapter(
        card=card,
        parameters=parameters,
        metrics={
            stage: read_json(path)
            for stage in STAGES
            if (path := place(stage) / "metrics.json").exists()
        },
        ceiling=read_json(place("ceiling") / "ceiling.json"),
        figures={name: (figures / name).read_bytes() for name in captions},
        captions=captions,
        seen=seen(place, tuple(card["classes"])),
        measured=about,
        tables={
            name: read_rows(place(stage).joinpath(*path)) for name, (stage, *path) in TABLES.items()
        },
    )


def seen(place: Place, classes: tuple[str, ...]) -> Seen:
    """The training samples; of a carried data set neither images nor texts are there."""
    arrays = read_npz(made(place("data") / "arrays.npz"))
    p_nk = read_npz(made(place("influence") / "vectors.npz"))["P"].astype(np.float64)
    said = read_npz(path) if (path := place("train") / "predicted.npz").exists() else {}
    x = arrays.get("train/x")
    shown: dict[str, Any] = {}
    if x is not None and x.ndim == 4:
        shown = {"images": x}
    elif x is not None and np.issubdtype(x.dtype, np.integer):
        shown = {"texts": wordpiece.decode((place("data") / "tokenizer.json").read_text(), x)}
    elif x is not None:
        shown = {"points": x}
    shown |= {"predicted_n": said.get("label"), "probability_n": said.get("probability")}
    return Seen(p_nk, arrays["train/y"], arrays["flipped"], classes, **shown)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table that only some data sets have."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    run(main, __doc__)
