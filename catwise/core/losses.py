"""Measure a classifier sample by sample: its training loss, and what influence vectors predict."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from catwise.core.errors import InputError

__all__ = [
    "QUERY_LOSSES",
    "TRAINING_LOSSES",
    "Batch",
    "Logits",
    "Loss",
    "focal_loss",
    "logits_of",
    "per_sample_loss",
    "per_sample_margin",
    "per_sample_probability",
    "with_logits",
]

# The inputs of the model, tensors or one dictionary of them by the names of its arguments, then the
# labels; the first axis of each tensor counts the samples.
Batch = tuple[Any, ...]
Logits = Callable[[nn.Module, Batch], Tensor]  # how the model is called: (n, k)
Loss = Callable[[nn.Module, Batch], Tensor]  # one value for each sample, (n,); lower is better


def logits_of(model: nn.Module, batch: Batch) -> Tensor:
    """Compute the model's logits of a batch, whose last part is the labels: (n, k).

    They are what the model returns, or its ``logits``, as models of transformers have them.
    """
    *inputs, _ = batch
    if len(inputs) == 1 and isinstance(inputs[0], Mapping):
        output = model(**inputs[0])
    else:
        output = model(*inputs)
    logits = getattr(output, "logits", output)
    if not isinstance(logits, Tensor):
        raise InputError(
            f"model: expected logits (n, k), or an output with them; got {type(output).__name__}; "
            "give logits=, a function of (model, batch)"
        )
    return logits


def per_sample_loss(model: nn.Module, batch: Batch, logits: Logits = logits_of) -> Tensor:
    """Compute the cross entropy l(z_i) = -log p(y_i | x_i) in nats: (n,).

    ``logits`` calls the model, here and in the other losses: see ``with_logits``.

    >>> per_sample_loss(nn.Identity(), (torch.zeros(2, 4), torch.tensor([0, 3])))
    tensor([1.3863, 1.3863])
    """
    return F.cross_entropy(logits(model, batch), batch[-1], reduction="none")


def focal_loss(
    model: nn.Module, batch: Batch, gamma: float = 2.0, logits: Logits = logits_of
) -> Tensor:
    """Compute -(1 - p)^gamma log p of the label, which spares the samples that are sure: (n,).

    With gamma = 0 it is the cross entropy; 2 is the choice of its source, Lin et al. 2017, arXiv
    1708.02002. Its mean is not rescaled.

    >>> focal_loss(nn.Identity(), (torch.zeros(1, 2), torch.tensor([0])))
    tensor([0.1733])
    """
    loss_n = per_sample_loss(model, batch, logits)
    return (1 - torch.exp(-loss_n)) ** gamma * loss_n


def per_sample_probability(model: nn.Module, batch: Batch, logits: Logits = logits_of) -> Tensor:
    """Compute -p(y_i | x_i), to which a sample that is lost anyway contributes little: (n,).

    >>> per_sample_probability(nn.Identity(), (torch.zeros(2, 4), torch.tensor([0, 3])))
    tensor([-0.2500, -0.2500])
    """
    return -logits(model, batch).softmax(1).gather(1, batch[-1][:, None])[:, 0]


def per_sample_margin(model: nn.Module, batch: Batch, logits: Logits = logits_of) -> Tensor:
    """Compute max_{k != y} z_k - z_y of the logits z, below 0 where the sample is classified right.

    The shape is (n,).

    >>> logits = torch.tensor([[3.0, 1.0], [3.0, 1.0]])
    >>> per_sample_margin(nn.Identity(), (logits, torch.tensor([0, 1])))
    tensor([-2.,  2.])
    """
    logits_nk = logits(model, batch)
    own = F.one_hot(batch[-1], logits_nk.shape[1]).bool()
    return logits_nk.masked_fill(own, -torch.inf).amax(1) - logits_nk[own]


QUERY_LOSSES: dict[str, Loss] = {  # what a class gradient q_k may be the gradient of
    "loss": per_sample_loss,
    "probability": per_sample_probability,
    "margin": per_sample_margin,
}
TRAINING_LOSSES: dict[str, Loss] = {"cross_entropy": per_sample_loss, "focal": focal_loss}


def with_logits(loss: Loss, logits: Logits) -> Loss:
    """Return a loss of this file as one that calls the model by ``logits``, any other as it is.

    >>> halved = with_logits(per_sample_margin, lambda model, batch: model(batch[0]) / 2)
    >>> halved(nn.Identity(), (torch.tensor([[3.0, 1.0]]), torch.tensor([0])))
    tensor([-1.])
    """
    own = (*QUERY_LOSSES.values(), *TRAINING_LOSSES.values())
    return partial(loss, logits=logits) if loss in own else loss  # type: ignore[call-arg]
