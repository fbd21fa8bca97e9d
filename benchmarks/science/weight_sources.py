"""Ask which P weights should be made of: what a new training gains with the weights of each.

    python -m benchmarks.science.weight_sources digits        ten minutes, after `dvc repro`

All sources are averaged over the same trainings, and differ in two things: where gradients and
curvature are taken, and how far the curvature reaches.

    end, damped       (H + damping)^-1 at the last checkpoint: what proposals are made of by default
    end, horizon      the same checkpoint, but (1 - exp(-h H)) / H with h the sum of all rates
    middle, damped    as the first, with the training gradients and the curvature of the middle
                      checkpoint; the query's gradients are those of the end, as in all but the next
    middle alone      as the first, had the training ended in the middle
    middle, horizon   as the second, with those of the middle; it is one segment
    two segments      influence by segments
    exact             through every step
    last layer        at the last checkpoint, over the last layer alone

Each gives the joint direction, in two sizes, of which the box leaves less; the model is trained
anew with its weights under fresh seeds, beside plain training of the same seeds, and measured on
the test split. Beside the gain stand the scores on the subsets of the stage ``subsets`` (LDS in
loss), and what the weights do: the AUC with which low weights tell the flipped labels, the mean
weight by class, and the mean of |w - 1|.

Swaps tell which part of the weights the gain comes from. Where labels were flipped, ``flips of A,
rest of B`` takes the weights of the flipped samples from A and all others from B; where classes are
rare, ``masses of A, rest of B`` gives each class its total weight from A, dealt out as in B.

The working directory is the repository, or the workspace of a measured data set. The result is
written to reports/benchmarks/weight_sources.json, a part for each data set.
"""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import command
from benchmarks.machine import machine
from catwise.config.schema import DataSet
from catwise.core.device import torch_device
from catwise.core.statistics import Estimate, area_under_curve, student_half_width
from catwise.experiments.along_training import Along, trained_states, training_of, vectors_of
from catwise.experiments.improvement_trainer import by_class
from catwise.experiments.weighted_training import Run, WeightedJob, weighted_trainings
from catwise.fidelity.scores import linear_datamodeling_score
from catwise.improvement.proposals import Evidence, Region, direction
from catwise.influence.segments import Segment, influence_by_segments
from catwise.influence.trajectory import average
from catwise.pipeline.artifacts import cached_splits, flipped_labels, read_splits, training_recipe
from catwise.pipeline.files import read_npz
from catwise.pipeline.fitted_factors import fit_own_factors
from catwise.pipeline.stage import settings
from catwise.pipeline.workers import pool
from catwise.report.fidelity_tables import DESIGNS
from catwise.training.epochs import epoch_rates

__all__ = ["REGION", "accuracies", "compare", "net"]

SIZES = (0.5, 0.75)  # mean of |w - 1|
SWAPPED = ("end, damped", "two segments"), 0.75
REGION = Region(w_max=3.0, trust=1.0)
FIRST, FRESH = 4000, 5000  # the first seeds of P and of the table, which no stage uses


def main() -> None:
    runs = {"type": int, "default": 4, "help": "trainings that P is averaged over"}
    seeds = {"type": int, "default": 10, "help": "trainings of each row of the table"}
    command.by_dataset(__doc__, "weight_sources.json", compare, runs=runs, seeds=seeds)


def compare(dataset: str, runs: int, seeds: int) -> dict[str, Any]:
    """Return for each source and size the net gains on test in points, and what the weights do.

    The intervals are Student's over the seeds. ``worst`` is of the class that is worst over all
    seeds on either side.
    """
    parameters = settings(dataset)
    splits, _ = read_splits(dataset, "cpu")
    labels = {split: batch[-1].numpy() for split, batch in splits.items()}
    flipped_n = flipped_labels(dataset)
    sources = _sources(dataset, parameters, runs)
    weights = {"plain": np.ones(len(flipped_n))}
    for source, p_nk in sources.items():
        for size in SIZES:
            evidence = Evidence(p_nk, labels["train"], weights["plain"])
            weights[f"{source}, {size:g}"] = REGION.nearest(direction(size)(evidence))
    weights |= _swaps(weights, labels["train"], flipped_n)
    fresh = range(FRESH, FRESH + seeds)
    with weighted_trainings(dataset, parameters, "weight_sources") as run:
        _, mean_ws, worst_ws = accuracies(run, [*weights.values()], fresh, labels["test"])
    rows: dict[str, Any] = {}
    for number, (name, weights_n) in enumerate(weights.items()):
        rows[name] = {
            "mean": asdict(net(mean_ws[number] - mean_ws[0])),
            "worst": asdict(net(worst_ws[number] - worst_ws[0])),
        }
        if name != "plain":
            end = f"{SWAPPED[1]:g}" if "rest of" in name else name.rpartition(", ")[2]
            first = list(weights).index(f"{SWAPPED[0][0]}, {end}")
            rows[name]["beyond the first"] = asdict(net(mean_ws[number] - mean_ws[first]))
        masses_k = np.bincount(labels["train"], weights_n) / np.bincount(labels["train"])
        rows[name]["mean weight by class"] = masses_k.tolist()
        rows[name]["size"] = float(np.abs(weights_n - 1).mean())
        if flipped_n.any():
            rows[name] |= {
                "AUC of flipped labels": area_under_curve(flipped_n, -weights_n),
                "mean weight of flipped labels": float(weights_n[flipped_n].mean()),
            }
    return {
        **{"runs": runs, "seeds": seeds, "rows": rows, "LDS": _predicted(dataset, sources)},
        **{"reach": _reach(dataset, parameters), "machine": machine(parameters.device)},
    }


def accuracies(
    run: Run, weights: list[np.ndarray], seeds: range, labels_m: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train with each weights under each seed, and measure the test split in points of accuracy.

    Return the accuracy of each class (w, s, k), their mean (w, s), and that of the class that is
    worst over all seeds (w, s).
    """
    jobs = [WeightedJob("test", weights_n, seed) for weights_n in weights for seed in seeds]
    right_jm = [one.logits_mk.argmax(1) == labels_m for one in run(jobs, "test")]
    accuracy_wsk = 100 * by_class(np.array(right_jm), labels_m).reshape(
        len(weights), len(seeds), -1
    )
    worst_ws = [accuracy_sk[:, accuracy_sk.mean(axis=0).argmin()] for accuracy_sk in accuracy_wsk]
    return accuracy_wsk, accuracy_wsk.mean(axis=2), np.stack(worst_ws)


def _sources(dataset: str, parameters: DataSet, runs: int) -> dict[str, np.ndarray]:
    """Compute P (n, k) of each source, averaged over the runs, which workers do."""
    with pool(torch_device(parameters.device), parameters.threads) as spread:
        by_run = list(spread(_of_run, ((dataset, parameters, run) for run in range(runs))))
    return {source: average([p[source] for p in by_run]) for source in by_run[0]}


def _along(dataset: str, parameters: DataSet, run: int) -> Along:
    return training_of(dataset, parameters, segments=2, bins=1).with_seed(FIRST + run)


def _of_run(dataset: str, parameters: DataSet, run: int) -> dict[str, np.ndarray]:
    torch.set_num_threads(parameters.threads)
    along = _along(dataset, parameters, run)
    train, curvature = along.train, along.curvature
    states = trained_states(along, ["tracin"])  # which needs all epochs
    vectors = vectors_of(along, states, ["endpoint", "middle", "segments", "exact", "last_layer"])
    middle = states[train.epochs // 2]
    part, query = (cached_splits(dataset, along.device)[0][s] for s in ("train", "validation_a"))
    recipe = training_recipe(train)
    horizon = {}
    for name, epoch in (("end", train.epochs), ("middle", train.epochs // 2)):
        model, rates = states[epoch].model, epoch_rates(recipe, len(part[-1]))
        factors = fit_own_factors(model, part, curvature)
        whole = Segment(model, factors, rates, recipe.weight_decay)
        about = (part, query, query[-1], int(query[-1].max()) + 1)
        horizon[name] = influence_by_segments(
            states[train.epochs].model, [whole], *about, batch_size=along.influence.batch_size
        )
    endless = Segment(middle.model, fit_own_factors(middle.model, part, curvature), [math.inf])
    damped = influence_by_segments(
        states[train.epochs].model, [endless], *about, batch_size=along.influence.batch_size
    )
    sources = {
        "end, damped": vectors["endpoint"],
        "end, horizon": horizon["end"],
        "middle, damped": damped,
        "middle alone": vectors["middle"],
        "middle, horizon": horizon["middle"],
        "two segments": vectors["segments"],
        "exact": vectors["exact"],
        "last layer": vectors["last_layer"],
    }
    return {source: p_nk.double().cpu().numpy() for source, p_nk in sources.items()}


def _reach(dataset: str, parameters: DataSet) -> dict[str, float]:
    """Compute how many trainings long the damped inverse reaches into low curvature, by layer.

    A direction without curvature counts 1 / damping there, and h with the horizon of the training.
    """
    along = _along(dataset, parameters, 0)
    part = cached_splits(dataset, along.device)[0]["train"]
    model = trained_states(along, ["endpoint"])[along.train.epochs].model
    factors = fit_own_factors(model, part, along.curvature)
    horizon = sum(epoch_rates(training_recipe(along.train), len(part[-1])))
    return {
        name: 1 / (factors.damping * float(layer["eigenvalues"].mean())) / horizon
        for name, layer in factors.layers.items()
    }


def _swaps(
    weights: dict[str, np.ndarray], labels_n: np.ndarray, flipped_n: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the weights with the parts of two sources exchanged, put back in the region."""
    (first, second), size = SWAPPED
    swaps = {}
    for one, other in ((first, second), (second, first)):
        of_one, of_other = (weights[f"{source}, {size:g}"] for source in (one, other))
        if flipped_n.any():
            swapped_n = np.where(flipped_n, of_one, of_other)
            swaps[f"flips of {one}, rest of {other}"] = REGION.nearest(swapped_n)
        if np.ptp(np.bincount(labels_n)) > len(labels_n) / 10:
            ratio_k = np.bincount(labels_n, of_one) / np.bincount(labels_n, of_other)
            swapped_n = of_other * ratio_k[labels_n]
            swaps[f"masses of {one}, rest of {other}"] = REGION.nearest(swapped_n)
    return swaps


def _predicted(dataset: str, sources: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Score each source on the subsets that the stage ``subsets`` has retrained, in loss."""
    subsets = read_npz(Path("reports", "subsets", dataset, "subsets.npz"))
    loss_hk, scored = subsets["loss_hsk"].mean(axis=1), {}
    for number, design in enumerate(DESIGNS.values()):
        rows = subsets["design_h"] == number
        if rows.any():
            scored[design] = {
                source: float(np.nanmean(linear_datamodeling_score(p_nk, *pair)))
                for source, p_nk in sources.items()
                for pair in [(subsets["kept_hn"][rows], loss_hk[rows])]
            }
    return scored


def net(change_s: np.ndarray) -> Estimate:
    """Return the mean change over the seeds, with Student's interval."""
    value, half = float(change_s.mean()), float(student_half_width(change_s))
    return Estimate(value, value - half, value + half)


if __name__ == "__main__":
    main()
