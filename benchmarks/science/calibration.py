"""Ask whether the predicted room for a joint improvement comes true.

    python -m benchmarks.science.calibration digits            5 minutes on one core
    python -m benchmarks.science.calibration cifar10_small     half an hour
    python -m benchmarks.science.calibration digits --quick /tmp/calibration.json

A case is an epoch of a training with planted noise. Predicted: weights that raise every class at
once are computed from one half of validation A, and the gain of the worst class by P of the other
half; both ways, and the mean. Realised: what one epoch with the weights from all of A gives the
worst class on the test split, net of all-ones weights with the same seeds. P is anchored at the end
of the all-ones epoch, with its horizon. Intervals are over trainings, because epochs of one
training are alike. The result is written to reports/benchmarks, if not told otherwise.
"""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from benchmarks import command
from benchmarks.machine import machine
from catwise.ceiling.joint_direction import joint_weights
from catwise.config import params
from catwise.core.losses import Batch
from catwise.data.dataset import SPLITS, Data
from catwise.influence.segments import Segment, influence_by_segments
from catwise.pipeline.artifacts import training_recipe
from catwise.pipeline.fitted_factors import fit_own_factors
from catwise.training import evaluate, models
from catwise.training.epochs import Recipe, learning_rates, new_optimizer, train_epoch, train_epochs
from stages.prepare import load

SHARES = (0.0, 0.1, 0.2, 0.3)  # of flipped labels
SIZE = 0.5  # mean of |w - 1|
W_MAX = 2.0
DRAWS = 2000  # of the bootstrap


@dataclass(frozen=True)
class Plan:
    """Hold the epochs after which one more is trained, and how often that is done.

    ``trainings`` counts those of each share of flipped labels, ``seeds`` those of the one more
    epoch.
    """

    epochs: tuple[int, ...]
    trainings: int
    seeds: int


PLANS = {"digits": Plan((7, 10, 13, 16), 3, 10), "cifar10_small": Plan((4, 5), 1, 4)}
FILES = {"digits": "calibration.json", "cifar10_small": "calibration_cifar10_small.json"}


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("dataset", choices=PLANS)
    parser.add_argument("out", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true", help="few cases, for a check that it runs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dataset, out = arguments.dataset, arguments.out
    if out is None:
        out = Path("reports", "benchmarks", FILES[dataset])
    section, plan = params.load().datasets[dataset], PLANS[dataset]
    if arguments.quick:
        plan = Plan(plan.epochs[:1], 1, 2)
    result: dict[str, Any] = {"dataset": dataset, "machine": machine("cpu"), "correlations": {}}
    rows: list[dict[str, Any]] = []
    for share in SHARES:
        for seed in range(plan.trainings):
            rows += cases(section, share, seed, plan)
            command.write(out, {**result, "rows": rows})
    result["correlations"] = correlations(rows)
    command.write(out, {**result, "rows": rows})


def cases(section: Any, share: float, seed: int, plan: Plan) -> list[dict[str, Any]]:
    """Train once with this share of flipped labels; measure a case after each planned epoch."""
    prepare = section.prepare.model_copy(update={"flip_share": share, "seed": 100 + seed})
    data = load(prepare, section.influence.bins)
    splits: dict[str, Batch] = {s: (pixels(data, s), torch.from_numpy(data.y[s])) for s in SPLITS}
    recipe, train = replace(training_recipe(section.train), seed=seed), splits["train"]
    architecture = section.train.model_dump(include={"model", "width"})
    model = models.build(x=train[0], num_classes=len(data.classes), seed=seed, **architecture)
    rows = []
    for epoch in train_epochs(model, train, recipe):
        if epoch in plan.epochs:
            more = OneMoreEpoch(model, splits, recipe, epoch)
            row = more.compare(section.curvature, range(1, plan.seeds + 1))
            rows.append({"share": share, "training": seed, "epoch": epoch, **row})
            print(rows[-1], flush=True)
    return rows


def pixels(data: Data, split: str) -> Tensor:
    """Return the images as training takes them."""
    x = torch.from_numpy(data.x[split])
    if x.dtype != torch.uint8:
        return x
    mean = torch.tensor(data.card["mean"])[:, None, None]
    std = torch.tensor(data.card["std"])[:, None, None]
    return (x.float() / 255 - mean) / std


@dataclass(frozen=True)
class OneMoreEpoch:
    """Hold a model after an epoch, which is trained for one more in different ways."""

    model: nn.Module
    splits: dict[str, Batch]
    recipe: Recipe
    epoch: int

    def train(self, weights: np.ndarray | None, seed: int) -> nn.Module:
        """Return a copy of the model, trained for one more epoch with these weights."""
        model = copy.deepcopy(self.model)
        recipe = replace(self.recipe, seed=self.recipe.seed + 1000 * seed)
        weights_n = None if weights is None else torch.from_numpy(weights.astype(np.float32))
        optimizer = new_optimizer(model, recipe)
        train_epoch(model, optimizer, self.splits["train"], recipe, self.epoch + 1, weights_n)
        return model.eval()

    def compare(self, fit: Any, seeds: range) -> dict[str, Any]:
        """Return what was predicted, and what came true; ``fit`` is a curvature section."""
        y_query, y_train = self.splits["validation_a"][-1], self.splits["train"][-1]
        k = int(y_query.max()) + 1
        half = torch.arange(len(y_query)) % 2  # of each class, whose samples are in random order
        p_nkh = self.vectors(self.train(None, 0), half, fit)
        counts = [torch.bincount(y_query[half == h], minlength=k).numpy() for h in (0, 1)]
        labels_n = y_train.numpy()
        predicted, headroom = [], []
        for this, other in ((0, 1), (1, 0)):
            weights_n = joint_weights(p_nkh[..., this], labels_n, size=SIZE, w_max=W_MAX)
            gain_k = (weights_n - 1) @ p_nkh[..., other]
            predicted.append(float((gain_k / counts[other]).min()))
            headroom.append(float((gain_k / np.abs(p_nkh[..., other]).sum(axis=0)).min()))
        weights_n = joint_weights(p_nkh.sum(axis=2), labels_n, size=SIZE, w_max=W_MAX)
        net_smk = self.measure(weights_n, seeds, k) - self.measure(None, seeds, k)
        net_mk = net_smk.mean(axis=0) * np.array([[1], [-1]])
        row = {"predicted": float(np.mean(predicted)), "headroom": float(np.mean(headroom))}
        for measure, net_k in zip(("accuracy", "loss"), net_mk, strict=True):
            row[f"{measure}_worst"] = float(net_k.min())
            row[f"{measure}_mean"] = float(net_k.mean())
        return row

    def measure(self, weights: np.ndarray | None, seeds: range, k: int) -> np.ndarray:
        """Return accuracy and loss of every class on the test split, (seeds, 2, k)."""
        measured = []
        for seed in seeds:
            pair = evaluate.per_class(self.train(weights, seed), self.splits["test"], k)
            measured.append([values.numpy() for values in pair])
        return np.array(measured)

    def vectors(self, model: nn.Module, half: Tensor, fit: Any) -> np.ndarray:
        """Return P of both halves of the query, (n, k, 2), in one pass of 2k groups."""
        train, query = self.splits["train"], self.splits["validation_a"]
        fitted = fit_own_factors(model, train, fit)
        k = int(query[-1].max()) + 1
        epoch = Segment(model, fitted, learning_rates(self.recipe, self.epoch + 1, len(train[-1])))
        groups = 2 * query[-1] + half
        p_ng = influence_by_segments(
            model, [epoch], train, query, groups, 2 * k, batch_size=fit.batch_size
        )
        return p_ng.double().numpy().reshape(-1, k, 2)


def correlations(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Return Spearman's rho of prediction and outcome, with its bootstrap interval.

    The interval is that of 95 %, over trainings.
    """
    trainings: dict[tuple[float, int], list[int]] = {}
    for number, row in enumerate(rows):
        trainings.setdefault((row["share"], row["training"]), []).append(number)
    members, rng = list(trainings.values()), np.random.default_rng(0)
    draws = [
        np.concatenate([members[m] for m in rng.integers(0, len(members), len(members))])
        for _ in range(DRAWS)
    ]
    result = {}
    for before in ("predicted", "headroom"):
        for after in ("loss_worst", "loss_mean", "accuracy_worst", "accuracy_mean"):
            x, y = np.array([[row[before], row[after]] for row in rows]).T
            drawn = [spearmanr(x[draw], y[draw]).statistic for draw in draws]
            ends = [spearmanr(x, y).statistic, *np.nanquantile(drawn, (0.025, 0.975))]
            result[f"{before}, {after}"] = [float(end) for end in ends]
    return result


if __name__ == "__main__":
    main()
