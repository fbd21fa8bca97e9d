"""Plan the memory of a fit and of the passes after it, before the work begins."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.losses import Batch, Logits
from catwise.influence.factors import Kind
from catwise.influence.layers import Layer, frozen, groups_of, matrix_shape, weight_of
from catwise.influence.moving_statistics import BATCH, Statistics, moving_norms

__all__ = ["MemoryPlan", "measure_activations", "plan_memory"]

UNITS = {"GB": 1e9, "MB": 1e6, "KB": 1e3}  # bytes
PASS_BYTES = 8  # of a number of P in the passes: in float32, and again where columns are joined
CHECK_BYTES = 24  # of one in float64 while the ceiling is checked, with all that this takes


@dataclass(frozen=True)
class MemoryPlan:
    """Hold what a diagnosis will take beside the model and its samples.

    peak        bytes that are held at once at most, by estimate
    batch_size  samples at once
    at_once     groups of query samples at once
    passes      passes over the training samples that P takes: one for as many groups
    """

    peak: int
    batch_size: int
    at_once: int
    passes: int

    def __str__(self) -> str:
        samples = "a sample" if self.batch_size == 1 else f"{self.batch_size} samples"
        passes = "one pass" if self.passes == 1 else f"{self.passes} passes"
        return (
            f"memory: about {_size(self.peak)} at the peak, {samples} at once; {passes} over the "
            f"training samples for P"
        )


@dataclass(frozen=True)
class _Sizes:
    """Hold numbers of values: of a layer's matrix and of its factors, and of a sample's patches."""

    matrix: int
    factors: int
    eigen: int
    sample: int


def plan_memory(
    model: nn.Module,
    layers: Mapping[str, Layer],
    few: Batch,
    logits: Logits,
    *,
    kind: Kind,
    samples: int,
    num_groups: int,
    batch_size: int,
    memory: float,
    statistics: Statistics = "moving",
) -> MemoryPlan:
    """Divide the work so that it fits in ``memory`` bytes: smaller batches, fewer groups at once.

    ``few`` samples are sent through the model once, to see how large its activations are. Counted
    are the factors with the eigenvectors of the largest in float64, the gradient of the model, one
    direction for each group that is held at once, and for each sample of a batch its activations
    and the largest gradient of a layer. Moving statistics of batch norm need the activations of
    their own batch, which is never made smaller. P itself has a number for each of the training
    ``samples`` and each group, and is held whole.

    Raises InputError where P, or one sample and one group, do not fit, with the bytes that they
    need.
    """
    if (vectors := CHECK_BYTES * samples * num_groups) > memory:
        raise InputError(
            f"memory: expected {_size(vectors)} or more for P of {samples} samples and {num_groups}"
            f" groups; got {_size(memory)}; fewer bins= make fewer groups"
        )
    positions, activations = measure_activations(model, layers, few, logits)
    most = max(positions.values(), default=1)  # for layers that are not called as modules
    sizes = [_sizes(layer, positions.get(name, most), kind) for name, layer in layers.items()]
    width = weight_of(next(iter(layers.values()))).element_size()
    whole, largest = sum(size.matrix for size in sizes), max(size.matrix for size in sizes)
    factors = width * sum(size.factors for size in sizes)
    eigen = 8 * max(size.eigen for size in sizes)
    fixed = factors + max(eigen, 2 * width * whole) + PASS_BYTES * samples * num_groups
    direction = width * (whole + 3 * largest)
    sample = width * (2 * activations + max(size.sample for size in sizes))
    norm_batch = BATCH * 2 * width * activations if moving_norms(model, statistics) else 0
    left, least = memory - fixed, direction + max(sample, norm_batch)
    if left < least:
        raise InputError(
            f"memory: expected {_size(fixed + least)} or more for this model; got "
            f"{_size(memory)}; kind='diagonal' needs less"
        )
    rows = int(max(1, min(batch_size, (left - direction) // 2 // sample)))
    batch = max(rows * sample, norm_batch)
    at_once = int(max(1, min(num_groups, (left - batch) // direction)))
    passes = math.ceil(num_groups / at_once)
    at_once = math.ceil(num_groups / passes)  # as even as they can be
    peak = max(fixed + batch + at_once * direction, vectors)
    return MemoryPlan(int(peak), rows, at_once, passes)


def _size(count: float) -> str:
    """Say how many bytes, in the unit that suits.

    >>> _size(2.3e9), _size(22_200), _size(10)
    ('2.3 GB', '22.2 KB', '0.01 KB')
    """
    unit = next((unit for unit in UNITS if count >= UNITS[unit]), "KB")
    return f"{count / UNITS[unit]:.3g} {unit}"


def _sizes(layer: Layer, positions: int, kind: Kind) -> _Sizes:
    o, i = matrix_shape(layer)
    groups, one_of_each = groups_of(layer), isinstance(layer, nn.Embedding)
    bases = groups * ((o // groups) ** 2 + (i if one_of_each else i**2))
    if kind not in ("ekfac", "kfac"):
        bases = 0
    eigen = 3 * max(o // groups, 0 if one_of_each else i) ** 2 if bases else 0
    gradient = o * i if positions > 1 and not one_of_each else 0
    patches = positions * (o + (1 if one_of_each else groups * i))
    return _Sizes(o * i, o * i + bases, eigen * groups, 2 * (gradient + patches))


def measure_activations(
    model: nn.Module, layers: Mapping[str, Layer], few: Batch, logits: Logits
) -> tuple[dict[str, int], int]:
    """Count the positions of each layer, and the values that leave all modules, for one sample."""
    names = {id(layer): name for name, layer in layers.items()}
    positions: dict[str, int] = {}
    total = 0
    count = len(few[-1])

    def note(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal total
        if not isinstance(output, Tensor):
            return
        values = math.ceil(output.numel() / count)
        total += values
        if name := names.get(id(module)):
            positions[name] = max(1, values // matrix_shape(module)[0])

    hooks = [
        module.register_forward_hook(note)
        for module in model.modules()
        if not list(module.children())
    ]
    try:
        with frozen(model), torch.no_grad():
            logits(model, few)
    finally:
        for hook in hooks:
            hook.remove()
    return positions, total
