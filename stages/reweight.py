"""Reweight one epoch by PARETO-LP-GA, as printed and with honest splits, and compare with controls (Table 1)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from catwise.experiments import resume
from catwise.experiments.anchored_influence import Anchors
from catwise.experiments.cases import resolved
from catwise.experiments.table1 import Arms
from catwise.experiments.workers import pool
from catwise.pipeline.artifacts import read_splits, torch_device
from catwise.pipeline.files import folder, read_csv, read_npz, write_csv, write_json, write_npz
from catwise.pipeline.stage import run, settings
from catwise.reweighting import table1

COLUMNS: dict[
    str, tuple[str, ...]
] = {  # of each table, where there is no case; the first is "case" of all
    "room": (
        "anchor",
        "filter",
        "headroom",
        "crossfitted",
        "low",
        "high",
        "sum_over_mass",
        "verdict",
    ),
    "table": table1.COLUMNS,
    "printed": ("class", "target", "before", "original", "all_ones", "after", "change"),
    "history": ("search", "generation", "evaluations", "trained"),
    "tradeoff": ("method", "gene", "measure", "target_gain", "worst_other"),
}


def main(dataset: str) -> None:
    parameters = settings(dataset)
    train, section = parameters.train, parameters.reweight
    device, threads = parameters.device, parameters.threads
    torch.set_num_threads(threads)
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
    weights: dict[str, np.ndarray] = {}
    cases = section.cases if section else []
    summary: dict[str, Any] = {}
    splits, classes = read_splits(dataset, device)
    history = read_csv(Path("reports", "train", dataset, "history.csv"))
    flipped_n = read_npz(Path("data", dataset, "arrays.npz"))["flipped"].astype(bool)
    counts_k = np.bincount(splits["validation_b"][-1].cpu(), minlength=len(classes))
    with pool(torch_device(device), threads) as spread:
        for number, entry in enumerate(cases):
            case = resolved(dataset, entry, train, history, counts_k, device, threads)
            anchors = Anchors(
                case.start, parameters.curvature, parameters.influence, splits, len(classes)
            )
            arms = Arms(case, section, anchors, flipped_n, history, spread)
            arms.run(f"reweight {dataset}, case {number + 1} of {len(cases)}")
            for name, found in arms.tables(classes).items():
                tables[name] += [{"case": case.name} | row for row in found]
            weights |= {
                f"{number}/{name}": w_n.astype(np.float32) for name, w_n in arms.weights.items()
            }
            summary[short(cases, number)] = arms.summary()
    out = folder("reports", "reweight", dataset)
    for name, columns in COLUMNS.items():
        write_csv(out / f"{name}.csv", tables[name], None if tables[name] else ["case", *columns])
    write_npz(out / "weights.npz", **weights)
    write_json(out / "metrics.json", summary)
    resume.clear("reweight", dataset)


def short(cases: Sequence[Any], number: int) -> str:
    """A case's key in metrics.json: its kind, from the second of a kind on with a number; no epoch, which may be auto,
    so that two experiments are compared case by case."""
    earlier = sum(case.kind == cases[number].kind for case in cases[:number])
    return cases[number].kind + (f"_{earlier + 1}" if earlier else "")


if __name__ == "__main__":
    run(main, __doc__)
