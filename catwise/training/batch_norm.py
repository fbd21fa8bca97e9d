"""Take the running statistics of batch norm again, for weights that have moved on without them."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from catwise.core.evaluation import evaluating
from catwise.core.losses import Batch

__all__ = ["has_batch_norm", "refresh_statistics", "statistics"]


def has_batch_norm(model: nn.Module) -> bool:
    """Say whether a layer of the model keeps running statistics."""
    return bool(_layers(model))


@torch.no_grad()
def refresh_statistics(model: nn.Module, batches: Iterable[Batch]) -> None:
    """Replace each running mean and variance by the plain mean of those of ``batches``.

    The weights stay as they are, and so does the mode of every layer. Layers beside batch norm run
    as in evaluation, because that is how the statistics will be used. No step is taken.

    Sources: a cumulative average, as in torch's ``momentum=None`` and in "precise batch norm"
    (Wu, Johnson 2021, arXiv 2105.07576).

    >>> model = nn.Sequential(nn.BatchNorm1d(1))
    >>> batches = [(torch.tensor([[0.0], [2.0]]), torch.zeros(2)) for _ in range(2)]
    >>> refresh_statistics(model, batches)
    >>> model[0].running_mean, model[0].running_var
    (tensor([1.]), tensor([2.]))
    """
    momenta = {layer: layer.momentum for layer in _layers(model)}
    try:
        with evaluating(model):
            for layer in momenta:
                layer.reset_running_stats()
                layer.momentum = None  # the mean over all batches so far
                layer.train()
            for *inputs, _ in batches:
                model(*inputs)
    finally:
        for layer, momentum in momenta.items():
            layer.momentum = momentum


def statistics(model: nn.Module) -> dict[str, Tensor]:
    """Copy the running statistics of all layers, under their names in the state of the model."""
    buffers = model.state_dict()
    return {
        f"{name}.{kind}": buffers[f"{name}.{kind}"].clone()
        for name, module in model.named_modules()
        if module in _layers(model)
        for kind in ("running_mean", "running_var", "num_batches_tracked")
    }


def _layers(model: nn.Module) -> list[_BatchNorm]:
    return [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
