"""What is measured of a classifier: per-sample loss, per-class accuracy and loss."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["QUERY_LOSSES", "Batch", "per_sample_loss", "per_sample_margin", "per_sample_probability"]


Batch = tuple[
    Tensor, ...
]  # what the model takes, then the labels; the first axis of each counts samples


def per_sample_loss(model: nn.Module, batch: Batch) -> Tensor:
    """l(z_i) = -log p(y_i | x_i), the cross entropy in nats: (n,)."""
    *inputs, y = batch
    return F.cross_entropy(model(*inputs), y, reduction="none")


def per_sample_probability(model: nn.Module, batch: Batch) -> Tensor:
    """-p(y_i | x_i): lower is better, as with the loss, but a sample that is lost anyway hardly counts: (n,)."""
    *inputs, y = batch
    return -model(*inputs).softmax(1).gather(1, y[:, None])[:, 0]


def per_sample_margin(model: nn.Module, batch: Batch) -> Tensor:
    """max_{k != y} z_k - z_y of the logits z: lower is better, below 0 the sample is classified right: (n,)."""
    *inputs, y = batch
    logits = model(*inputs)
    own = F.one_hot(y, logits.shape[1]).bool()
    return logits.masked_fill(own, -torch.inf).amax(1) - logits[own]


QUERY_LOSSES: dict[str, Callable[[nn.Module, Batch], Tensor]] = {
    "loss": per_sample_loss,
    "probability": per_sample_probability,
    "margin": per_sample_margin,
}
