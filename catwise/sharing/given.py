"""Check what a diagnosis is given: model, samples with their labels, bins, and memory."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from catwise.ceiling.calibration import FEWEST_SUBSETS
from catwise.core.errors import InputError
from catwise.core.fingerprint import fingerprint
from catwise.core.losses import Logits
from catwise.core.numbers import require_number
from catwise.data.free_memory import free_memory
from catwise.improvement.first_calls import FEW, require_logits
from catwise.improvement.own_models import TrainFunction, require_trainer
from catwise.improvement.own_samples import require_labels, require_unseen
from catwise.influence.curvature import Curvature, full_precision
from catwise.influence.duration import Work, estimated_seconds
from catwise.influence.layers import Layer, matrix_shape, select_layers
from catwise.influence.memory import MemoryPlan, plan_memory
from catwise.influence.reading import as_samples
from catwise.influence.samples import Data, Samples
from catwise.influence.vectors import validation_bins

__all__ = [
    "announced_plan",
    "checked_curvature",
    "checked_model",
    "checked_samples",
    "dealt_bins",
    "require_numbers",
]

FEWEST = 3  # query samples of a class: their spread over as many bins is the noise of the verdict


def dealt_bins(groups_m: np.ndarray, names: tuple[str, ...], bins: int, seed: int) -> np.ndarray:
    """Deal the query samples of each group into bins; return group * bins + bin, (m,)."""
    require_number("bins", bins, FEWEST, whole=True)
    require_number("seed", seed, 0, whole=True)
    sizes_k = np.bincount(groups_m, minlength=len(names))
    smallest = int(sizes_k.min())
    if smallest < FEWEST:
        name = names[int(sizes_k.argmin())]
        raise InputError(
            f"query: expected {FEWEST} samples or more of every class; got {smallest} of {name!r}"
        )
    return validation_bins(groups_m, min(bins, smallest), np.random.default_rng(seed))


def require_numbers(
    memory: float | None,
    halves: int,
    small_gain: float,
    retrain: TrainFunction | None,
) -> None:
    """Raise InputError for numbers of ``diagnose`` that make no sense, and for no trainer."""
    require_number("memory", 1 if memory is None else memory, 1)
    require_number("halves", halves, FEWEST_SUBSETS, whole=True)
    require_number("small_gain", small_gain, 0)
    if retrain is not None:
        require_trainer("retrain", retrain)


def checked_model(model: Any) -> nn.Module:
    """Return a copy in float32 of a model in half precision, and any other model as it is.

    Raises InputError for anything but a torch module, and for one on a device without float64.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model: expected a torch module; got {type(model).__name__}")
    if any(part.device.type == "mps" for part in model.parameters()):
        raise InputError("model: expected one on a device with float64; got one on mps; use .cpu()")
    return full_precision(model)


def checked_curvature(curvature: Any, model: nn.Module, train: Samples) -> dict[str, Layer]:
    """Return the layers of a curvature; raise InputError unless it is of this model and these."""
    if not isinstance(curvature, Curvature):
        got = type(curvature).__name__
        raise InputError(f"curvature: expected one that fit_factors or a Hessian gives; got {got}")
    layers = select_layers(model, curvature.names)
    for name, layer in layers.items():
        if curvature.shapes[name] != matrix_shape(layer):
            raise InputError(
                f"curvature: expected {matrix_shape(layer)} in layer {name}; got "
                f"{curvature.shapes[name]}"
            )
    if curvature.n != len(train):
        raise InputError(
            f"curvature: expected that of the {len(train)} training samples; got that of "
            f"{curvature.n}"
        )
    if curvature.weights not in ("", fingerprint(model)):
        raise InputError("curvature: expected that of this model; got that of other weights")
    return layers


def checked_samples(
    name: str,
    data: Data,
    classes: Sequence[str],
    model: nn.Module,
    logits: Logits,
    train: Samples | None = None,
) -> Samples:
    """Return the samples.

    Raises InputError for labels that are no numbers of classes, for what ``as_samples`` and
    ``require_logits`` refuse, for the samples ``train``, and for training samples of one class.
    """
    samples = as_samples(data, model, name)
    require_labels(name, samples.labels, len(classes))
    require_logits(name, model, samples.rows(FEW), logits, len(classes))
    if train is not None:
        require_unseen(samples, train)
    elif len(present := samples.labels.unique()) == 1:
        only = classes[int(present)]
        raise InputError(f"{name}: expected samples of two classes or more; got {only}")
    return samples


def announced_plan(work: Work, batch_size: int, memory: float | None) -> MemoryPlan:
    """Divide the work so that it fits in memory; say so on stderr, and about how long it takes.

    A few samples that cannot be differentiated are left to the work itself, which says why.
    """
    plan = plan_memory(
        work.model,
        work.layers,
        work.train.rows(slice(0, 2)),
        work.logits,
        kind=work.kind,
        samples=len(work.train),
        num_groups=work.num_groups,
        batch_size=batch_size,
        memory=free_memory(work.train.labels.device) / 2 if memory is None else memory,
        statistics=work.statistics,
    )
    line = str(replace(plan, passes=plan.passes * len(work.train.views)))
    with suppress(InputError):
        line += f"; {duration(estimated_seconds(work, plan))}"
    print(line, file=sys.stderr, flush=True)
    return plan


def duration(seconds: float) -> str:
    """Say about how long something takes, in the unit that suits.

    >>> duration(0.2), duration(80), duration(9000)
    ('less than a minute', 'about 1.3 minutes', 'about 2.5 hours')
    """
    if seconds < 60:
        return "less than a minute"
    value, unit = (seconds / 60, "minutes") if seconds < 5400 else (seconds / 3600, "hours")
    return f"about {value:.2g} {unit}"
