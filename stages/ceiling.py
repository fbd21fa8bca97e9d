"""Check the performance ceiling at each checkpoint: four figures with intervals, a null, and a verdict in words."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from catwise.ceiling import crossfit, verdict
from catwise.core.errors import InputError
from catwise.core.progress import progress
from catwise.pipeline.files import folder, read_json, read_npz, write_csv, write_json, write_npz
from catwise.pipeline.stage import run, settings

FIGURES = ("first_component_ratio", "smallest_share", "headroom", "crossfitted")


def main(dataset: str) -> None:
    parameters = settings(dataset)
    classes = tuple(read_json(Path("data", dataset, "card.json"))["classes"])
    out = folder("reports", "ceiling", dataset)
    binned = Path("reports", "influence", dataset, "bins")
    paths = sorted(binned.glob("epoch_*.npz"))
    if not paths:
        raise InputError(
            f"{binned}: expected the vectors of each checkpoint; got none; run `dvc repro`"
        )
    epochs = []
    for path in progress(paths, f"ceiling {dataset}"):
        p_nkb = read_npz(path)["P"].astype(np.float64)
        found = verdict.check_ceiling(p_nkb)
        rng = np.random.default_rng(parameters.ceiling.seed)
        null = crossfit.permutation_null(p_nkb, parameters.ceiling.permutations, rng)
        epochs.append(described(int(path.stem.removeprefix("epoch_")), found, null, classes))
    write_csv(out / "epochs.csv", [row for epoch in epochs for row in rows(epoch)])
    last = epochs[-1]
    write_json(
        out / "ceiling.json",
        {**{key: last[key] for key in last if key != "epoch"}, "epochs": epochs},
    )
    write_npz(out / "direction.npz", delta=found.direction_n)
    flat = {name: last[name]["value"] for name in FIGURES} | {
        "crossfitted_low": last["crossfitted"]["low"],
        "crossfitted_high": last["crossfitted"]["high"],
        "room": int(last["room"]),
        "verdict": last["verdict"],
    }
    write_json(out / "metrics.json", flat)


def described(
    epoch: int, found: verdict.CeilingCheck, null: np.ndarray, classes: tuple[str, ...]
) -> dict[str, Any]:
    """One checkpoint as JSON: a figure is {value, low, high}, a null {middle, low, high}, quantiles of 95 %."""
    middle, low, high = np.quantile(null, (0.5, 0.025, 0.975), axis=0).tolist()
    return {
        "epoch": epoch,
        **{name: asdict(getattr(found, name)) for name in FIGURES},
        "room": found.room,
        "verdict": verdict.verdict(found, classes),
        "exchange": dict(zip(classes, found.exchange_k, strict=True)),
        "gap": found.gap,
        "null": {
            name: {"middle": middle[column], "low": low[column], "high": high[column]}
            for column, name in enumerate(("headroom", "crossfitted"))
        },
    }


def rows(epoch: dict[str, Any]) -> list[dict[str, Any]]:
    """One row per figure, with the null where it has one."""
    found = []
    for name in FIGURES:
        null = {f"null_{key}": value for key, value in epoch["null"].get(name, {}).items()}
        blank = {"null_middle": None, "null_low": None, "null_high": None}
        found.append({"epoch": epoch["epoch"], "figure": name, **epoch[name], **blank, **null})
    return found


if __name__ == "__main__":
    run(main, __doc__)
