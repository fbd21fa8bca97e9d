"""Measure a classifier: its predictions, and the accuracy and mean loss of every class."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from catwise.core.evaluation import evaluating
from catwise.core.losses import Batch, per_sample_margin
from catwise.core.precision import Precision, precision
from catwise.training.epochs import Recipe

__all__ = ["class_means", "class_rows", "logits", "margins", "per_class", "predict"]


def per_class(
    model: nn.Module, batch: Batch, num_classes: int, recipe: Recipe | None = None
) -> tuple[Tensor, Tensor]:
    """Compute the accuracy and the mean loss in nats of each class over its own samples.

    Both are (k,) in float64, on the CPU; an absent class has NaN. ``recipe`` is that of the
    training, whose number format and layout the passes take; without one they are in float32.

    >>> model, x = nn.Identity(), torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    >>> per_class(model, (x, torch.tensor([0, 1, 1])), num_classes=2)[0].tolist()
    [1.0, 0.5]
    """
    return class_means(logits(model, batch, recipe), batch[-1], num_classes)


def class_means(logits_nk: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Compute what ``per_class`` does, of logits (n, k) that are there already."""
    correct = (logits_nk.argmax(1) == labels).double()
    loss = F.cross_entropy(logits_nk, labels, reduction="none").double()
    count_k = torch.bincount(labels, minlength=num_classes)
    correct_k = torch.bincount(labels, weights=correct, minlength=num_classes)
    loss_k = torch.bincount(labels, weights=loss, minlength=num_classes)
    return (correct_k / count_k).cpu(), (loss_k / count_k).cpu()


def class_rows(
    accuracy_k: Tensor, loss_k: Tensor, classes: Sequence[str], state: dict[str, Any]
) -> list[dict[str, Any]]:
    """Make one row per class: the columns of ``state``, the class, its accuracy and its loss.

    >>> class_rows(torch.ones(1), torch.zeros(1), ["cat"], {"epoch": 3})
    [{'epoch': 3, 'class': 'cat', 'accuracy': 1.0, 'loss': 0.0}]
    """
    values = zip(classes, accuracy_k.tolist(), loss_k.tolist(), strict=True)
    return [
        {**state, "class": name, "accuracy": accuracy, "loss": loss}
        for name, accuracy, loss in values
    ]


def predict(logits_nk: Tensor) -> tuple[Tensor, Tensor]:
    """Return the likeliest class of each sample, and its probability: (n,) and (n,).

    >>> predict(torch.tensor([[0.0, 0.0, -torch.inf], [0.0, -torch.inf, -torch.inf]]))
    (tensor([0, 0]), tensor([0.5000, 1.0000]))
    """
    probability_n, label_n = logits_nk.softmax(1).max(1)
    return label_n.cpu(), probability_n.cpu()


def margins(logits_nk: Tensor, labels: Tensor) -> Tensor:
    """Compute z_y - max of the other logits of each sample: (n,).

    >>> margins(torch.tensor([[1.0, 3.0], [2.0, 0.0]]), torch.tensor([0, 0]))
    tensor([-2.,  2.])
    """
    return -per_sample_margin(nn.Identity(), (logits_nk, labels))


@torch.no_grad()
def logits(model: nn.Module, batch: Batch, recipe: Recipe | None = None) -> Tensor:
    """Compute the logits (n, k) in evaluation mode, a thousand samples at a time.

    ``recipe`` is as for ``per_class``. Logits in bfloat16 are returned as float32.
    """
    *inputs, labels = batch
    kind: Precision = recipe.precision if recipe else "float32"
    if recipe and recipe.channels_last:  # as after training, so that the bits are the same
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    parts = []
    with evaluating(model):
        for x, *others in zip(*(values.split(1000) for values in inputs), strict=True):
            if recipe and recipe.channels_last:
                x = x.contiguous(memory_format=torch.channels_last)
            with precision(kind, labels.device.type):
                parts.append(model(x, *others))
    whole = torch.cat(parts)
    return whole.float() if whole.dtype == torch.bfloat16 else whole
