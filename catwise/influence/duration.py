"""Estimate how long a diagnosis will take: operations are counted, and a first batch is timed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from catwise.core.losses import Logits, Loss
from catwise.influence.factors import Kind
from catwise.influence.layers import Layer, groups_of, matrix_shape, weight_of
from catwise.influence.memory import MemoryPlan, measure_activations
from catwise.influence.moving_statistics import SAMPLES, Statistics, moving_norms
from catwise.influence.samples import Samples
from catwise.influence.vectors import directional_derivatives

__all__ = ["Work", "estimated_seconds"]

SLOW = 2e9  # operations in a second that any machine does: what is short even so is not timed
SHORT = 30.0  # seconds
SIDE = 256  # of the matrix whose eigenvectors are timed; others take as long by their sides cubed


@dataclass(frozen=True)
class Work:
    """Hold what a diagnosis has to do.

    layers      those that influence covers
    groups_m    the group of each query sample
    pairs       pairs of a sample and a label of which the fit is made; 0 where nothing is fitted
    parts       processes among which each pass is divided
    statistics  those of batch norm: moving or fixed
    """

    model: nn.Module
    layers: Mapping[str, Layer]
    train: Samples
    groups_m: np.ndarray
    logits: Logits
    loss: Loss
    kind: Kind
    pairs: int
    parts: int = 1
    statistics: Statistics = "moving"

    @property
    def num_groups(self) -> int:
        """Return the number of columns of P."""
        return int(self.groups_m.max()) + 1


@dataclass(frozen=True)
class _Counts:
    """Hold multiplications and additions for one sample, over all covered layers.

    visit        forward and backward to the activations
    squares      of inputs and of gradients
    gradient     of the sample, where it is formed
    rotation     of that gradient to the bases
    direction    the product of the gradient with one direction
    """

    visit: float
    squares: float
    gradient: float
    rotation: float
    direction: float


def estimated_seconds(work: Work, plan: MemoryPlan) -> float:
    """Estimate the seconds of the fit and of P from the operations, and the speed of one batch.

    Where even a slow machine needs less than half a minute, nothing is timed. The speed differs
    among operations, and between the first batch and the rest, so that this is right to a factor of
    about two.
    """
    counts, bases = _counted(work), work.pairs > 0 and work.kind in ("ekfac", "kfac")
    once = counts.visit + counts.gradient
    total = len(work.train) * (plan.passes * once + work.num_groups * counts.direction)
    total *= len(work.train.views)
    total += len(work.groups_m) * 1.5 * counts.visit
    if moving_norms(
        work.model, work.statistics
    ):  # for each group a backward pass, and a forward one with tangents
        total += work.num_groups * min(SAMPLES, len(work.train)) * 2.5 * counts.visit
    if bases:
        total += work.pairs * (counts.visit + counts.squares)
    if work.kind in ("ekfac", "diagonal"):
        total += work.pairs * (once + (counts.rotation if bases else 0.0))
    seconds = total / SLOW
    if seconds > SHORT:
        rows = min(plan.batch_size, len(work.train))
        batch = Samples(work.train.labels[:rows], work.train.rows)
        v = {
            name: weight_of(layer).new_ones(1, *matrix_shape(layer))
            for name, layer in work.layers.items()
        }
        start = time.perf_counter()
        directional_derivatives(work.model, batch, v, batch_size=rows, loss=work.loss)
        speed = rows * (once + counts.direction) / (time.perf_counter() - start)
        seconds = total / speed
    return seconds / work.parts + (_eigen_seconds(work.layers) if bases else 0.0)


def _counted(work: Work) -> _Counts:
    few = work.train.rows(slice(0, 2))
    positions, _ = measure_activations(work.model, work.layers, few, work.logits)
    most = max(positions.values(), default=1)
    visit = squares = gradient = rotation = direction = 0.0
    for name, layer in work.layers.items():
        (o, i), t = matrix_shape(layer), positions.get(name, most)
        if isinstance(layer, nn.Embedding):  # of which only the rows of the tokens are touched
            squares, direction = squares + 2 * t * o * o, direction + 2 * t * o
            continue
        visit += 4 * t * o * i
        squares += 2 * t * (o * o // groups_of(layer) + groups_of(layer) * i * i)
        gradient += 2 * t * o * i if t > 1 else 0
        rotation += 2 * (t * o * o // groups_of(layer) + min(t, o) * i * i)
        direction += 2 * o * i
    return _Counts(visit, squares, gradient, rotation, direction)


def _eigen_seconds(layers: Mapping[str, Layer]) -> float:
    """Estimate the seconds of all eigenvectors from those of a small matrix."""
    cubes = 0
    for layer in layers.values():
        (o, i), groups = matrix_shape(layer), groups_of(layer)
        cubes += groups * ((o // groups) ** 3 + (0 if isinstance(layer, nn.Embedding) else i**3))
    share = cubes / SIDE**3
    if share < 1:
        return 0.0
    like = weight_of(next(iter(layers.values())))
    matrix = torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    matrix = matrix.to(like.device, torch.float64)
    start = time.perf_counter()
    torch.linalg.eigh(matrix @ matrix.T)
    return share * (time.perf_counter() - start)
