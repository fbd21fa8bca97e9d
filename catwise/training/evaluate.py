"""Measure a classifier: its predictions, and the accuracy and mean loss of every class."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from catwise.core.losses import Batch

__all__ = ["class_rows", "per_class", "predict"]


def per_class(model: nn.Module, batch: Batch, num_classes: int) -> tuple[Tensor, Tensor]:
    """Compute the accuracy and the mean loss in nats of each class over its own samples.

    Both are (k,) in float64, on the CPU; an absent class has NaN.

    >>> model, x = nn.Identity(), torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    >>> per_class(model, (x, torch.tensor([0, 1, 1])), num_classes=2)[0].tolist()
    [1.0, 0.5]
    """
    labels, logits = batch[-1], _logits(model, batch)
    correct = (logits.argmax(1) == labels).double()
    loss = F.cross_entropy(logits, labels, reduction="none").double()
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


def predict(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the class that the model gives to each sample, and its probability: (n,) and (n,)."""
    probability_n, label_n = _logits(model, batch).softmax(1).max(1)
    return label_n.cpu(), probability_n.cpu()


@torch.no_grad()
def _logits(model: nn.Module, batch: Batch) -> Tensor:
    """Compute the logits (n, k) in evaluation mode, a thousand samples at a time."""
    *inputs, _ = batch
    training = model.training
    model.eval()
    parts = zip(*(values.split(1000) for values in inputs), strict=True)
    logits = torch.cat([model(*part) for part in parts])
    model.train(training)
    return logits
