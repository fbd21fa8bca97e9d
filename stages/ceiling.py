"""Check the ceiling at each checkpoint: four figures with intervals, a null, and the decision."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from catwise.ceiling.crossfit import permutation_null
from catwise.ceiling.verdict import CeilingCheck, check_ceiling
from catwise.core.errors import InputError
from catwise.core.progress import progress
from catwise.pipeline.files import folder, read_json, read_npz, write_csv, write_json
from catwise.pipeline.stage import run, settings

FIGURES = ("first_component_ratio", "smallest_share", "headroom", "crossfitted")
NULLS = ("headroom", "crossfitted")  # the columns of the null


def main(dataset: str) -> None:
    section = settings(dataset).ceiling
    classes = read_json(Path("data", dataset, "card.json"))["classes"]
    out = folder("reports", "ceiling", dataset)
    bins = Path("reports", "influence", dataset, "bins")
    paths = sorted(bins.glob("epoch_*.npz"))
    if not paths:
        raise InputError(
            f"{bins}: expected the vectors of each checkpoint; got none; run `dvc repro`"
        )
    epochs = []
    for path in progress(paths, f"ceiling {dataset}"):
        p_nkb = read_npz(path)["P"].astype(np.float64)
        check = check_ceiling(p_nkb, classes)
        rng = np.random.default_rng(section.seed)
        null = permutation_null(p_nkb, section.permutations, rng)
        epoch = int(path.stem.removeprefix("epoch_"))
        epochs.append({"epoch": epoch, **check_record(check), "null": null_record(null)})
    last = {key: value for key, value in epochs[-1].items() if key != "epoch"}
    write_csv(out / "epochs.csv", [row for epoch in epochs for row in figure_rows(epoch)])
    write_json(out / "ceiling.json", {**last, "epochs": epochs})
    summary = {name: last[name]["value"] for name in FIGURES}
    summary |= {f"crossfitted_{end}": last["crossfitted"][end] for end in ("low", "high")}
    summary |= {name: last[name] for name in ("room", "exchange_rate")}
    write_json(out / "metrics.json", summary)


def check_record(check: CeilingCheck) -> dict[str, Any]:
    """Return the check of one checkpoint as JSON: each figure is {value, low, high}."""
    return {
        **{name: asdict(getattr(check, name)) for name in FIGURES},
        "room": int(check.room),
        "blocking": list(check.blocking),
        "exchange_rate": check.exchange_rate,
        "exchange": dict(zip(check.classes, check.exchange_k.tolist(), strict=True)),
        "gap": check.gap,
    }


def null_record(null: np.ndarray) -> dict[str, dict[str, float]]:
    """Return median and 95 % quantiles of each column of the null, {middle, low, high}."""
    quantiles = np.quantile(null, (0.5, 0.025, 0.975), axis=0).T.tolist()
    return {
        name: dict(zip(("middle", "low", "high"), values, strict=True))
        for name, values in zip(NULLS, quantiles, strict=True)
    }


def figure_rows(epoch: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row for each figure of a checkpoint, with the null where it has one."""
    rows = []
    for name in FIGURES:
        null = epoch["null"].get(name, {})
        ends = {f"null_{end}": null.get(end) for end in ("middle", "low", "high")}
        rows.append({"epoch": epoch["epoch"], "figure": name, **epoch[name], **ends})
    return rows


if __name__ == "__main__":
    run(main, __doc__)
