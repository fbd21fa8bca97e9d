"""Run all cases of Table 1 of a data set, and make their tables."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from catwise.config.schema import DataSet, Factored
from catwise.core.device import torch_device
from catwise.experiments import anchored_influence
from catwise.experiments.anchored_influence import AnchoredInfluence
from catwise.experiments.cases import resolve_cases
from catwise.experiments.table1 import Table1Experiment
from catwise.experiments.table1_rows import headline_metrics, table_rows
from catwise.pipeline.artifacts import flipped_labels, read_splits
from catwise.pipeline.stage import section_errors
from catwise.pipeline.tables import TABLES, read_table, table_names
from catwise.pipeline.workers import pool

__all__ = ["KEPT", "run_cases"]

KEPT = ("reweight", anchored_influence.KEPT)  # where finished pieces are kept

Tables = dict[str, list[dict[str, Any]]]


def run_cases(
    dataset: str, parameters: DataSet
) -> tuple[Tables, dict[str, np.ndarray], dict[str, Any]]:
    """Return the rows of each table, the weights of each method, and the metrics of each case."""
    torch.set_num_threads(parameters.threads)
    splits, classes = read_splits(dataset, parameters.device)
    history, raw = (
        read_table(Path("reports", "train", dataset, f"{name}.csv"), TABLES[f"train/{name}"])
        for name in ("history", "raw")
    )
    flipped_n = flipped_labels(dataset)
    counts_k = np.bincount(splits["validation_b"][-1].cpu(), minlength=len(classes))
    cases = resolve_cases(dataset, parameters, history, counts_k)
    tables: Tables = {name: [] for name in table_names("reweight")}
    weights: dict[str, np.ndarray] = {}
    metrics: dict[str, Any] = {}
    with pool(torch_device(parameters.device), parameters.threads) as spread:
        for number, case in enumerate(cases, 1):
            curvature = parameters.curvature
            assert isinstance(curvature, Factored)  # only models with epochs have cases
            about = (case.start, curvature, parameters.influence, splits, len(classes))
            influence = AnchoredInfluence(*about)
            experiment = Table1Experiment(case, influence, flipped_n, history, raw, spread)
            with section_errors(dataset, "curvature", curvature):
                experiment.run(f"reweight {dataset}, case {number} of {len(cases)}")
            for name, rows in table_rows(experiment, classes).items():
                tables[name] += rows
            for result in experiment.results:
                weights[f"{case.key}/{result.method.key}"] = result.weights_n
            metrics[case.key] = headline_metrics(experiment)
    return tables, weights, metrics
