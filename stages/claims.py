"""Judge each claim of the paper by the reports of this run and of what was measured once."""

from pathlib import Path
from typing import Any

import pandas as pd

from catwise.claims.evidence import Evidence, size
from catwise.claims.judge import RULES, claims
from catwise.config import params
from catwise.pipeline.files import read_json, read_npz, write_json
from catwise.pipeline.results import Place, live, made, measured, names, record
from catwise.pipeline.stage import run

BENCHMARK = Path("reports", "benchmarks", "hit_rates.json")  # of `make bench`; there may be none
TEXT = {"class": str, "target": str}  # names of classes; those of digits look like numbers
TABLES = {  # of the removal stage, by its method
    "trimming": ("rounds",),
    "top_share": ("changes", "correlations", "diagonal"),
}


def main() -> None:
    datasets = {name: section.model_dump() for name, section in params.load().datasets.items()}
    here = params.load().run.datasets
    found = [evidence(name, live(name), datasets[name], datasets) for name in here]
    carried = [name for name in names() if name not in here]
    found += [
        evidence(name, measured(name), record(name)["parameters"], datasets) for name in carried
    ]
    benchmark = read_json(BENCHMARK) if BENCHMARK.exists() else None
    rows = [claim.record() for claim in claims(found, benchmark)]
    write_json(Path("reports", "claims.json"), {"rules": RULES, "claims": rows})


def evidence(
    name: str, place: Place, parameters: dict[str, Any], datasets: dict[str, Any]
) -> Evidence:
    """The reports of a data set, of the stages whose folder is there."""
    card = read_json(made(place("data") / "card.json"))
    full = None if card["source"] == "digits" else datasets.get(card["source"])
    readers = {"influence": vectors, "removal": removal, "ceiling": ceiling, "reweight": reweight}
    stages = {
        stage: read(place, parameters) for stage, read in readers.items() if place(stage).exists()
    }
    words, reduced = size(card, parameters, full)
    return Evidence(name, card["source"], tuple(card["classes"]), words, reduced, stages)


def vectors(place: Place, parameters: dict[str, Any]) -> dict[str, Any]:
    arrays = read_npz(made(place("data") / "arrays.npz"))
    p_nk = read_npz(made(place("influence") / "vectors.npz"))["P"].astype(float)
    return {"P": p_nk, "y": arrays["train/y"], "flipped": arrays["flipped"]}


def removal(place: Place, parameters: dict[str, Any]) -> dict[str, Any]:
    tables = TABLES[parameters["removal"]["method"]]
    return {name: read(place("removal") / "experiment" / f"{name}.csv") for name in tables}


def ceiling(place: Place, parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        name: read_json(made(place("ceiling") / f"{name}.json")) for name in ("ceiling", "metrics")
    }


def reweight(place: Place, parameters: dict[str, Any]) -> dict[str, Any]:
    seeds = (parameters["reweight"] or {"seeds": 0})["seeds"]
    return {"seeds": seeds} | {
        name: read(place("reweight") / f"{name}.csv") for name in ("table", "printed")
    }


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(made(path), dtype=TEXT)


if __name__ == "__main__":
    run(main, __doc__)
