"""Measure a classifier sample by sample: its training loss, and what influence vectors predict."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "QUERY_LOSSES",
    "Batch",
    "Loss",
    "per_sample_loss",
    "per_sample_margin",
    "per_sample_probability",
]

# The inputs of the model, then the labels; the first axis of each tensor counts the samples.
Batch = tuple[Tensor, ...]
Loss = Callable[[nn.Module, Batch], Tensor]  # one value for each sample, (n,); lower is better


def per_sample_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Compute the cross entropy l(z_i) = -log p(y_i | x_i) in nats: (n,).

    >>> per_sample_loss(nn.Identity(), (torch.zeros(2, 4), torch.tensor([0, 3])))
    tensor([1.3863, 1.3863])
    """
    *inputs, labels = batch
    return F.cross_entropy(model(*inputs), labels, reduction="none")


def per_sample_probability(model: nn.Module, batch: Batch) -> Tensor:
    """Compute -p(y_i | x_i), to which a sample that is lost anyway contributes little: (n,).

    >>> per_sample_probability(nn.Identity(), (torch.zeros(2, 4), torch.tensor([0, 3])))
    tensor([-0.2500, -0.2500])
    """
    *inputs, labels = batch
    return -model(*inputs).softmax(1).gather(1, labels[:, None])[:, 0]


def per_sample_margin(model: nn.Module, batch: Batch) -> Tensor:
    """Compute max_{k != y} z_k - z_y of the logits z, below 0 where the sample is classified right.

    The shape is (n,).

    >>> logits = torch.tensor([[3.0, 1.0], [3.0, 1.0]])
    >>> per_sample_margin(nn.Identity(), (logits, torch.tensor([0, 1])))
    tensor([-2.,  2.])
    """
    *inputs, labels = batch
    logits = model(*inputs)
    own = F.one_hot(labels, logits.shape[1]).bool()
    return logits.masked_fill(own, -torch.inf).amax(1) - logits[own]


QUERY_LOSSES: dict[str, Loss] = {  # what a class gradient q_k may be the gradient of
    "loss": per_sample_loss,
    "probability": per_sample_probability,
    "margin": per_sample_margin,
}
