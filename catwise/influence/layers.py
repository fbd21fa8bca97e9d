"""The layers that influence covers, seen as matrices: a weight is (o, i), the bias its last column.

For one sample the gradient of such a layer's matrix is G = sum_t g_t a_t^T: ``g`` the gradient at its output,
``a`` its input (for a convolution the patch under the kernel, with a 1 for the bias) at position t. An embedding is a
layer whose ``a`` has a single 1, at the place of the token: it is given as that place, a_nt in integers.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from catwise.core.errors import InputError

__all__ = ["Layer", "coverage", "covered_layers", "frozen", "matrices", "matrix_shape", "per_layer"]


Layer = nn.Linear | nn.Conv2d | nn.Embedding


def covered_layers(model: nn.Module, embeddings: bool = False) -> dict[str, Layer]:
    """The Linear and Conv2d layers by name, and the Embedding layers too if they are asked for.

    Raises InputError where there is none, or one that is grouped.
    Differs from the paper: kronfluence covers no embedding, which is most of a small language model.
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
                f"model.{name}: expected a convolution without groups and padded by zeros; got {layer}"
            )
    return layers


def coverage(model: nn.Module, embeddings: bool = False) -> float:
    """The share of the model's parameters that lie in covered layers."""
    layers = covered_layers(model, embeddings).values()
    inside = sum(parameter.numel() for layer in layers for parameter in layer.parameters())
    return inside / sum(parameter.numel() for parameter in model.parameters())


def matrix_shape(layer: Layer) -> tuple[int, int]:
    """(o, i) of the layer's matrix, the bias counted in i."""
    if isinstance(layer, nn.Embedding):
        return layer.embedding_dim, layer.num_embeddings
    return layer.weight.shape[0], layer.weight[0].numel() + (layer.bias is not None)


def matrices(layers: dict[str, Layer], values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters, or gradients of them, by the parameters' names -> matrices (o, i) by the layers' names."""
    found = {}
    for name, layer in layers.items():
        weight = values[f"{name}.weight".lstrip(".")].flatten(1)
        if isinstance(layer, nn.Embedding):
            found[name] = weight.T
            continue
        bias = [] if layer.bias is None else [values[f"{name}.bias".lstrip(".")][:, None]]
        found[name] = torch.cat([weight, *bias], dim=1)
    return found


def rows(layer: Layer, x: Tensor) -> Tensor:
    """The layer's inputs ``a`` as (n, t, i); of an embedding, the places of the ones as (n, t)."""
    if isinstance(layer, nn.Embedding):
        return x.reshape(len(x), -1).long()
    x = x.to(layer.weight.dtype)
    if isinstance(layer, nn.Conv2d):
        padding = layer.padding
        if isinstance(padding, str):
            total = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
            x = (
                F.pad(x, [w for p in reversed(total) for w in (p // 2, p - p // 2)])
                if padding == "same"
                else x
            )
            padding = (0, 0)
        unfolded = F.unfold(x, layer.kernel_size, layer.dilation, padding, layer.stride)
        a = unfolded.transpose(1, 2)
    else:
        a = x.reshape(len(x), -1, x.shape[-1])
    return a if layer.bias is None else torch.cat([a, a.new_ones(*a.shape[:2], 1)], dim=2)


def columns(layer: Layer, gradient: Tensor) -> Tensor:
    """The gradients ``g`` at the layer's outputs as (n, t, o)."""
    if isinstance(layer, nn.Conv2d):
        return gradient.flatten(2).transpose(1, 2)
    return gradient.reshape(len(gradient), -1, gradient.shape[-1])


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients of parameters inside; both as they were afterwards."""
    modes = {module: module.training for module in model.modules()}
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    try:
        model.eval().requires_grad_(False)
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for parameter, flag in wanted.items():
            parameter.requires_grad_(flag)


Use = Callable[[str, Tensor, Tensor], None]


def per_layer(
    model: nn.Module,
    layers: dict[str, Layer],
    loss: Callable[[], Tensor],
    use: Use,
    samples: Tensor | None = None,
) -> None:
    """Runs ``loss()`` forward and backward once and hands (name, a_nti, g_nto) of each of the layers to ``use``.

    ``loss`` is a sum over samples, so row n of g belongs to sample n alone (the model is in evaluation mode meanwhile).
    Only gradients of activations are computed: no weight gradient, and nothing below the first covered layer.
    A layer that is applied several times is handed over as often; its gradients add up. Raises InputError where a value
    is not finite, with the name of the layer and of the first such sample, by its number in ``samples``.
    """
    ends: list[Tensor] = []  # outputs at which the backward pass may stop

    def watch(name: str, layer: Layer) -> Callable[..., Tensor | None]:
        def forward_hook(
            module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
        ) -> Tensor | None:
            x, dtype = (
                inputs[0].detach(),
                layer.weight.dtype,
            )  # the activations are lower under autocast
            if samples is not None and len(x) != len(samples):
                wanted = f"an input for each of the {len(samples)} samples, such as position_ids of (n, t)"
                raise InputError(
                    f"model.{name}: expected {wanted}; got {len(x)}; or leave embeddings out"
                )
            is_end = not output.requires_grad
            if is_end:
                ends.append(output.requires_grad_())

            def backward_hook(gradient: Tensor) -> None:
                _require_finite(name, samples, x, gradient)
                if isinstance(layer, nn.Embedding) and layer.padding_idx is not None:
                    gradient = (
                        gradient * (x != layer.padding_idx)[..., None]
                    )  # that row is never trained
                with torch.autocast(x.device.type, enabled=False):
                    use(name, rows(layer, x), columns(layer, gradient.to(dtype)))

            output.register_hook(backward_hook)
            return (
                output.clone() if is_end else None
            )  # a copy, so that what follows may work in place

        return forward_hook

    with frozen(model), ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_hook(watch(name, layer)).remove)
        torch.autograd.grad(loss(), ends)


def _require_finite(name: str, samples: Tensor | None, *parts: Tensor) -> None:
    if all(part.isfinite().all() for part in parts):
        return
    bad = torch.stack([~part.flatten(1).isfinite().all(1) for part in parts]).any(0)
    row = int(bad.nonzero()[0])
    number = row if samples is None else int(samples[row])
    raise InputError(f"gradients: expected finite values; sample {number} has none in layer {name}")
