"""Call the model and the loss on a few samples before the work, to say what does not fit."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.losses import Batch, Logits, Loss
from catwise.influence.layers import frozen
from catwise.influence.samples import Samples
from catwise.training.models import checksum

__all__ = ["inputs_checksum", "require_logits", "require_loss", "require_unseen"]

FEW = slice(0, 8)  # samples
CHANCE = 2  # query samples, and % of them, that may repeat training samples by chance
ROUNDING = 1e-3  # of the sum of probabilities, of many classes in float32


def require_logits(
    name: str,
    model: nn.Module,
    samples: Samples,
    logits: Logits,
    classes: int,
    called: str = "model",
) -> None:
    """Call the model on the first of the samples; ``name`` and ``called`` are those in errors.

    It warns of outputs that look like probabilities. Raises InputError for inputs that the model
    does not take, and for outputs that are no logits of as many ``classes`` or more.
    """
    few = samples.rows(FEW)
    shown = ", ".join(
        f"{key} {part.dtype} {tuple(part.shape)}".replace("torch.", "").strip()
        for key, part in _inputs(few)
    )
    output = _called(
        f"{name}: expected inputs that the model takes; got {shown}", logits, model, few
    )
    count, shape = len(few[-1]), _shape(output)
    if len(shape) != 2 or shape[0] != count or shape[1] < classes:
        raise InputError(
            f"{called}: expected logits of {classes} classes, {(count, classes)}; got {shape}; "
            f"give logits=, which returns, for example, the columns 0 and z of a single output z"
        )
    if output.min() >= 0 and (output.sum(1) - 1).abs().max() < ROUNDING:
        warnings.warn(
            "the outputs of the model look like probabilities; return logits, or their logarithm",
            stacklevel=4,
        )


def require_loss(name: str, loss: Loss, model: nn.Module, samples: Samples) -> None:
    """Raise InputError unless the loss of the first samples is a value for each of them."""
    few = samples.rows(FEW)
    called = getattr(loss, "__name__", type(loss).__name__)
    expected = f"{name}: expected a function of (model, batch); got {called}"
    count, shape = len(few[-1]), _shape(_called(expected, loss, model, few))
    if shape != (count,):
        raise InputError(
            f"{name}: expected a value for each of {count} samples, {(count,)}; got {shape}; "
            f"leave the mean out"
        )


def require_unseen(query: Samples, train: Samples) -> None:
    """Raise InputError where query samples have the inputs of training samples.

    As many may have them by chance as training samples repeat each other, and a few more.
    """
    marks, counts = np.unique(train.marks(), return_counts=True)
    seen = int(np.isin(query.marks(), marks).sum())
    repeated = 1 - int((counts == 1).sum()) / len(train)
    if seen > max(CHANCE, (CHANCE / 100 + repeated) * len(query)):
        raise InputError(
            f"query: expected samples that the model was not trained on; got {seen} of {len(query)}"
            " with the inputs of training samples"
        )


def inputs_checksum(samples: Samples) -> str:
    """Return the checksum of the inputs of the first samples."""
    inputs = enumerate(_inputs(samples.rows(FEW)))
    return checksum({f"{number} {key}": part for number, (key, part) in inputs})


def _inputs(batch: Batch) -> list[tuple[str, Tensor]]:
    """List the inputs of a batch, with their names if they have some."""
    named = (part if isinstance(part, Mapping) else {"": part} for part in batch[:-1])
    return [pair for parts in named for pair in parts.items()]


def _called(
    expected: str, function: Callable[[nn.Module, Batch], Tensor], model: nn.Module, batch: Batch
) -> Tensor:
    """Return function(model, batch); where it fails, ``expected`` begins the one line of why."""
    try:
        with frozen(model), torch.no_grad():
            return function(model, batch)
    except InputError:
        raise
    except Exception as error:
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"{expected}: {line}") from error


def _shape(output: Any) -> tuple[int, ...]:
    """Return the shape of a tensor, and () of anything else."""
    return tuple(output.shape) if isinstance(output, Tensor) else ()
