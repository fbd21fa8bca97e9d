"""Train anew with better weights until the ceiling, beside baselines of the same seeds."""

from typing import Any

import numpy as np
import torch

from catwise.experiments import resume
from catwise.experiments.improvement import run_improvement
from catwise.experiments.improvement_rows import NAMES, headline_metrics, table_rows
from catwise.pipeline.files import folder, write_csv, write_json, write_npz
from catwise.pipeline.stage import run, settings
from catwise.pipeline.tables import TABLES


def main(dataset: str) -> None:
    parameters = settings(dataset)
    torch.set_num_threads(parameters.threads)
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in NAMES}
    weights: dict[str, np.ndarray] = {}
    metrics: dict[str, Any] = {}
    if parameters.improve:
        experiment = run_improvement(dataset, parameters)
        tables, metrics = table_rows(experiment), headline_metrics(experiment)
        weights = experiment.weights
    out = folder("reports", "improve", dataset)
    for name in NAMES:
        write_csv(out / f"{name}.csv", tables[name], list(TABLES[f"improve/{name}"]))
    write_npz(out / "weights.npz", **{name: w.astype(np.float32) for name, w in weights.items()})
    write_json(out / "metrics.json", metrics)
    resume.clear("improve", dataset)


if __name__ == "__main__":
    run(main, __doc__)
