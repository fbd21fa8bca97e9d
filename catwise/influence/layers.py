"""See the layers that influence covers as matrices: a weight is (o, i), the bias its last column.

For one sample the gradient of such a layer's matrix is G = sum_t g_t a_t^T: ``g`` is the gradient
at the layer's output and ``a`` its input at position t (for a convolution the patch under the
kernel), with a 1 appended for the bias. An embedding is a layer whose ``a`` has a single 1, at the
number of the token: that number is given in place of ``a``, as integers (n, t).
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from catwise.core.errors import InputError

__all__ = [
    "Layer",
    "as_matrices",
    "coverage",
    "covered_layers",
    "frozen",
    "matrix_shape",
    "visit_layers",
]

Layer = nn.Linear | nn.Conv2d | nn.Embedding
Visit = Callable[[str, Tensor, Tensor], None]  # the name of a layer, its inputs a, its gradients g


def covered_layers(model: nn.Module, embeddings: bool = False) -> dict[str, Layer]:
    """Return the Linear and Conv2d layers by name; with ``embeddings`` the Embedding layers too.

    Raises InputError where there is none, and for a convolution that is grouped or not padded by
    zeros.

    Differs from the paper: kronfluence covers no embedding, which is most of a small language
    model.

    >>> list(covered_layers(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))))
    ['0', '2']
    """
    kinds = (nn.Linear, nn.Conv2d, nn.Embedding) if embeddings else (nn.Linear, nn.Conv2d)
    layers = {name: module for name, module in model.named_modules() if isinstance(module, kinds)}
    if not layers:
        raise InputError(
            "model: expected a Linear or Conv2d layer; got none, so no parameter has an influence"
        )
    for name, layer in layers.items():
        if isinstance(layer, nn.Conv2d) and (layer.groups != 1 or layer.padding_mode != "zeros"):
            raise InputError(
                f"model.{name}: expected a convolution without groups and padded by zeros; "
                f"got {layer}"
            )
    return layers


def coverage(model: nn.Module, embeddings: bool = False) -> float:
    """Compute the share of the model's parameters that lie in covered layers.

    >>> coverage(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)))
    0.6
    """
    layers = covered_layers(model, embeddings).values()
    inside = sum(parameter.numel() for layer in layers for parameter in layer.parameters())
    return inside / sum(parameter.numel() for parameter in model.parameters())


def matrix_shape(layer: Layer) -> tuple[int, int]:
    """Return (o, i) of the layer's matrix, the bias counted in i.

    >>> matrix_shape(nn.Linear(2, 3))
    (3, 3)
    """
    if isinstance(layer, nn.Embedding):
        return layer.embedding_dim, layer.num_embeddings
    return layer.weight.shape[0], layer.weight[0].numel() + (layer.bias is not None)


def as_matrices(layers: dict[str, Layer], values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turn parameters, or their gradients, into a matrix (o, i) for each layer.

    ``values`` are named as the model names its parameters, the result as it names its layers.
    """
    by_layer = {}
    for name, layer in layers.items():
        weight = values[f"{name}.weight".lstrip(".")].flatten(1)
        if isinstance(layer, nn.Embedding):
            by_layer[name] = weight.T
            continue
        bias = [] if layer.bias is None else [values[f"{name}.bias".lstrip(".")][:, None]]
        by_layer[name] = torch.cat([weight, *bias], dim=1)
    return by_layer


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Put the model in evaluation mode and freeze its parameters inside; restore both at exit."""
    modes = {module: module.training for module in model.modules()}
    trainable = {parameter: parameter.requires_grad for parameter in model.parameters()}
    try:
        model.eval().requires_grad_(False)
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for parameter, flag in trainable.items():
            parameter.requires_grad_(flag)


def visit_layers(
    model: nn.Module,
    layers: dict[str, Layer],
    loss: Callable[[], Tensor],
    visit: Visit,
    samples: Tensor | None = None,
) -> None:
    """Run ``loss()`` forward and backward once, and call ``visit(name, a_nti, g_nto)`` on the way.

    ``loss`` is a sum over samples, so row n of g belongs to sample n alone (the model is in
    evaluation mode meanwhile). Only gradients of activations are computed: no weight gradient, and
    nothing below the first covered layer. A layer that is applied several times is visited as
    often; its gradients add up. ``samples`` are the numbers of the samples, for errors.

    Raises InputError where a value is not finite, with the names of the layer and of the first such
    sample; and for a layer whose input has not one row for each of the ``samples``.
    """
    ends: list[Tensor] = []  # outputs at which the backward pass may stop

    def forward(
        name: str, layer: Layer, inputs: tuple[Tensor, ...], output: Tensor
    ) -> Tensor | None:
        x = inputs[0].detach()
        if samples is not None and len(x) != len(samples):
            raise InputError(
                f"model.{name}: expected an input for each of the {len(samples)} samples, such as "
                f"position_ids of (n, t); got {len(x)}; or leave embeddings out"
            )
        is_end = not output.requires_grad
        if is_end:
            ends.append(output.requires_grad_())
        output.register_hook(partial(backward, name, layer, x))
        return output.clone() if is_end else None  # a copy, so that what follows may work in place

    def backward(name: str, layer: Layer, x: Tensor, gradient: Tensor) -> None:
        _require_finite(name, samples, x, gradient)
        if isinstance(layer, nn.Embedding) and layer.padding_idx is not None:
            gradient = gradient * (x != layer.padding_idx)[..., None]  # that row is never trained
        with torch.autocast(x.device.type, enabled=False):
            gradient = gradient.to(layer.weight.dtype)  # lower under autocast
            visit(name, _inputs(layer, x), _gradients(layer, gradient))

    with frozen(model), ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_hook(partial(forward, name)).remove)
        torch.autograd.grad(loss(), ends)


def _inputs(layer: Layer, x: Tensor) -> Tensor:
    """Return the layer's inputs ``a`` as (n, t, i); for an embedding the tokens' numbers (n, t)."""
    if isinstance(layer, nn.Embedding):
        return x.reshape(len(x), -1).long()
    x = x.to(layer.weight.dtype)
    if isinstance(layer, nn.Conv2d):
        padding = layer.padding
        if isinstance(padding, str):
            if padding == "same":
                x = F.pad(x, _same_padding(layer))
            padding = (0, 0)
        unfolded = F.unfold(x, layer.kernel_size, layer.dilation, padding, layer.stride)
        a = unfolded.transpose(1, 2)
    else:
        a = x.reshape(len(x), -1, x.shape[-1])
    return a if layer.bias is None else torch.cat([a, a.new_ones(*a.shape[:2], 1)], dim=2)


def _same_padding(layer: nn.Conv2d) -> list[int]:
    """Return the widths that ``padding="same"`` stands for, the last axis first as F.pad has it."""
    widths = []
    for dilation, size in zip(reversed(layer.dilation), reversed(layer.kernel_size), strict=True):
        total = dilation * (size - 1)
        widths += [total // 2, total - total // 2]
    return widths


def _gradients(layer: Layer, gradient: Tensor) -> Tensor:
    """Return the gradients ``g`` at the layer's outputs as (n, t, o)."""
    if isinstance(layer, nn.Conv2d):
        return gradient.flatten(2).transpose(1, 2)
    return gradient.reshape(len(gradient), -1, gradient.shape[-1])


def _require_finite(name: str, samples: Tensor | None, *parts: Tensor) -> None:
    if all(part.isfinite().all() for part in parts):
        return
    wrong = torch.stack([~part.flatten(1).isfinite().all(1) for part in parts]).any(0)
    row = int(wrong.nonzero()[0])
    number = row if samples is None else int(samples[row])
    raise InputError(
        f"gradients: expected finite values; got others for sample {number} in layer {name}"
    )
