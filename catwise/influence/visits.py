"""Visit each covered layer on one pass over a batch, with its inputs and gradients.

For one sample the gradient of a layer's matrix is G = sum_t g_t a_t^T: ``g`` is the gradient at the
layer's output and ``a`` its input at position t (for a convolution the patch under the kernel, for
a norm the normalised value), with a 1 appended for the bias.

    a (n, t, i), g (n, t, o)        most layers
    a (n, t, groups, i)             a layer with groups: G has o / groups rows for each of them
    a (n, t), integers              an embedding: its ``a`` has a single 1, at the token's number
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from catwise.core.errors import InputError
from catwise.influence.layers import (
    CONVOLUTIONS,
    NORMS,
    Layer,
    frozen,
    groups_of,
    is_channels_first,
    own_parameters,
    weight_of,
)

__all__ = ["sample_gradients", "visit_layers"]

LINEAR = F.linear
Visit = Callable[[str, Tensor, Tensor], None]  # the name of a layer, its inputs a, its gradients g


def sample_gradients(a: Tensor, g_nto: Tensor) -> Tensor:
    """Compute G = sum_t g_t a_t^T of each sample: (n, o, i), of a layer with groups group by group.

    >>> a, g = torch.ones(1, 2, 3), torch.ones(1, 2, 4)
    >>> sample_gradients(a, g).shape
    torch.Size([1, 4, 3])
    """
    if a.dim() == 4:
        g_ntgo = g_nto.unflatten(2, (a.shape[2], -1))
        return (g_ntgo.permute(0, 2, 3, 1) @ a.transpose(1, 2)).flatten(1, 2)
    return g_nto.transpose(1, 2) @ a


def visit_layers(
    model: nn.Module,
    layers: Mapping[str, Layer],
    loss: Callable[[], Tensor],
    visit: Visit,
    samples: Tensor | None = None,
    unfit: set[str] | None = None,
) -> None:
    """Run ``loss()`` forward and backward once, and call ``visit(name, a, g)`` on the way.

    ``loss`` is a sum over samples, so row n of g belongs to sample n alone (the model is in
    evaluation mode meanwhile). Only gradients of activations are computed: no weight gradient, and
    nothing below the first covered layer. A layer that is applied several times, also under
    another name, is visited once, its uses one after the other along t. ``samples`` are the numbers
    of the samples, for errors; ``unfit`` takes the names of layers whose rows do not fit them.

    Linear layers are met where ``F.linear`` takes their weight, or a part of it, as torch's
    attention does; all others where their module is called.

    Raises InputError where a value is not finite, with the names of the layer and of the first such
    sample; and, without ``unfit``, for a layer whose inputs have not the same number of rows for
    each of the ``samples``.
    """
    visitor = _Visitor(layers, visit, samples, unfit)
    with frozen(model), ExitStack() as hooks:
        for name, module in _uses(model, layers):
            if not isinstance(module, (nn.Linear, nn.MultiheadAttention)):
                hook = partial(visitor.called, name)
                hooks.callback(module.register_forward_hook(hook, with_kwargs=True).remove)
        # The ends hold the visitor by their hooks: a circle, in which all that ``visit`` holds
        # would wait for the garbage collector.
        hooks.callback(visitor.ends.clear)
        with _LinearCalls(model, layers, visitor):
            value = loss()
        if visitor.ends:
            torch.autograd.grad(value, visitor.ends, allow_unused=True)
    visitor.finish()


def _uses(model: nn.Module, layers: Mapping[str, Layer]) -> list[tuple[str, Layer]]:
    """Find the modules that hold the parameters of a covered layer: it, and those tied to it."""
    names = {tuple(map(id, own_parameters(layer))): name for name, layer in layers.items()}
    uses = []
    for module in model.modules():
        key = tuple(id(part) for part in module.parameters(recurse=False))
        if key in names and type(module) is type(layers[names[key]]):
            uses.append((names[key], module))
    return uses


class _Visitor:
    """Keep each use of a layer from its forward pass until all its gradients are there."""

    def __init__(
        self,
        layers: Mapping[str, Layer],
        visit: Visit,
        samples: Tensor | None,
        unfit: set[str] | None,
    ) -> None:
        self.layers, self.visit, self.samples, self.unfit = layers, visit, samples, unfit
        self.ends: list[Tensor] = []  # outputs at which the backward pass may stop
        self.calls: Counter[str] = Counter()
        self.parts: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def called(
        self,
        name: str,
        layer: Layer,
        inputs: tuple[Tensor, ...],
        named: dict[str, Tensor],
        output: Tensor,
    ) -> Tensor | None:
        """Note the use of a layer; return what stands in for its output, None if nothing has to."""
        return self.used(name, next(iter((*inputs, *named.values()))), output)

    def used(
        self, name: str, x: Tensor, output: Tensor, rows: slice | None = None, axis: int = 0
    ) -> Tensor | None:
        """Do what ``called`` does, where ``rows`` of the weight were used.

        ``axis`` is that of the samples in ``x`` and in the output.
        """
        x, layer = x.detach(), self.layers[name]
        count = len(x) if self.samples is None else len(self.samples)
        shared = isinstance(layer, nn.Embedding) and len(x) == 1 < count
        if shared:  # such as the positions of all texts: from here on each has its own
            x, output = x.expand(count, *x.shape[1:]), output.expand(count, *output.shape[1:])
        if x.numel() % count or (axis == 0 and len(x) % count):
            if self.unfit is not None:
                self.unfit.add(name)
                return None
            raise InputError(
                f"model.{name}: expected an input for each of the {count} samples; got {len(x)}"
            )
        is_end = not output.requires_grad
        if is_end:
            self.ends.append(output.requires_grad_())
        self.calls[name] += 1
        output.register_hook(partial(self._gradient, name, x, rows, axis))
        # a copy, so that what follows may work in place
        return output.clone() if is_end or shared else None

    def _gradient(
        self, name: str, x: Tensor, rows: slice | None, axis: int, gradient: Tensor
    ) -> None:
        layer = self.layers[name]
        if axis == 1:
            count = x.shape[1] if self.samples is None else len(self.samples)
            x, gradient = (
                part.reshape(-1, count, part.shape[-1]).transpose(0, 1) for part in (x, gradient)
            )
        _require_finite(name, self.samples, x, gradient)
        if isinstance(layer, nn.Embedding) and layer.padding_idx is not None:
            gradient = gradient * (x != layer.padding_idx)[..., None]  # that row is never trained
        with torch.autocast(x.device.type, enabled=False):
            weight = weight_of(layer)
            gradient = gradient.to(weight.dtype)  # lower under autocast
            a, g = _inputs(layer, x), _by_position(layer, gradient)
            if rows is not None:
                whole = g.new_zeros(*g.shape[:2], len(weight))
                whole[:, :, rows] = g
                g = whole
            if self.samples is not None and len(a) != len(self.samples):  # such as windows
                a, g = (part.reshape(len(self.samples), -1, *part.shape[2:]) for part in (a, g))
            self.parts.setdefault(name, []).append((a, g))
            if len(self.parts[name]) == self.calls[name]:
                self._visit(name)

    def _visit(self, name: str) -> None:
        parts = self.parts.pop(name)
        a, g = parts[0]
        if len(parts) > 1:
            a, g = (torch.cat(side, dim=1) for side in zip(*parts, strict=True))
        self.visit(name, a, g)

    def finish(self) -> None:
        """Visit the layers that the loss takes from some of their uses alone."""
        for name in list(self.parts):
            self._visit(name)


class _LinearCalls(TorchFunctionMode):
    """Tell the visitor of every call of ``F.linear`` with the weight of a covered layer."""

    def __init__(self, model: nn.Module, layers: Mapping[str, Layer], visitor: _Visitor) -> None:
        super().__init__()
        self.visitor = visitor
        self.names = {
            id(weight_of(layer)): name
            for name, layer in layers.items()
            if isinstance(layer, (nn.Linear, nn.MultiheadAttention))
        }
        attentions = [part for part in model.modules() if isinstance(part, nn.MultiheadAttention)]
        self.positions_first = {id(part.in_proj_weight) for part in attentions} | {
            id(part.out_proj.weight) for part in attentions
        }

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is F.multi_head_attention_forward:  # its own calls do not come here
            F.linear = self._linear
            try:
                return func(*args, **(kwargs or {}))
            finally:
                F.linear = LINEAR
        return (self._linear if func is F.linear else func)(*args, **(kwargs or {}))

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        output = LINEAR(input, weight, bias)
        whole, rows = weight, None
        if id(weight) not in self.names and weight._base is not None:
            whole = weight._base
            if weight.shape[1:] != whole.shape[1:] or not weight.is_contiguous():
                return output
            start = (weight.storage_offset() - whole.storage_offset()) // weight.shape[1]
            rows = slice(start, start + len(weight))
        if id(whole) not in self.names:
            return output
        axis = 1 if id(whole) in self.positions_first else 0
        replaced = self.visitor.used(self.names[id(whole)], input, output, rows, axis)
        return output if replaced is None else replaced


def _inputs(layer: Layer, x: Tensor) -> Tensor:
    """Return the layer's inputs ``a``, as the head of this file has them."""
    if isinstance(layer, nn.Embedding):
        return x.reshape(len(x), -1).long()
    weight, *bias = own_parameters(layer)
    x = x.to(weight.dtype)
    if isinstance(layer, CONVOLUTIONS):
        a = _patches(layer, x)
    elif isinstance(layer, NORMS):
        a = _by_position(layer, _normalised(layer, x))
    else:
        a = x.reshape(len(x), -1, x.shape[-1])
    if isinstance(layer, NORMS) or groups_of(layer) > 1:
        a = a.unflatten(2, (groups_of(layer), -1))
    return torch.cat([a, a.new_ones(*a.shape[:-1], 1)], dim=-1) if bias else a


def _patches(layer: Layer, x: Tensor) -> Tensor:
    """Return what lies under the kernel at each position: (n, t, channels times kernel)."""
    axes, padding = len(layer.kernel_size), layer.padding
    plain = layer.padding_mode == "zeros" and not isinstance(padding, str)
    if not plain:
        if padding != "valid":
            mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
            x = F.pad(x, _padding_widths(layer), mode=mode)
        padding = (0,) * axes
    if axes == 2:
        unfolded = F.unfold(x, layer.kernel_size, layer.dilation, padding, layer.stride)
        return unfolded.transpose(1, 2)
    x = F.pad(x, [width for size in reversed(padding) for width in (size, size)])
    for axis in range(axes):
        dilation = layer.dilation[axis]
        reach = dilation * (layer.kernel_size[axis] - 1) + 1
        x = x.unfold(2 + axis, reach, layer.stride[axis])[..., ::dilation]
    return x.flatten(2 + axes).flatten(2, 1 + axes).permute(0, 2, 1, 3).flatten(2)


def _padding_widths(layer: Layer) -> list[int]:
    """Return the widths of the layer's padding, the last axis first as F.pad has it."""
    widths = []
    for axis in reversed(range(len(layer.kernel_size))):
        if layer.padding == "same":
            total = layer.dilation[axis] * (layer.kernel_size[axis] - 1)
            widths += [total // 2, total - total // 2]
        else:
            widths += [layer.padding[axis]] * 2
    return widths


def _normalised(layer: Layer, x: Tensor) -> Tensor:
    """Return what a norm multiplies by its weight."""
    if isinstance(layer, nn.GroupNorm):
        return F.group_norm(x, layer.num_groups, eps=layer.eps)
    if isinstance(layer, nn.RMSNorm):
        return F.rms_norm(x, layer.normalized_shape, eps=layer.eps)
    if is_channels_first(layer):
        return F.layer_norm(x.movedim(1, -1), layer.normalized_shape, eps=layer.eps).movedim(-1, 1)
    if isinstance(layer, nn.LayerNorm):
        return F.layer_norm(x, layer.normalized_shape, eps=layer.eps)
    return F.batch_norm(x, layer.running_mean, layer.running_var, eps=layer.eps)


def _by_position(layer: Layer, values: Tensor) -> Tensor:
    """Return values at the layer's outputs, such as gradients, as (n, t, o)."""
    over_features = isinstance(layer, (nn.LayerNorm, nn.RMSNorm)) and not is_channels_first(layer)
    if isinstance(layer, (*CONVOLUTIONS, *NORMS)) and not over_features:
        return values.reshape(*values.shape[:2], -1).transpose(1, 2)
    size = weight_of(layer).numel() if over_features else values.shape[-1]
    return values.reshape(len(values), -1, size)


def _require_finite(name: str, samples: Tensor | None, *parts: Tensor) -> None:
    if all(part.isfinite().all() for part in parts):
        return
    count = len(parts[0]) if samples is None else len(samples)
    wrong = torch.stack([~part.reshape(count, -1).isfinite().all(1) for part in parts]).any(0)
    row = int(wrong.nonzero()[0])
    number = row if samples is None else int(samples[row])
    where = f"in layer {name}" if name else "in the model"
    raise InputError(
        f"gradients: expected finite values; got others for sample {number} {where}; look for NaN "
        f"among its inputs"
    )
