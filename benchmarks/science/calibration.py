"""Does the predicted room for a joint improvement come true? With planted noise, over many epochs and trainings.

    python -m benchmarks.science.calibration digits reports/benchmarks/calibration.json      about 5 minutes on one core
    python -m benchmarks.science.calibration cifar10_small reports/benchmarks/calibration_cifar10_small.json      half an hour

A case is an epoch of a training. Predicted: weights that raise every class at once, from one half of validation A, and
the worst class's gain by P of the other half; both ways, and the mean. Realised: what one epoch with the weights from
all of A gives the worst class on the test split, net of all-ones weights with the same seeds. P is anchored at the end
of the all-ones epoch, with its horizon. Intervals are over trainings, because epochs of one training are alike.
"""

import argparse
import copy
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from benchmarks.speed.influence import machine
from catwise.config import params
from catwise.core.losses import Batch
from catwise.data.dataset import SPLITS, Data
from catwise.influence.curvature import FactoredCurvature
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.artifacts import training_recipe
from catwise.pipeline.fitted_factors import fit_own_factors
from catwise.reweighting.joint_direction import joint_weights
from catwise.training import evaluate, models
from catwise.training.epochs import Recipe, learning_rates, new_optimizer, train_epoch, train_epochs
from stages.prepare import load

SHARES, SIZE = (0.0, 0.1, 0.2, 0.3), 0.5  # of flipped labels; mean of |w - 1|
DRAWS = 2000  # of the bootstrap


@dataclass(frozen=True)
class Plan:
    """``epochs``: from which one more is taken, ``trainings`` by share, ``seeds`` of each epoch that is compared."""

    epochs: tuple[int, ...]
    trainings: int
    seeds: int


PLANS = {"digits": Plan((7, 10, 13, 16), 3, 10), "cifar10_small": Plan((4, 5), 1, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", choices=PLANS)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    section, plan = params.load().datasets[arguments.dataset], PLANS[arguments.dataset]
    rows = []
    for share in SHARES:
        for seed in range(plan.trainings):
            rows += cases(section, share, seed, plan)
            found = {
                "dataset": arguments.dataset,
                "machine": machine("cpu"),
                "correlations": {},
                "rows": rows,
            }
            arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    arguments.out.write_text(
        json.dumps({**found, "correlations": correlations(rows)}, indent=1) + "\n"
    )


def cases(section: Any, share: float, seed: int, plan: Plan) -> list[dict[str, Any]]:
    """One training with this share of flipped labels, taken again from each of the epochs."""
    data = load(section.prepare.model_copy(update={"flip_share": share, "seed": 100 + seed}))
    splits: dict[str, Batch] = {s: (pixels(data, s), torch.from_numpy(data.y[s])) for s in SPLITS}
    how, part = replace(training_recipe(section.train), seed=seed), splits["train"]
    architecture = section.train.model_dump(include={"model", "width"})
    model = models.build(x=part[0], num_classes=len(data.classes), seed=seed, **architecture)
    rows = []
    for epoch in train_epochs(model, part, how):
        if epoch in plan.epochs:
            found = case(model, splits, how, section.curvature, epoch, range(1, plan.seeds + 1))
            rows.append({"share": share, "training": seed, "epoch": epoch, **found})
            print(rows[-1], flush=True)
    return rows


def pixels(data: Data, split: str) -> Tensor:
    x = torch.from_numpy(data.x[split])
    if x.dtype != torch.uint8:
        return x
    mean, std = (torch.tensor(data.card[key])[:, None, None] for key in ("mean", "std"))
    return (x.float() / 255 - mean) / std


def case(
    model: nn.Module, splits: dict[str, Batch], how: Recipe, fit: Any, epoch: int, seeds: range
) -> dict[str, Any]:
    part, query = splits["train"], splits["validation_a"]

    def again(weights: np.ndarray | None, seed: int) -> nn.Module:
        other, own = copy.deepcopy(model), replace(how, seed=how.seed + 1000 * seed)
        given = None if weights is None else torch.from_numpy(weights.astype(np.float32))
        train_epoch(other, new_optimizer(other, own), part, own, epoch + 1, given)
        return other.eval()

    half = torch.arange(len(query[-1])) % 2  # of each class, whose samples are in a random order
    k = int(query[-1].max()) + 1
    p_nkh = vectors(
        again(None, 0), part, query, half, fit, sum(learning_rates(how, epoch + 1, len(part[-1])))
    )
    labels_n = part[-1].numpy()
    count_kh = np.stack([torch.bincount(query[-1][half == h], minlength=k) for h in (0, 1)], axis=1)
    predicted, headroom = [], []
    for mine, other in ((0, 1), (1, 0)):
        weights_n = joint_weights(p_nkh[..., mine], labels_n, size=SIZE)
        gain_k = (weights_n - 1) @ p_nkh[..., other]
        predicted.append(float((gain_k / count_kh[:, other]).min()))
        headroom.append(float((gain_k / np.abs(p_nkh[..., other]).sum(axis=0)).min()))
    weights_n = joint_weights(p_nkh.sum(axis=2), labels_n, size=SIZE)
    measured = [
        [evaluate.per_class(again(w_n, seed), splits["test"], k) for seed in seeds]
        for w_n in (weights_n, None)
    ]
    treated, control = (
        np.array([[values.numpy() for values in pair] for pair in found]) for found in measured
    )
    net_mk = (treated - control).mean(axis=0) * np.array([[1], [-1]])
    found: dict[str, Any] = {
        "predicted": float(np.mean(predicted)),
        "headroom": float(np.mean(headroom)),
    }
    for measure, net_k in zip(("accuracy", "loss"), net_mk, strict=True):
        found |= {f"{measure}_worst": float(net_k.min()), f"{measure}_mean": float(net_k.mean())}
    return found


def vectors(
    model: nn.Module, part: Batch, query: Batch, half: Tensor, fit: Any, horizon: float
) -> np.ndarray:
    """P of both halves of the query, (n, k, 2), in one pass of 2k groups."""
    fitted = fit_own_factors(model, part, fit)
    k = int(query[-1].max()) + 1
    reach = FactoredCurvature(fitted.n, fitted.damping, fitted.layers, horizon)
    found = influence_vectors(
        model, reach, part, query, 2 * query[-1] + half, 2 * k, batch_size=fit.batch_size
    )
    return found.double().numpy().reshape(-1, k, 2)


def correlations(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Spearman's rho of prediction and outcome over the cases, with its 95 % bootstrap interval over trainings."""
    groups: dict[tuple[float, int], list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault((row["share"], row["training"]), []).append(place)
    members, rng = list(groups.values()), np.random.default_rng(0)
    draws = [
        np.concatenate([members[m] for m in rng.integers(0, len(members), len(members))])
        for _ in range(DRAWS)
    ]
    found = {}
    for before in ("predicted", "headroom"):
        for after in ("loss_worst", "loss_mean", "accuracy_worst", "accuracy_mean"):
            x, y = (np.array([row[key] for row in rows]) for key in (before, after))
            some = [spearmanr(x[draw], y[draw]).statistic for draw in draws]
            low, high = np.nanquantile(some, (0.025, 0.975))
            found[f"{before}, {after}"] = [
                float(spearmanr(x, y).statistic),
                float(low),
                float(high),
            ]
    return found


if __name__ == "__main__":
    main()
