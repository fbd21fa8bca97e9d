"""Compute influence vectors along the training, by segments of it (SOURCE).

One checkpoint at the end says what a sample does to the model if training went on for ever from
there. Training did not: a sample acts at every step, through the gradient and the curvature of that
step, and what it did early is partly forgotten by the steps that follow. SOURCE cuts the training
into L segments, takes gradients g_l,i and the mean curvature H_l at one checkpoint of each, and
treats a segment as gradient descent on a quadratic, whose learning rates sum to h_l. With the
weight decay c, A_l = H_l + c I:

    P[i, k] = sum_l  (D_{l+1} ... D_L q_k) . F_l g_l,i
    F_l = (1 - exp(-h_l A_l)) A_l^-1 / n        what the segment's steps make of a sample
    D_l = exp(-h_l A_l)                         what the segment leaves of what came before it

With one segment of infinite length at the last checkpoint F is H^-1 of Eq. 1 and P that of
``influence_vectors``. Where the learning rates are given one by one, the exponential is the product
of the steps, prod_t (1 - eta_t a) for an eigenvalue a of A; then P is exact on a quadratic loss.

Source: Bae, Lin, Lorraine, Grosse 2024, arXiv 2405.12186.
Differs from the paper: it takes P at the last checkpoint alone (Eq. 1).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.losses import Loss, per_sample_loss
from catwise.core.progress import Progress
from catwise.influence.curvature import Curvature, ExactHessian
from catwise.influence.moving_statistics import (
    MovingStatistics,
    Statistics,
    moving_statistics,
)
from catwise.influence.reading import as_samples
from catwise.influence.samples import Data
from catwise.influence.vectors import directional_derivatives, group_gradients

__all__ = ["Segment", "influence_by_segments"]


@dataclass(frozen=True)
class Segment:
    """Hold a stretch of the training, which the model at one checkpoint of it stands for.

    model         the network at the checkpoint, in float32 or float64
    curvature     its curvature there, of the *sum* over the n training samples; of factors the
                  damping counts in an endless segment alone, of a Hessian that has a penalty or a
                  damping in it this always does
    rates         the learning rate of every step of the segment; a single ``inf`` trains for ever,
                  which goes with neither a weight decay nor scales
    weight_decay  c, which each step adds as eta c theta
    exact_steps   whether the product of the steps stands in place of the exponential: exact on a
                  quadratic, but it needs eta a < 2 for every eigenvalue a, else InputError
    scales        by layer one number for the optimiser's preconditioner, as ``adam_scales`` gives
                  it; 1 where a layer is missing, as for SGD; "" names all layers of an
                  ``ExactHessian``. Differs from Adam, whose preconditioner differs between the
                  parameters of a layer.
    """

    model: nn.Module
    curvature: Curvature
    rates: Sequence[float]
    weight_decay: float = 0.0
    exact_steps: bool = False
    scales: Mapping[str, float] = field(default_factory=dict)

    @property
    def horizon(self) -> float:
        """Return h, the sum of the learning rates."""
        return math.fsum(self.rates)


def influence_by_segments(
    model: nn.Module,
    segments: Sequence[Segment],
    train: Data,
    query: Data,
    groups: Tensor,
    num_groups: int,
    *,
    batch_size: int,
    loss: Loss = per_sample_loss,
    query_loss: Loss = per_sample_loss,
    statistics: Statistics = "moving",
    progress: Progress = iter,
) -> Tensor:
    """Compute P (n, k) along the training, in the units and with the sign of ``influence_vectors``.

    ``model`` is the network at the end, ``segments`` are in the order of the training. The other
    arguments are those of ``influence_vectors``. The price is one pass over the query samples and
    one over the training samples for each segment, beside the fit of each segment's curvature.

    Raises InputError where there is no segment, where one is without steps or of another model,
    or has scales of other layers, where an endless one has a weight decay or scales, and where the
    exact steps of one diverge.

    >>> from catwise.influence.factors import fit_factors
    >>> x, labels = torch.tensor([[1.0], [-1.0], [1.0]]), torch.tensor([0, 1, 1])
    >>> model = nn.Linear(1, 2, bias=False)
    >>> _ = nn.init.zeros_(model.weight)
    >>> curvature = fit_factors(
    ...     model, (x, labels), kind="ekfac", damping=0.1, seed=0, batch_size=3, draw="every"
    ... )
    >>> segment = Segment(model, curvature, rates=[0.1, 0.1])
    >>> influence_by_segments(
    ...     model, [segment], (x, labels), (x[:2], labels[:2]), labels[:2], 2, batch_size=3
    ... )  # the third sample has a wrong label and harms both classes
    tensor([[ 0.0317,  0.0317],
            [ 0.0317,  0.0317],
            [-0.0317, -0.0317]])
    """
    if not segments:
        raise InputError("segments: expected one or more; got none")
    names = segments[-1].curvature.names
    for number, segment in enumerate(segments):
        if segment.curvature.names != names or not len(segment.rates):
            expected = f"steps, and a curvature of the layers {', '.join(names)}"
            layers = ", ".join(segment.curvature.names)
            got = f"{len(segment.rates)} steps and the layers {layers}"
            raise InputError(f"segments: expected {expected}; got {got} in segment {number}")
        layers_of_scales = [""] if isinstance(segment.curvature, ExactHessian) else names
        if unknown := [name for name in segment.scales if name not in layers_of_scales]:
            raise InputError(
                f"segments: expected scales of {', '.join(map(repr, layers_of_scales))};"
                f" got {', '.join(map(repr, unknown))} in segment {number}"
            )
        if math.isinf(segment.horizon) and (segment.weight_decay or segment.scales):
            raise InputError(
                "segments: expected no weight_decay and no scales with a rate of inf; got "
                f"{segment.weight_decay} and {dict(segment.scales)} in segment {number}"
            )
    train, query = as_samples(train, model, "train"), as_samples(query, model, "query")
    passes: dict[str, Any] = {"batch_size": batch_size, "progress": progress}

    def moving(model: nn.Module) -> MovingStatistics | None:
        return moving_statistics(model, train, loss, statistics)

    about: dict[str, Any] = {"layers": names, "query_loss": query_loss, "moving": moving(model)}
    v = group_gradients(model, query, groups, num_groups, **about, **passes)
    p_nk = torch.zeros(len(train), num_groups).to(next(iter(v.values())))
    for segment in reversed(segments):
        with torch.autocast(train.labels.device.type, enabled=False):
            gathered, v = _through(segment, v)
        p_nk += directional_derivatives(
            segment.model, train, gathered, loss=loss, moving=moving(segment.model), **passes
        )
    return p_nk


def _decay(segment: Segment, a: Tensor) -> Tensor:
    """Compute D's eigenvalues from A's: what the segment leaves of an earlier effect."""
    if not segment.exact_steps:
        return torch.exp(-segment.horizon * a)
    left = torch.ones_like(a)
    for rate in segment.rates:
        left = left * (1 - rate * a)
    return left


def _gathered(segment: Segment, a: Tensor) -> Tensor:
    """Compute n F's eigenvalues from A's: what a sample has done by the segment's end."""
    if not segment.exact_steps:
        reached, tiny = segment.horizon * a, torch.finfo(a.dtype).tiny
        reached = torch.where(reached.abs() < tiny, tiny, reached)  # for 0 / 0, which tends to 1
        return segment.horizon * (-torch.expm1(-reached) / reached)
    done = torch.zeros_like(a)
    for rate in segment.rates:
        done = (1 - rate * a) * done + rate
    return done


def _through(segment: Segment, v: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Compute F v, for the samples of the segment, and D v, which goes on to earlier ones."""
    if math.isinf(segment.horizon):
        return segment.curvature.solve(v), {
            name: torch.zeros_like(v_koi) for name, v_koi in v.items()
        }

    def gathered(name: str, eigenvalues: Tensor) -> Tensor:
        scale = segment.scales.get(name, 1.0)
        return (
            scale
            / segment.curvature.n
            * _gathered(segment, _preconditioned(segment, name, eigenvalues))
        )

    def decay(name: str, eigenvalues: Tensor) -> Tensor:
        return _decay(segment, _preconditioned(segment, name, eigenvalues))

    return segment.curvature.apply(v, gathered), segment.curvature.apply(v, decay)


def _preconditioned(segment: Segment, name: str, eigenvalues: Tensor) -> Tensor:
    """Return A's eigenvalues of a layer; raise InputError where exact steps diverge on them."""
    a = segment.scales.get(name, 1.0) * eigenvalues + segment.weight_decay
    largest = max(segment.rates) * float(a.max())
    if segment.exact_steps and largest >= 2:
        raise InputError(
            "segments: expected a rate times the largest eigenvalue below 2 for exact steps;"
            f" got {largest:.3g}; leave exact_steps out"
        )
    return a
