"""Choose where along a training influence is taken, and sum or average it over what was taken."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.losses import Batch, Loss, per_sample_loss
from catwise.core.statistics import require_finite
from catwise.influence.layers import own_parameters, select_layers
from catwise.influence.moving_statistics import Statistics, moving_statistics
from catwise.influence.reading import as_samples
from catwise.influence.samples import Data
from catwise.influence.vectors import directional_derivatives, group_gradients

__all__ = ["Stretch", "adam_scales", "average", "cut", "tracin"]

BETA, EPSILON = 0.999, 1e-8  # of torch's AdamW, if not told otherwise


@dataclass(frozen=True)
class Stretch:
    """Hold the epochs of a segment, counted from 1, and the one whose checkpoint stands for it."""

    epochs: range
    checkpoint: int


def cut(epochs: int, count: int) -> list[Stretch]:
    """Cut a training into ``count`` segments of nearly as many epochs, each with its middle.

    Raises InputError unless there is an epoch for each.

    >>> [(list(part.epochs), part.checkpoint) for part in cut(6, 2)]
    [([1, 2, 3], 2), ([4, 5, 6], 5)]
    """
    if not 1 <= count <= epochs:
        raise InputError(f"segments: expected 1 to {epochs}, the epochs of training; got {count}")
    ends = [epochs * number // count for number in range(count + 1)]
    return [
        Stretch(range(before + 1, end + 1), (before + end + 1) // 2)
        for before, end in pairwise(ends)
    ]


def tracin(
    stops: Iterable[tuple[nn.Module, float]],
    train: Data,
    query: Batch,
    groups: Tensor,
    num_groups: int,
    *,
    batch_size: int,
    layers: Sequence[str] | None = None,
    loss: Loss = per_sample_loss,
    query_loss: Loss = per_sample_loss,
    statistics: Statistics = "moving",
) -> Tensor:
    """Compute P (n, k) of TracIn, in the units and with the sign of ``influence_vectors``.

        P[i, k] = sum_c h_c / n  g_i(theta_c) . q_k(theta_c)

    ``stops`` gives the model of each checkpoint c, and h_c, the sum of the learning rates of the
    steps that it stands for: each sample is in one of n / b of them, with a weight of 1 / b. No
    curvature takes part, and nothing that was learnt is forgotten. Source: Pruthi et al. 2020,
    arXiv 2002.08484, with a query group per class in place of one test sample.
    """
    total = torch.zeros(())
    for model, horizon in stops:
        samples = as_samples(train, model, "train")
        moving = moving_statistics(model, samples, loss, statistics)
        passes: dict[str, Any] = {"batch_size": batch_size, "moving": moving}
        q = group_gradients(
            model, query, groups, num_groups, layers=layers, query_loss=query_loss, **passes
        )
        v = {name: horizon / len(samples) * q_koi for name, q_koi in q.items()}
        total = total + directional_derivatives(model, samples, v, loss=loss, **passes)
    return total


def average(runs: Sequence[np.ndarray]) -> np.ndarray:
    """Average P over trainings that differ in their seed alone, in float64.

    Raises InputError where a P has another shape than the first one, or is not finite.

    >>> average([np.array([[1.0]]), np.array([[3.0]])])
    array([[2.]])
    """
    for number, p in enumerate(runs):
        if p.shape != runs[0].shape:
            raise InputError(f"runs: expected P of {runs[0].shape}; got {p.shape} of run {number}")
        flat_nk = p.reshape(len(p), -1)
        require_finite(flat_nk, f"influence vectors of run {number}", ("sample", "column"))
    return np.mean(np.asarray(runs, dtype=np.float64), axis=0)


def adam_scales(
    model: nn.Module, state: Mapping[str, Tensor], layers: Iterable[str]
) -> dict[str, float]:
    """Compute one number for each layer that stands for Adam's preconditioner.

    Adam divides a gradient by sqrt(v) + eps, entry by entry, where v is the mean of its squares.
    The scale is the mean of that factor, weighted by v: what a typical gradient of the layer is
    multiplied by. Entries that never had a gradient, whose factor is 1 / eps, have no part in it.
    ``state`` is what ``catwise.training.epochs.optimizer_tensors`` returned; it is empty for SGD,
    which has no scales. Within a layer the factors differ by orders of magnitude, so that
    influence by segments is no more than a first guess for a training by Adam.
    """
    if not state:
        return {}
    numbers = {id(parameter): number for number, parameter in enumerate(model.parameters())}
    scales = {}
    for name, layer in select_layers(model, layers).items():
        own = [numbers[id(parameter)] for parameter in own_parameters(layer)]
        parts = [
            state[f"{number}/exp_avg_sq"].flatten().double()
            / (1 - BETA ** float(state[f"{number}/step"]))
            for number in own
        ]
        v = torch.cat(parts)
        total = float(v.sum())
        scales[name] = float((v / (v.sqrt() + EPSILON)).sum()) / total if total else 0.0
    return scales
