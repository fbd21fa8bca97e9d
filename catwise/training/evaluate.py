"""Measure a classifier: accuracy and mean loss of every class."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from catwise.core.losses import Batch

__all__ = ["class_rows", "per_class"]


@torch.no_grad()
def per_class(model: nn.Module, batch: Batch, num_classes: int) -> tuple[Tensor, Tensor]:
    """Accuracy and mean loss of each class over its own samples, each (k,) in float64; NaN for an absent class."""
    *inputs, y = batch
    training = model.training
    model.eval()
    parts = zip(*(values.split(1000) for values in inputs), strict=True)
    logits = torch.cat([model(*part) for part in parts])
    model.train(training)
    hit = (logits.argmax(1) == y).double()
    loss = F.cross_entropy(logits, y, reduction="none").double()
    count = torch.bincount(y, minlength=num_classes)
    sums = [torch.bincount(y, weights=value, minlength=num_classes) for value in (hit, loss)]
    return (sums[0] / count).cpu(), (sums[1] / count).cpu()


def class_rows(
    accuracy_k: Tensor, loss_k: Tensor, classes: Sequence[str], state: dict[str, Any]
) -> list[dict[str, Any]]:
    """One row per class, in long form: the ``state`` they were measured in, the class, its accuracy and loss."""
    values = zip(classes, accuracy_k.tolist(), loss_k.tolist(), strict=True)
    return [
        {**state, "class": name, "accuracy": accuracy, "loss": loss}
        for name, accuracy, loss in values
    ]
