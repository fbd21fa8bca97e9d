"""Call the model and the loss on a few samples before the work, to say what does not fit."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.losses import Batch, Logits, Loss
from catwise.influence.layers import frozen
from catwise.influence.samples import Samples, taken

__all__ = ["FEW", "named_inputs", "not_a_number", "require_logits", "require_loss"]

FEW = slice(0, 8)  # samples
ROUNDING = 1e-3  # of the sum of probabilities, of many classes in float32


def require_logits(
    name: str,
    model: nn.Module,
    few: Batch,
    logits: Logits,
    num_classes: int,
    called: str = "model",
    finite: bool = True,
) -> None:
    """Call the model on a few samples; ``name`` and ``called`` are those in errors.

    It warns of outputs that look like probabilities. Raises InputError for inputs that the model
    does not take, for outputs that are no logits of ``num_classes`` classes or more, and for some
    that are not finite unless ``finite`` is False.
    """
    shown = ", ".join(
        f"{key} {part.dtype} {tuple(part.shape)}".replace("torch.", "").strip()
        for key, part in named_inputs(few)
    )
    expected = f"{called}: expected a model that takes the inputs of {name}; got {shown}"
    output = _called(expected, logits, model, few)
    count, shape = len(few[-1]), _shape(output)
    if len(shape) != 2 or shape[0] != count or shape[1] < num_classes:
        single = "which returns, for example, the columns 0 and z of a single output z"
        remedy = f"; give logits=, {single}" if shape in ((), (count,), (count, 1)) else ""
        raise InputError(
            f"{called}: expected logits of {num_classes} classes, {(count, num_classes)}; got "
            f"{shape}{remedy}"
        )
    first = tuple(taken(part, slice(0, 1)) for part in few)
    if (row_shape := _shape(_called(expected, logits, model, first))) != (1, shape[1]):
        raise InputError(
            f"{called}: expected logits of a batch of one sample, {(1, shape[1])}; got {row_shape}"
        )
    if finite and (wrong_nk := not_a_number(output)).any():
        wrong = float(output[wrong_nk][0])
        raise InputError(
            f"{called}: expected finite logits; got {wrong} for samples of {name}; the training "
            f"may have diverged"
        )
    if output.min() >= 0 and (output.sum(1) - 1).abs().max() < ROUNDING:
        warnings.warn(
            "the outputs of the model look like probabilities; return logits, or their logarithm",
            stacklevel=4,
        )


def not_a_number(logits_nk: Tensor) -> Tensor:
    """Tell which logits are NaN or inf: (n, k). Those of classes that cannot be are -inf."""
    return logits_nk.isnan() | (logits_nk == torch.inf)


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


def named_inputs(batch: Batch) -> list[tuple[str, Tensor]]:
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
