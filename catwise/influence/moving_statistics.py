"""Let the statistics of batch norm move with the weights, as they do in training.

In evaluation mode batch norm holds its means m and variances v fixed. But training takes them from
the activations, so they are functions s(theta) of the weights, and what a training, or a refresh of
the running statistics, feels is the total derivative

    dl/dtheta + (ds/dtheta)^T dl/ds

whose first term holds s fixed. The second takes away from the first what the normalisation undoes:
a weight that scales or shifts a channel before batch norm changes nothing after it. Most of a
gradient at fixed statistics is of that kind (docs/results.md has a ResNet-9 on CIFAR-10).

With y = gamma (z - m) / d + beta and d^2 = v + eps, the gradients of one sample at m and v follow
from those at the weights of its norm:

    dl/dm = -gamma / d  dl/dbeta        dl/dv = -gamma / (2 d^2)  dl/dgamma

So directions v_k of the weights need no new pass over the samples: their g_i . v_k has one term
more, which is that of a direction u_k of gamma and beta, (ds/dtheta v_k) times these factors. The
derivative ds/dtheta is that of some batches of training samples.

Differs from kronfluence, which holds the statistics fixed; the paper is silent.
"""

import copy
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from catwise.core.errors import InputError, in_one_line
from catwise.core.losses import Batch, Loss
from catwise.influence.checks import checked_layers
from catwise.influence.layers import (
    as_parameters,
    attention_in_parts,
    called_with,
    layer_gradients,
    select_layers,
    trained_parameters,
)
from catwise.influence.samples import Samples

__all__ = [
    "BATCH",
    "SAMPLES",
    "MovingStatistics",
    "Statistics",
    "moving_norms",
    "moving_statistics",
]

SAMPLES = 256  # training samples that ds/dtheta is taken from
BATCH = 64  # at once; not the passes' batches, so that memory does not change the answer

Statistics = Literal["moving", "fixed"]


@dataclass(frozen=True)
class MovingStatistics:
    """Hold a copy of the network whose batch norm takes the statistics of a batch.

    model      the network itself, in which they are fixed
    twin       the copy
    run        runs a batch through the copy, or through what stands in for it
    batches    of training samples, over which ds/dtheta is averaged
    factors    by norm dl/ds over the gradients of its weights: (c, 2), gamma and v first
    """

    model: nn.Module
    twin: nn.Module
    run: Loss
    batches: list[Batch]
    factors: dict[str, Tensor]

    @property
    def norms(self) -> list[str]:
        """Return the names of the batch norms whose statistics move."""
        return list(self.factors)

    def pull_back(self, q: dict[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
        """Add to gradients q_k of the layers ``names`` what reaches them through the statistics.

        ``q`` (k, o, i) by layer has the norms too, with the statistics fixed.
        """
        layers = select_layers(self.model, names)
        total = {name: q[name].clone() for name in layers}
        parameters = dict(self.twin.named_parameters())
        for batch in self.batches:
            statistics = self._statistics(batch)
            for k in range(len(q[self.norms[0]])):
                value = torch.stack(
                    [(self.factors[name] * q[name][k] * s).sum() for name, s in statistics.items()]
                )
                mean = value.sum() / len(self.batches)
                gradients = layer_gradients(mean, parameters, layers, retain_graph=True)
                for name, gradient in gradients.items():
                    total[name][k] += gradient
        return total

    def push_forward(self, v: dict[str, Tensor]) -> dict[str, Tensor]:
        """Add to directions v_k (k, o, i) those of the norms that stand for moving statistics."""
        layers = select_layers(self.model, v)
        parameters = dict(self.twin.named_parameters())
        count = len(next(iter(v.values())))
        total = dict(v)
        for name, factor in self.factors.items():
            total[name] = v[name].clone() if name in v else factor.new_zeros(count, *factor.shape)
        for k in range(count):
            tangents = as_parameters(layers, {name: v_koi[k] for name, v_koi in v.items()})
            primals = {name: parameters[name].detach() for name in tangents}
            for batch in self.batches:
                with torch.no_grad():
                    changes = jvp(partial(self._statistics, batch), (primals,), (tangents,))[1]
                for name, change in changes.items():
                    total[name][k] += self.factors[name] * change / len(self.batches)
        return total

    def _statistics(
        self, batch: Batch, parameters: Mapping[str, Tensor] = MappingProxyType({})
    ) -> dict[str, Tensor]:
        """Return (c, 2), v first, of each norm that the batch runs through, with ``parameters``."""
        norms: dict[str, Any] = {name: self.twin.get_submodule(name) for name in self.norms}
        try:
            # of the kinds of attention, this one alone has forward derivatives
            with (
                torch.autocast(batch[-1].device.type, enabled=False),
                attention_in_parts(),
                sdpa_kernel(SDPBackend.MATH),
            ):
                called_with(self.twin, parameters, self.run, batch)
            return {
                name: torch.stack(norm.statistics).mean(dim=0)
                for name, norm in norms.items()
                if norm.statistics
            }
        finally:
            for norm in norms.values():
                norm.statistics.clear()


class _BatchStatistics(nn.Module):
    """Normalise by the statistics of the batch, and list those of each call."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        self.statistics: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        axes = [0, *range(2, x.dim())]
        mean, variance = x.mean(axes), x.var(axes, correction=0)
        self.statistics.append(torch.stack([variance, mean], dim=1))
        scale = self.weight / (variance + self.eps).sqrt()
        shape = (1, -1, *[1] * (x.dim() - 2))
        return x * scale.view(shape) + (self.bias - mean * scale).view(shape)  # keeps x alone


def moving_norms(model: nn.Module, statistics: Statistics = "moving") -> dict[str, Any]:
    """Return the batch norms whose statistics move with the weights, by name; none if ``fixed``.

    They are torch's own, with trained weights: where those are frozen, so are the statistics.
    """
    if statistics not in get_args(Statistics):
        raise InputError(f"statistics: expected moving or fixed; got {statistics!r}")
    if statistics == "fixed":
        return {}
    trained = {id(parameter) for parameter in trained_parameters(model)}
    return {
        name: norm
        for name, norm in model.named_modules()
        if type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
        and norm.running_mean is not None
        and id(norm.weight) in trained
        and id(norm.bias) in trained
    }


def moving_statistics(
    model: nn.Module, train: Samples, loss: Loss, statistics: Statistics
) -> MovingStatistics | None:
    """Prepare the derivative of the statistics; None where there are none that move.

    ``loss(model, batch)`` runs the network. A norm whose gradient is not that of a visit, as where
    it is not called as a module, keeps its statistics.
    """
    norms = moving_norms(model, statistics)
    if not norms:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit has named what is left out
        fit = checked_layers(model, loss, train, norms=True)
    norms = {name: norm for name, norm in norms.items() if name in fit}
    if not norms:
        return None
    with _derivatives_expected():
        twin = copy.deepcopy(model).eval().requires_grad_(True)
    replacements = {
        id(norm): _BatchStatistics(twin.get_submodule(name)) for name, norm in norms.items()
    }
    for name, module in model.named_modules(remove_duplicate=False):
        if id(module) in replacements:
            parent, _, attribute = name.rpartition(".")
            setattr(twin.get_submodule(parent), attribute, replacements[id(module)])
    factors = {}
    for name, norm in norms.items():
        deviation = (norm.running_var + norm.eps).sqrt()
        gamma = norm.weight.detach()
        factors[name] = torch.stack([-gamma / (2 * deviation**2), -gamma / deviation], dim=1)
    samples = min(SAMPLES, len(train))
    count = math.ceil(samples / BATCH)
    rows = torch.linspace(0, len(train) - 1, samples).round().long()
    rows = rows.to(train.labels.device)
    # Each batch is spread evenly over the training set, which may be sorted by class.
    batches = [train.rows(rows[start::count]) for start in range(count)]
    moving = MovingStatistics(model, twin, loss, batches, factors)
    with _derivatives_expected(), torch.no_grad():
        primals = {name: part.detach() for name, part in twin.named_parameters()}
        tangents = {name: torch.zeros_like(part) for name, part in primals.items()}
        jvp(partial(moving._statistics, train.rows(rows[:2])), (primals,), (tangents,))
    return moving


@contextmanager
def _derivatives_expected() -> Iterator[None]:
    """Raise InputError where torch cannot copy the model, or has no forward derivatives of it."""
    try:
        yield
    except RuntimeError as error:
        raise InputError(
            "statistics: expected a model that torch can copy and differentiate forwards; got:"
            f" {in_one_line(error)}; statistics='fixed' asks for neither"
        ) from error
