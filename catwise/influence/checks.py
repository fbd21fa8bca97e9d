"""Check on a few samples that the gradient of each covered layer is what the passes take it for."""

import warnings

import numpy as np
import torch
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.losses import Logits
from catwise.influence.layers import (
    NORMS,
    Layer,
    coverage,
    covered_layers,
    layer_gradients,
    own_parameters,
    trained_parameters,
    unfrozen,
)
from catwise.influence.samples import Samples
from catwise.influence.visits import sample_gradients, visit_layers

__all__ = ["checked_layers"]

SAMPLES = 8  # that are checked
NAMED = 5  # layers that a warning names
TOLERANCE = 0.02  # of the gradients' length: TF32 and bfloat16 differ by less, a wrong layout by 1


def checked_layers(
    model: nn.Module,
    call: Logits,
    train: Samples,
    *,
    embeddings: bool = False,
    norms: bool = False,
) -> dict[str, Layer]:
    """Return the covered layers that ``call(model, batch)`` runs through.

    The gradient of a random sum over the logits of a few samples, in an order that no sorting
    leaves as it is, is taken by automatic differentiation, and as the same sum over the samples of
    a visit. A layer where the two differ is left out: it is not called as a module, samples share
    its inputs, they do not lie along its first axis or in another order, or its weight is also used
    in another way. A warning names what is left out, with the parameters that no kind of layer
    covers, and the share that stays covered. What ``embeddings`` and ``norms`` leave out is not
    named.

    Raises InputError where nothing is left.
    """
    layers = covered_layers(model, embeddings, norms)
    rows = _rows_out_of_order(train)
    samples = torch.arange(len(rows), device=rows.device)
    weights_n = torch.randn(len(rows), generator=torch.Generator().manual_seed(1)).tolist()

    def summed_n() -> Tensor:
        return _summed(call(model, train.rows(rows)))

    with unfrozen(model, layers) as parameters:
        total = sum(weight * value for weight, value in zip(weights_n, summed_n(), strict=True))
        expected = layer_gradients(total, parameters, layers)
    right: set[str] = set()
    unfit: set[str] = set()

    def compare(name: str, a: Tensor, g_nto: Tensor) -> None:
        error, squares = -expected[name], 0.0
        for n, weight in enumerate(weights_n):
            part = _gradient(layers[name], a[n : n + 1], g_nto[n : n + 1], error.shape)
            error += weight * part
            squares += (weight * torch.linalg.norm(part).item()) ** 2
        if name not in unfit and torch.linalg.norm(error).item() <= TOLERANCE * squares**0.5:
            right.add(name)

    visit_layers(model, layers, lambda: summed_n().sum(), compare, samples, unfit)
    kept = {name: layer for name, layer in layers.items() if name in right}
    lost = _uncovered(model, kept, embeddings, norms)
    if not kept:
        raise InputError(
            f"model: expected a layer that influence covers on the way to the logits; got none: "
            f"{_listed(lost)}"
        )
    if lost:
        share = 100 * coverage(model, names=kept)
        warnings.warn(
            f"left out of the influence: {_listed(lost)}; {share:.3g} % of the parameters stay "
            f"covered",
            stacklevel=3,
        )
    return kept


def _rows_out_of_order(train: Samples) -> Tensor:
    """Return the numbers of a few samples from everywhere, neither rising nor falling."""
    spread = np.linspace(0, len(train) - 1, min(SAMPLES, len(train))).round()
    order = np.random.default_rng(0).permutation(spread.astype(np.int64))
    return torch.from_numpy(order).to(train.labels.device)


def _summed(logits_nk: Tensor) -> Tensor:
    """Add up the logits of each sample with random weights, the same at every call: (n,)."""
    generator = torch.Generator().manual_seed(0)
    weights_k = torch.randn(logits_nk.shape[1:], generator=generator)
    return (logits_nk * weights_k.to(logits_nk)).reshape(len(logits_nk), -1).sum(1)


def _gradient(layer: Layer, a: Tensor, g_nto: Tensor, shape: torch.Size) -> Tensor:
    """Compute the gradient of one sample: (o, i)."""
    if not isinstance(layer, nn.Embedding):
        return sample_gradients(a, g_nto)[0]
    columns = g_nto.new_zeros(shape[1], shape[0])
    return columns.index_add_(0, a.flatten(), g_nto.flatten(0, 1)).T


def _uncovered(
    model: nn.Module, kept: dict[str, Layer], embeddings: bool, norms: bool
) -> dict[str, str]:
    """Find the modules with a trained parameter that is not covered: their kind by name."""
    inside = {id(parameter) for layer in kept.values() for parameter in own_parameters(layer)}
    outside = {id(parameter) for parameter in trained_parameters(model)} - inside
    skipped = (*(() if embeddings else (nn.Embedding,)), *(() if norms else NORMS))
    return {
        name or "the model itself": type(module).__name__
        for name, module in model.named_modules()
        if not isinstance(module, skipped)
        and any(id(part) in outside for part in module.parameters(recurse=False))
    }


def _listed(lost: dict[str, str]) -> str:
    names = [f"{name} ({kind})" for name, kind in lost.items()]
    more = [f"and {len(names) - NAMED} more"] if len(names) > NAMED else []
    return ", ".join(names[:NAMED] + more)
