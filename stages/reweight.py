"""Reweight one epoch by PARETO-LP-GA, as printed and honestly, beside controls (Table 1).

The stage reads no influence vectors: each case starts at an epoch of its own, which may have no
curvature, so it fits the factors again at both ends of that epoch, as the section ``curvature``
says, and passes over the data as the section ``influence`` says.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from catwise.config.schema import DataSet, Factored
from catwise.core.device import torch_device
from catwise.core.losses import Batch
from catwise.experiments import resume
from catwise.experiments.anchored_influence import KEPT, AnchoredInfluence
from catwise.experiments.cases import Case, resolve_cases
from catwise.experiments.table1 import Table1Experiment
from catwise.experiments.table1_rows import NAMES, headline_metrics, table_rows
from catwise.pipeline.artifacts import read_splits
from catwise.pipeline.files import folder, read_npz, write_csv, write_json, write_npz
from catwise.pipeline.stage import run, section_errors, settings
from catwise.pipeline.tables import TABLES, read_table
from catwise.pipeline.workers import pool


def main(dataset: str) -> None:
    parameters = settings(dataset)
    torch.set_num_threads(parameters.threads)
    splits, classes = read_splits(dataset, parameters.device)
    history, raw = (
        read_table(Path("reports", "train", dataset, f"{name}.csv"), TABLES[f"train/{name}"])
        for name in ("history", "raw")
    )
    flipped_n = read_npz(Path("data", dataset, "arrays.npz"))["flipped"].astype(bool)
    counts_k = np.bincount(splits["validation_b"][-1].cpu(), minlength=len(classes))
    cases = resolve_cases(dataset, parameters, history, counts_k)
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    weights: dict[str, np.ndarray] = {}
    metrics: dict[str, Any] = {}
    with pool(torch_device(parameters.device), parameters.threads) as spread:
        for number, case in enumerate(cases, 1):
            influence = _influence(case, parameters, splits, len(classes))
            experiment = Table1Experiment(case, influence, flipped_n, history, raw, spread)
            with section_errors(dataset, "curvature", parameters.curvature):
                experiment.run(f"reweight {dataset}, case {number} of {len(cases)}")
            for name, rows in table_rows(experiment, classes).items():
                tables[name] += rows
            for result in experiment.results:
                weights[f"{case.key}/{result.method.key}"] = result.weights_n.astype(np.float32)
            metrics[case.key] = headline_metrics(experiment)
    out = folder("reports", "reweight", dataset)
    for name in NAMES:
        write_csv(out / f"{name}.csv", tables[name], list(TABLES[f"reweight/{name}"]))
    write_npz(out / "weights.npz", **weights)
    write_json(out / "metrics.json", metrics)
    for kept in ("reweight", KEPT):
        resume.clear(kept, dataset)


def _influence(
    case: Case, parameters: DataSet, splits: dict[str, Batch], num_classes: int
) -> AnchoredInfluence:
    """Make what computes influence vectors at both ends of the case's epoch."""
    curvature, influence = parameters.curvature, parameters.influence
    assert isinstance(curvature, Factored)  # only models with epochs have cases
    return AnchoredInfluence(case.start, curvature, influence, splits, num_classes)


if __name__ == "__main__":
    run(main, __doc__)
