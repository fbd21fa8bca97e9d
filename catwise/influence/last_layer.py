"""Take the curvature of the last layer alone, which is exact once the layers below are held fixed.

With features a_i below it, the logits of sample i are s W a_i, so the cross entropy is convex in W,
and with p_i the predicted probabilities its Hessian over the training samples is

    H = sum_i s^2 (diag p_i - p_i p_i^T) x a_i a_i^T        (x the Kronecker product)

Nothing is factored or drawn. Where layers are taken one by one, each answers for the whole change
of the logits, which is one reason for their sum to be too large. On digits and CIFAR-10 this P
predicts better what training again brings (docs/results.md).

Differs from the paper, which takes all layers, by EKFAC. Source: Yeh et al. 2018, arXiv 1811.09720,
explain predictions by the last layer alone. For language models it is disputed which layers do best
(Vitel and Chhabra 2025, arXiv 2511.04715).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.fingerprint import fingerprint
from catwise.core.losses import Logits, logits_of
from catwise.core.numbers import require_number
from catwise.core.progress import Progress
from catwise.influence.curvature import ExactHessian, full_precision
from catwise.influence.layers import Layer, covered_layers, matrix_shape
from catwise.influence.reading import as_samples
from catwise.influence.samples import Data, Samples
from catwise.influence.visits import visit_layers

__all__ = ["DAMPING", "LARGEST", "last_layer_hessian"]

DAMPING = 1.0  # best of 0.01 to 10 on digits_noisy10, and kept for all other data
LARGEST = 20_000  # parameters: the Hessian is a matrix of their square


def last_layer_hessian(
    model: nn.Module,
    train: Data,
    *,
    damping: float = DAMPING,
    batch_size: int = 256,
    logits: Logits = logits_of,
    progress: Progress = iter,
) -> ExactHessian:
    """Compute the Hessian of the summed cross entropy over the last layer's matrix, damped.

    ``damping`` times the mean of its eigenvalues is added to all of them. It stands for what the
    layers below do to the features when they are trained again, and so is far from small. ``train``
    is what ``as_samples`` takes; of ``Augmented`` samples it is the mean over the draws. The price
    is one forward pass over the training samples.

    The last layer is the linear one whose outputs, times a number, are the logits. The result is
    the ``curvature`` of ``influence_vectors`` or of ``diagnose``; batch norm below that layer does
    not move with it, so ``statistics="fixed"`` saves time and changes nothing.

    Raises InputError for a model without such a layer, for one with more than 20,000 parameters,
    and for a negative damping.

    >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> train = (torch.randn(20, 4), torch.arange(20) % 2)
    >>> last_layer_hessian(model, train).shapes
    {'2': (2, 4)}
    """
    require_number("damping", damping, 0)
    model = full_precision(model)
    source = as_samples(train, model, "train")
    name, scale = _last_layer(model, source, logits)
    layer = covered_layers(model)[name]
    o, i = matrix_shape(layer)
    hessian = layer.weight.new_zeros(o, i, o, i, dtype=torch.float64)
    batches = torch.arange(len(source), device=source.labels.device).split(batch_size)
    for view in source.views:
        for rows in progress(batches):
            logits_nk, visits = _visit(model, {name: layer}, view, rows, logits)
            p_nk, a_ni = logits_nk.double().softmax(dim=1), scale * visits[name][0][:, 0].double()
            for k in range(o):
                for j in range(k + 1):
                    weight_n = p_nk[:, k] * (float(j == k) - p_nk[:, j])
                    hessian[k, :, j] += a_ni.T @ (weight_n[:, None] * a_ni)
    hessian /= len(source.views)
    for k in range(o):
        for j in range(k):
            hessian[j, :, k] = hessian[k, :, j]  # a symmetric block
    flat = hessian.reshape(o * i, o * i)
    flat.diagonal().add_(damping * flat.diagonal().mean())
    return ExactHessian(
        flat.to(layer.weight.dtype), {name: (o, i)}, len(source), fingerprint(model)
    )


def _last_layer(model: nn.Module, train: Samples, logits: Logits) -> tuple[str, float]:
    """Find the linear layer whose outputs, times a number, are the logits; return both."""
    few = torch.arange(min(2, len(train)), device=train.labels.device)
    layers = {
        name: layer for name, layer in covered_layers(model).items() if type(layer) is nn.Linear
    }
    logits_nk, visits = _visit(model, layers, train, few, logits) if layers else (few, {})
    for name, (_, g_nto) in visits.items():
        if g_nto.shape != (len(few), 1, *logits_nk.shape[1:]):
            continue
        directions_k = _directions(logits_nk)
        scale = float(g_nto[0, 0] @ directions_k / (directions_k @ directions_k))
        if scale and torch.allclose(
            g_nto[:, 0], scale * directions_k.expand_as(g_nto[:, 0]), rtol=0.01
        ):
            o, i = matrix_shape(layers[name])
            if o * i > LARGEST:
                raise InputError(
                    f"model.{name}: expected at most {LARGEST} parameters in the last layer; got "
                    f"{o * i}; fit_factors takes more"
                )
            return name, scale
    raise InputError(
        "model: expected a linear layer whose outputs are the logits; got none; fit_factors takes "
        "all layers"
    )


def _visit(
    model: nn.Module, layers: Mapping[str, Layer], view: Samples, rows: Tensor, logits: Logits
) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
    """Return the logits (n, k), and each layer's inputs with the gradients of a sum of logits."""
    visits: dict[str, tuple[Tensor, Tensor]] = {}
    outputs: list[Tensor] = []

    def summed() -> Tensor:
        outputs.append(logits(model, view.rows(rows)))
        return (outputs[0] @ _directions(outputs[0])).sum()

    def see(name: str, a: Tensor, g_nto: Tensor) -> None:
        visits[name] = a, g_nto

    visit_layers(model, layers, summed, see, rows)
    return outputs[0].detach(), visits


def _directions(logits_nk: Tensor) -> Tensor:
    """Weigh the classes differently, so that a sum of logits tells them apart: (k,)."""
    return torch.arange(1, logits_nk.shape[1] + 1, device=logits_nk.device).to(logits_nk)
