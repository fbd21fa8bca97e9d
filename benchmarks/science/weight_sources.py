"""Ask which P weights should be made of: what a new training gains with the weights of each.

    python -m benchmarks.science.weight_sources digits        minutes, after `dvc repro`

The sources are P at the last checkpoint, the same averaged over trainings, and P by segments of the
trainings. Each gives the joint direction, in two sizes; the model is trained anew with its weights
under fresh seeds, beside plain training of the same seeds, and measured on the test split. Where
labels were flipped, the AUC says how well the weights tell them from the others: a weight is good
for a new training if it is small on wrong labels, whether or not P predicts random halves. Where
classes are rare, their mean weight says how much each source would raise them.
The working directory is the repository, or the workspace of a measured data set. The result is
written to reports/benchmarks/weight_sources.json, a part for each data set.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.machine import machine
from catwise.core.statistics import Estimate, student_half_width
from catwise.experiments.improvement_trainer import by_class
from catwise.experiments.weighted_training import WeightedJob, weighted_trainings
from catwise.improvement.proposals import Evidence, Region, direction
from catwise.pipeline.artifacts import read_splits
from catwise.pipeline.files import read_json, read_npz
from catwise.pipeline.stage import settings

__all__ = ["compare"]

SOURCES = {"end": "P", "end, averaged": "P_runs", "segments, averaged": "P_segments"}
SIZES = (0.5, 0.75)  # mean of |w - 1|
REGION = Region(w_max=3.0, trust=1.0)
FRESH = 5000  # the first of the seeds, which no stage uses


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("reports/benchmarks/weight_sources.json"))
    arguments = parser.parse_args()
    results = read_json(arguments.out) if arguments.out.exists() else {}
    for dataset in arguments.datasets:
        result = compare(dataset, arguments.seeds)
        results[dataset] = result | {"machine": machine(settings(dataset).device)}
        print(json.dumps({dataset: result}, indent=1))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")


def compare(dataset: str, seeds: int) -> dict[str, Any]:
    """Return for each source and size the net gains on test in points, and what the weights do.

    The intervals are Student's over the seeds. ``worst`` is of the class that is worst over all
    seeds on either side.
    """
    parameters = settings(dataset)
    splits, _ = read_splits(dataset, "cpu")
    labels = {split: batch[-1].numpy() for split, batch in splits.items()}
    flipped_n = read_npz(Path("data", dataset, "arrays.npz"))["flipped"].astype(bool)
    vectors = read_npz(Path("reports", "influence", dataset, "vectors.npz"))
    weights = {"plain": np.ones(len(flipped_n))}
    for source, name in SOURCES.items():
        for size in SIZES:
            evidence = Evidence(vectors[name].astype(np.float64), labels["train"], weights["plain"])
            weights[f"{source}, {size:g}"] = REGION.nearest(direction(size)(evidence))
    with weighted_trainings(dataset, parameters, "weight_sources") as run:
        jobs = [
            WeightedJob("test", weights_n, FRESH + seed)
            for weights_n in weights.values()
            for seed in range(seeds)
        ]
        right_jm = [one.logits_mk.argmax(1) == labels["test"] for one in run(jobs, "test")]
    accuracy_jk = by_class(np.array(right_jm), labels["test"])
    accuracy_wsk = 100 * accuracy_jk.reshape(len(weights), seeds, -1)
    mean_ws = accuracy_wsk.mean(axis=2)
    worst_ws = np.stack([one_sk[:, one_sk.mean(axis=0).argmin()] for one_sk in accuracy_wsk])
    rows: dict[str, Any] = {}
    for number, (name, weights_n) in enumerate(weights.items()):
        rows[name] = {
            "mean": asdict(_net(mean_ws[number] - mean_ws[0])),
            "worst": asdict(_net(worst_ws[number] - worst_ws[0])),
        }
        masses_k = np.bincount(labels["train"], weights_n) / np.bincount(labels["train"])
        rows[name]["mean weight by class"] = masses_k.tolist()
        if flipped_n.any():
            rows[name] |= {
                "AUC of flipped labels": float(roc_auc_score(flipped_n, -weights_n)),
                "mean weight of flipped labels": float(weights_n[flipped_n].mean()),
            }
    return {"seeds": seeds, "rows": rows}


def _net(change_s: np.ndarray) -> Estimate:
    value, half = float(change_s.mean()), float(student_half_width(change_s))
    return Estimate(value, value - half, value + half)


if __name__ == "__main__":
    main()
