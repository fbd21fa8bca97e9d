"""Improve a classifier of your own: any function that trains with one weight per sample."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.losses import Batch
from catwise.core.progress import Progress
from catwise.improvement.acceptance import Gain, gain
from catwise.improvement.path import Path, retrain_to_the_ceiling
from catwise.improvement.proposals import (
    Proposal,
    Region,
    class_weights,
    direction,
    drop_harmful,
    frequency,
)
from catwise.influence.factors import fit_factors, logits_of
from catwise.influence.fisher_passes import Logits
from catwise.influence.vectors import influence_vectors, validation_bins

__all__ = ["PROPOSALS", "Improvement", "TrainFunction", "averaged_influence", "improve", "right"]

TrainFunction = Callable[[np.ndarray, int], nn.Module]  # weights (n,) and a seed -> the model
PROPOSALS: dict[str, Proposal] = {
    "direction 0.5": direction(0.5),
    "direction 0.75": direction(0.75),
    "direction 0.75, class masses kept": direction(0.75, keep_masses=True),
    "class weights 0.5": class_weights(0.5),
    "square root of the frequency": frequency(0.5),
    "drop what harms every class": drop_harmful,
}


@dataclass(frozen=True)
class Improvement:
    """Hold the weights at the end of the path, and what they gain on the test samples.

    weights_n  of the training samples, with mean 1; ones where nothing was to be gained
    path       the rounds with their verdicts and trials, and why it ended
    net        the gain over plain training of the same fresh seeds on the test samples, which no
               choice has seen; None where the weights are ones
    """

    weights_n: np.ndarray = field(repr=False)
    path: Path
    net: Gain | None

    def __str__(self) -> str:
        lines = []
        for round_ in self.path.rounds:
            lines.append(f"round {round_.number}: {round_.judgement.words}")
            for trial in round_.trials:
                fate = "accepted" if trial.accepted else "not accepted"
                lines.append(f"  {trial.proposal}: {_points(trial.gain)} on validation; {fate}")
        return "\n".join([*lines, f"end ({self.path.end}): {self.sentence}"])

    @property
    def sentence(self) -> str:
        """Say what the weights gain in a new training, or that nothing was to be gained."""
        if self.net is None:
            return "nothing was to be gained by other weights, as far as validation tells"
        gains = _points(self.net)
        return f"a new training with these weights gains {gains} on test samples no choice has seen"


def improve(
    train_function: TrainFunction,
    train: Batch,
    validation: Batch,
    test: Batch,
    classes: Sequence[str],
    *,
    proposals: Mapping[str, Proposal] = PROPOSALS,
    region: Region = Region(),  # noqa: B008  (frozen)
    rounds: int = 2,
    allowed_loss: float = 0.0,
    runs: int = 4,
    seeds: int = 8,
    bins: int = 8,
    seed: int = 0,
    progress: Progress = iter,
    **options: Any,
) -> Improvement:
    """Find sample weights with which ``train_function`` makes a better model, if there are any.

    ``train_function(weights_n, seed)`` trains a torch classifier anew, on ``train`` and with the
    loss of sample i multiplied by w_i; the seed decides its initial weights and the order. One that
    ignores the seed is allowed. For scikit-learn see ``catwise.improvement.estimators``.
    ``validation`` is dealt into two halves: influence is of the first, and the second judges. The
    test samples are looked at once, when the path has ended.

    P is averaged over ``runs`` trainings, a trial is judged over ``seeds`` others, and the gain at
    the end over as many that are fresh. ``options`` are those of ``fit_factors``, ``logits`` among
    them, by which the model is called everywhere; the path's are described at
    ``retrain_to_the_ceiling``.

    ``allowed_loss`` is how many points of accuracy a class may lose for the gain of the others.

    The price is runs + seeds trainings, seeds for each trial, runs for each further round, and
    twice seeds for the gain.

    Raises InputError for samples that are no tuple of tensors, for a label that is no class, and
    for a class with fewer than six validation samples or two test samples.

    >>> x = torch.from_numpy(np.random.default_rng(0).normal(size=(300, 2)))
    >>> train, validation, test = ((part, (part[:, 0] > 0).long()) for part in x.split(100))
    >>> def by_least_squares(weights_n, seed):
    ...     (x, y), w = train, torch.from_numpy(weights_n)[:, None]
    ...     model = nn.Linear(2, 2, bias=False).double()
    ...     fit = torch.linalg.solve((w * x).T @ x, (w * x).T @ (2.0 * y - 1).double())
    ...     model.weight.data = torch.stack([-fit, fit])
    ...     return model
    >>> improve(by_least_squares, train, validation, test, "ab", runs=1, seeds=2).weights_n.shape
    (100,)
    """
    _check("train", train, classes, 0)
    _check("validation", validation, classes, 6)
    _check("test", test, classes, 2)
    signature(fit_factors).bind_partial(**options)  # an option that is none fails before hours
    labels_m = validation[-1].cpu().numpy()
    rng = np.random.default_rng(seed)
    first_m = validation_bins(labels_m, 2, rng) % 2 == 0
    part_a, part_b = (
        tuple(values[torch.from_numpy(mask).to(values.device)] for values in validation)
        for mask in (first_m, ~first_m)
    )
    count = min(bins, int(np.bincount(labels_m[first_m]).min()))
    groups_m = validation_bins(labels_m[first_m], count, rng)

    def influence(weights_n: np.ndarray) -> np.ndarray:
        models = (train_function(weights_n, seed + run) for run in progress(range(runs)))
        return averaged_influence(models, train, part_a, groups_m, len(classes), count, **options)

    def judged(weights_n: np.ndarray, start: int, batch: Batch) -> np.ndarray:
        used = range(seed + start, seed + start + seeds)
        logits = options.get("logits", logits_of)
        models = (train_function(weights_n, one) for one in progress(used))
        return np.stack([right(model, batch, logits) for model in models])

    path = retrain_to_the_ceiling(
        lambda candidates: [judged(weights_n, runs, part_b) for weights_n in candidates],
        influence,
        proposals,
        train[-1].cpu().numpy(),
        part_b[-1].cpu().numpy(),
        region=region,
        rounds=rounds,
        allowed_loss=allowed_loss,
    )
    net = None
    if not (path.weights_n == 1).all():
        after, before = (
            judged(weights_n, runs + seeds, test)
            for weights_n in (path.weights_n, np.ones(len(path.weights_n)))
        )
        net = gain(after, before, test[-1].cpu().numpy())
    return Improvement(path.weights_n, path, net)


def averaged_influence(
    models: Iterable[nn.Module],
    train: Batch,
    query: Batch,
    groups_m: np.ndarray,
    num_classes: int,
    bins: int,
    *,
    batch_size: int = 256,
    **options: Any,
) -> np.ndarray:
    """Compute P by bins, (n, k, bins), as the mean over models of different seeds.

    ``groups_m`` numbers class and bin of each query sample as ``validation_bins`` does.
    ``options`` are those of ``fit_factors``. The curvature is that of all samples with weight 1.
    """
    defaults: dict[str, Any] = {"kind": "ekfac", "damping": 0.1, "seed": 0}
    options = defaults | {"batch_size": batch_size} | options
    vectors: list[np.ndarray] = []
    for model in models:
        device = next(model.parameters()).device
        part, asked = (tuple(values.to(device) for values in batch) for batch in (train, query))
        factors = fit_factors(model, part, **options)
        groups = torch.from_numpy(groups_m).to(device)
        size = num_classes * bins
        p = influence_vectors(model, factors, part, asked, groups, size, batch_size=batch_size)
        vectors.append(p.double().cpu().numpy())
    return np.mean(vectors, axis=0).reshape(-1, num_classes, bins)


@torch.no_grad()
def right(model: nn.Module, batch: Batch, logits: Logits = logits_of) -> np.ndarray:
    """Tell which samples a model classifies right, in evaluation mode: (m,)."""
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    parts = zip(*(values.to(device).split(1000) for values in batch), strict=True)
    right_parts = [logits(model, part).argmax(1) == part[-1] for part in parts]
    model.train(training)
    return torch.cat(right_parts).cpu().numpy()


def _check(name: str, part: Batch, classes: Sequence[str], least: int) -> None:
    """Refuse what is no tuple of tensors, other labels, and fewer samples of a class."""
    if not (isinstance(part, tuple | list) and all(isinstance(one, Tensor) for one in part)):
        expected = "a tuple of tensors, inputs and then labels"
        raise InputError(f"{name}: expected {expected}; got {type(part).__name__}")
    labels_n = part[-1].cpu().numpy()
    if not np.isin(labels_n, np.arange(len(classes))).all():
        interval = f"{labels_n.min()} to {labels_n.max()}"
        raise InputError(f"{name}: expected labels from 0 to {len(classes) - 1}; got {interval}")
    sizes_k = np.bincount(labels_n, minlength=len(classes))
    if sizes_k.min() < least:
        rarest = f"{sizes_k.min()} of {classes[int(sizes_k.argmin())]!r}"
        raise InputError(f"{name}: expected {least} samples or more of every class; got {rarest}")


def _points(gain: Gain) -> str:
    """Say the gain of mean and worst class in points of accuracy."""
    mean, worst, low, lowest = (
        f"{100 * value:+.2g}"
        for value in (gain.mean.value, gain.worst.value, gain.mean.low, gain.worst.low)
    )
    return (
        f"{mean} points in the mean (95 %: at least {low}),"
        f" {worst} in the worst class (at least {lowest})"
    )
