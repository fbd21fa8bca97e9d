"""See the layers that influence covers as matrices: a weight is (o, i), the bias its last column.

A convolution with groups is a matrix for each group, one below the other: (o, i) with the inputs i
of one group. The weights of a norm are a depthwise layer: each channel is a group, whose input is
the channel after it was normalised, so that their curvature is a small block for each channel.
Keys, queries and values of an attention are one layer, whose outputs are packed as its weights are.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from catwise.core.errors import InputError
from catwise.core.evaluation import evaluating
from catwise.core.losses import Batch, Logits, Loss

__all__ = [
    "CONVOLUTIONS",
    "NORMS",
    "Layer",
    "as_matrices",
    "as_parameters",
    "attention_in_parts",
    "called_with",
    "coverage",
    "covered_layers",
    "frozen",
    "groups_of",
    "is_channels_first",
    "layer_gradients",
    "matrix_shape",
    "own_parameters",
    "select_layers",
    "trained_parameters",
    "unfrozen",
    "weight_of",
]

Layer = Any  # a module of one of the kinds below; their attributes differ
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (
    nn.LayerNorm,
    nn.RMSNorm,
    nn.GroupNorm,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
)
FORWARDS = {kind.forward for kind in NORMS}


def covered_layers(
    model: nn.Module, embeddings: bool = False, norms: bool = False
) -> dict[str, Layer]:
    """Return the layers that influence covers, by name.

    They are Linear, Conv1d, Conv2d and Conv3d with any groups and padding, the packed projection of
    MultiheadAttention (its ``out_proj`` is a Linear of its own), and Conv1D of transformers. With
    ``embeddings`` there are Embedding layers too, and with ``norms`` the weights and biases of
    LayerNorm, RMSNorm, GroupNorm and batch norm. A layer whose parameters all belong to an earlier
    one is that layer, used again. A layer whose weight is frozen (``requires_grad=False``) was not
    trained and is left out, unless every parameter of the model is frozen, as in a copy that only
    predicts.

    Raises InputError where there is none.

    Differs from the paper: kronfluence covers Linear and Conv2d alone.

    >>> list(covered_layers(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))))
    ['0', '2']
    """
    trained = {id(parameter) for parameter in trained_parameters(model)}
    layers = {
        name: layer
        for name, layer in _known_layers(model, embeddings, norms).items()
        if id(weight_of(layer)) in trained
    }
    if not layers:
        raise InputError(
            "model: expected a layer that influence covers, such as Linear or Conv2d; got none "
            "that is trained, so no parameter has an influence"
        )
    return layers


def trained_parameters(model: nn.Module) -> list[nn.Parameter]:
    """List the parameters that are not frozen, or all of them if every one is."""
    parameters = list(model.parameters())
    return [part for part in parameters if part.requires_grad] or parameters


def _known_layers(model: nn.Module, embeddings: bool, norms: bool) -> dict[str, Layer]:
    """Return the layers of the kinds that are covered, frozen or not."""
    known = {name for name, _ in model.named_parameters()}  # each parameter by its first name
    return {
        name: module
        for name, module in model.named_modules()
        if _is_covered(module, embeddings, norms) and known >= set(_names(name, module))
    }


def select_layers(model: nn.Module, names: Iterable[str] | None) -> dict[str, Layer]:
    """Return the layers of these names, frozen or not; None stands for ``covered_layers``.

    Raises InputError for a name that is no covered layer of the model.
    """
    if names is None:
        return covered_layers(model)
    layers = _known_layers(model, embeddings=True, norms=True)
    if missing := [name for name in names if name not in layers]:
        raise InputError(
            f"curvature: expected layers of this model; got {missing[0]!r}, which is none of them"
        )
    return {name: layers[name] for name in names}


def coverage(model: nn.Module, names: Iterable[str] | None = None) -> float:
    """Compute the share of the model's parameters that lie in covered layers, or in those named.

    Frozen parameters count only where all are frozen.

    >>> coverage(nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3)))
    0.6
    """
    layers = select_layers(model, names)
    inside = {id(parameter) for layer in layers.values() for parameter in own_parameters(layer)}
    trained = trained_parameters(model)
    covered = sum(parameter.numel() for parameter in trained if id(parameter) in inside)
    return covered / sum(parameter.numel() for parameter in trained)


def is_channels_first(layer: nn.Module) -> bool:
    """Tell whether a LayerNorm is over axis 1, as the LayerNorm2d of torchvision and timm is."""
    return isinstance(layer, nn.LayerNorm) and type(layer).__name__ == "LayerNorm2d"


def _is_covered(layer: Layer, embeddings: bool, norms: bool) -> bool:
    """Tell whether the module is of a kind that is covered, whatever its parameters."""
    if isinstance(layer, NORMS):
        has_statistics = not hasattr(layer, "running_mean") or layer.running_mean is not None
        known = type(layer).forward in FORWARDS or is_channels_first(layer)
        return norms and known and has_statistics and layer.weight is not None
    if isinstance(layer, nn.MultiheadAttention):
        return layer.in_proj_weight is not None and layer.bias_k is None
    if isinstance(layer, nn.Embedding):
        return embeddings
    return isinstance(layer, (nn.Linear, *CONVOLUTIONS)) or _is_transposed_linear(layer)


def _is_transposed_linear(layer: nn.Module) -> bool:
    """Tell whether the layer is Conv1D of transformers: a Linear whose weight is (i, o)."""
    kind = type(layer)
    return kind.__name__ == "Conv1D" and kind.__module__ == "transformers.pytorch_utils"


def _parts(layer: Layer) -> dict[str, Tensor]:
    """Return the layer's weight and, where it has one, its bias, by the names of its attributes."""
    prefix = "in_proj_" if isinstance(layer, nn.MultiheadAttention) else ""
    names = (f"{prefix}weight", f"{prefix}bias")
    parts = {name: getattr(layer, name, None) for name in names}
    return {name: part for name, part in parts.items() if part is not None}


def _names(name: str, layer: Layer) -> list[str]:
    """Return the names of the layer's weight and bias as the model names them."""
    return [f"{name}.{part}".lstrip(".") for part in _parts(layer)]


def own_parameters(layer: Layer) -> list[Tensor]:
    """Return the layer's weight and, where it has one, its bias."""
    return list(_parts(layer).values())


def weight_of(layer: Layer) -> Tensor:
    """Return the layer's weight in the shape that the model has it."""
    return own_parameters(layer)[0]


def groups_of(layer: Layer) -> int:
    """Return the number of groups of the layer's outputs that have inputs of their own."""
    if isinstance(layer, NORMS):
        return layer.weight.numel()
    return layer.groups if isinstance(layer, CONVOLUTIONS) else 1


def _is_turned(layer: Layer) -> bool:
    """Tell whether the weight is the transpose of the layer's matrix."""
    return isinstance(layer, nn.Embedding) or _is_transposed_linear(layer)


def _as_matrix(layer: Layer, weight: Tensor, *bias: Tensor) -> Tensor:
    if isinstance(layer, NORMS):
        weight, bias = weight.reshape(-1, 1), tuple(part.flatten() for part in bias)
    matrix = weight.T if _is_turned(layer) else weight.flatten(1)
    return torch.cat([matrix, bias[0][:, None]], dim=1) if bias else matrix


def matrix_shape(layer: Layer) -> tuple[int, int]:
    """Return (o, i) of the layer's matrix, the bias counted in i.

    >>> matrix_shape(nn.Linear(2, 3))
    (3, 3)
    """
    weight, *bias = own_parameters(layer)
    o, i = len(weight), math.prod(weight.shape[1:])
    if isinstance(layer, NORMS):
        o, i = weight.numel(), 1
    elif _is_turned(layer):
        o, i = i, o
    return o, i + len(bias)


def as_matrices(layers: Mapping[str, Layer], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn parameters, or their gradients, into a matrix (o, i) for each layer.

    ``values`` are named as the model names its parameters, the result as it names its layers.
    """
    return {
        name: _as_matrix(layer, *(values[part] for part in _names(name, layer)))
        for name, layer in layers.items()
    }


def as_parameters(layers: Mapping[str, Layer], matrices: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo ``as_matrices``.

    >>> layer = nn.Linear(2, 3)
    >>> matrices = as_matrices({"": layer}, dict(layer.named_parameters()))
    >>> {name: tuple(part.shape) for name, part in as_parameters({"": layer}, matrices).items()}
    {'weight': (3, 2), 'bias': (3,)}
    """
    values = {}
    for name, layer in layers.items():
        weight, *bias = own_parameters(layer)
        columns = matrices[name][:, : matrices[name].shape[1] - len(bias)]
        parts = [columns.T if _is_turned(layer) else columns]
        parts += [matrices[name][:, -1]] * len(bias)
        for part, original, value in zip(_names(name, layer), [weight, *bias], parts, strict=True):
            values[part] = value.reshape(original.shape)
    return values


def called_with(
    model: nn.Module, parameters: Mapping[str, Tensor], function: Logits | Loss, batch: Batch
) -> Any:
    """Return function(model, batch) with these parameters in place of the model's own.

    The function meets the model itself, of which it may use any part.

    >>> zero = {"weight": torch.zeros(2, 3), "bias": torch.ones(2)}
    >>> called_with(nn.Linear(3, 2), zero, lambda model, batch: model(batch[0]), (torch.ones(3),))
    tensor([1., 1.])
    """
    named = {f"model.{name}": part for name, part in parameters.items()}
    return functional_call(_Called(model, function), named, (batch,))


class _Called(nn.Module):
    """Call a function of a model and a batch, as a module of which the model is a part."""

    def __init__(self, model: nn.Module, function: Logits | Loss) -> None:
        super().__init__()
        self.model, self.function = model, function

    def forward(self, batch: Batch) -> Any:
        return self.function(self.model, batch)


def layer_gradients(
    value: Tensor,
    parameters: Mapping[str, Tensor],
    layers: Mapping[str, Layer],
    retain_graph: bool = False,
) -> dict[str, Tensor]:
    """Differentiate a number: a matrix (o, i) for each layer, of zeros where it has no part."""
    gradients = torch.autograd.grad(
        value,
        list(parameters.values()),
        retain_graph=retain_graph,
        allow_unused=True,
        materialize_grads=True,
    )
    return as_matrices(layers, dict(zip(parameters, gradients, strict=True)))


@contextmanager
def unfrozen(model: nn.Module, layers: Mapping[str, Layer]) -> Iterator[dict[str, Tensor]]:
    """Freeze all but these layers inside, and yield their parameters as the model names them."""
    ids = {id(part) for layer in layers.values() for part in own_parameters(layer)}
    with frozen(model):
        named = model.named_parameters()
        yield {name: part.requires_grad_() for name, part in named if id(part) in ids}


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Put the model in evaluation mode and freeze its parameters inside; restore both at exit.

    The attention of torch is computed by its parts meanwhile, not by one call that hides them.
    """
    trainable = {parameter: parameter.requires_grad for parameter in model.parameters()}
    try:
        model.requires_grad_(False)
        with evaluating(model), attention_in_parts():
            yield
    finally:
        for parameter, flag in trainable.items():
            parameter.requires_grad_(flag)


@contextmanager
def attention_in_parts() -> Iterator[None]:
    """Let torch compute attention by its parts inside, of which the weights of each are seen."""
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
