"""Fit the factors of a layer-wise curvature: EKFAC, KFAC, a diagonal or the identity.

For one sample the gradient of a layer's matrix is G = sum_t g_t a_t^T: see
``catwise.influence.visits``. The Fisher matrix of the layer is F = E[vec G vec G^T], with labels y
as likely as the model says. Each kind takes it as U diag(Lambda) U^T with U = U_o x U_i:

    ekfac     U from E[a a^T] and E[g g^T], Lambda_oi = E[(U_o^T G U_i)_oi^2]
              (George et al. 2018, arXiv 1806.03884)
    kfac      the same U, Lambda = T (eigenvalues of E[g g^T]) x (eigenvalues of E[a a^T])
              (Grosse and Martens 2016)
    diagonal  U = identity, Lambda_oi = E[G_oi^2]
    identity  U = identity, Lambda = 1

E is the mean over samples; for a and g also over the positions, whose number is T. kronfluence
leaves T out of its kfac. A layer with groups is as many layers, whose bases are stacked.

A pair (sample i, label y) matters to F as p_y |e_y - p|^2, the squared gradient at the logits:
next to nothing for the many samples that the model is sure of. So pairs are drawn in that
proportion, and weighted down by it (``catwise.influence.fisher_pairs``).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.fingerprint import fingerprint
from catwise.core.losses import Logits, logits_of
from catwise.core.numbers import require_number
from catwise.core.progress import Progress
from catwise.core.spread import Workers
from catwise.core.statistics import require_finite
from catwise.influence.checks import checked_layers
from catwise.influence.curvature import FactoredCurvature, full_precision
from catwise.influence.fisher_pairs import Draw, draw_pairs
from catwise.influence.fisher_passes import (
    About,
    Factors,
    Mask,
    attention_mask,
    second_moments,
    squares,
)
from catwise.influence.layers import (
    Layer,
    frozen,
    matrix_shape,
    weight_of,
)
from catwise.influence.parts import in_parts
from catwise.influence.reading import as_samples
from catwise.influence.samples import Data, Samples

__all__ = [
    "Kind",
    "fit_factors",
    "require_options",
]

LARGE = 1_000  # rows of a factor, from which its eigenvectors are not computed in float64

Kind = Literal["ekfac", "kfac", "diagonal", "identity"]
Layers = dict[str, Layer]


def fit_factors(
    model: nn.Module,
    train: Data,
    *,
    kind: Kind,
    damping: float,
    seed: int,
    batch_size: int,
    draw: Draw = "importance",
    samples: int | None = None,
    logits: Logits = logits_of,
    mask: Mask | None = None,
    embeddings: bool = False,
    norms: bool = False,
    layers: Layers | None = None,
    workers: Workers | None = None,
    progress: Progress = iter,
) -> FactoredCurvature:
    """Fit the factors at the model's weights on ``samples`` pairs, None meaning as many as samples.

    Of a model in half precision they are those of a copy in float32.

    ``draw`` and ``seed`` decide which pairs; the same seed gives the same bits. The weighted sum
    over the pairs stands for the mean over the whole training set, whose size is ``n`` of the
    result. ``train`` is what ``as_samples`` takes. ``logits`` calls the model, and ``mask`` tells
    the real positions of a padded batch; by default it is the ``attention_mask`` of a dictionary.
    ``embeddings`` covers Embedding layers too; the basis of their inputs is the identity, because
    E[a a^T] of vectors with a single 1 is diagonal. ``norms`` covers the weights of norms, with a
    basis of their two inputs (the normalised value and 1) for each channel. A layer whose gradient
    on a few samples is not that of automatic differentiation is left out, with a warning;
    ``layers`` are what is covered where ``checked_layers`` has found it before. With ``workers``
    each pass is divided among them; sums then differ in their last digits.

    Raises InputError for an unknown ``kind`` or ``draw``, for a negative ``damping``, for more
    ``samples`` than there are, or any with ``draw="every"``, and where a prediction or a gradient
    is not finite.

    Differs from kronfluence, whose fit is ``draw="balanced"`` of all samples but for the labels
    that it draws: both passes see the same pairs, and the per-sample gradient is rotated by
    whichever side has fewer operations.

    >>> model = nn.Sequential(nn.Linear(4, 3, bias=False))
    >>> train = (torch.randn(20, 4), torch.arange(20) % 3)
    >>> fitted = fit_factors(model, train, kind="ekfac", damping=0.1, seed=0, batch_size=10)
    >>> fitted.n, fitted.layers["0"]["eigenvalues"].shape
    (20, torch.Size([3, 4]))
    """
    model = full_precision(model) if layers is None else model
    source = as_samples(train, model, "train")
    n = len(source)
    require_options(kind, draw, damping, samples, batch_size, n)
    if layers is None:
        layers = checked_layers(model, logits, source, embeddings=embeddings, norms=norms)
    factors: Factors
    if kind == "identity":
        ones = {
            name: weight_of(layer).new_ones(matrix_shape(layer)) for name, layer in layers.items()
        }
        factors = {name: {"eigenvalues": ones[name]} for name in ones}
        return FactoredCurvature(n, damping, factors, fingerprint(model))
    probability_nk = _probabilities(model, source, logits, batch_size, workers)
    pairs = draw_pairs(probability_nk, source.labels, draw, samples, seed)
    about = About(pairs, logits, mask or attention_mask, list(layers))
    batches = torch.arange(len(pairs.rows)).split(batch_size)

    pass_over = partial(_pass_over, workers, batches, model, source, about, progress)
    factors = {name: {} for name in layers}
    if kind != "diagonal":
        factors = _bases(layers, pass_over(squares), kind)
    if kind != "kfac":
        for name, eigenvalues in pass_over(second_moments, factors).items():
            factors[name]["eigenvalues"] = eigenvalues
    return FactoredCurvature(n, damping, factors, fingerprint(model))


def require_options(
    kind: str, draw: str, damping: float, samples: int | None, batch_size: int, n: int
) -> None:
    """Raise InputError for options of ``fit_factors`` that make no sense with n samples."""
    for name, value, known in (("kind", kind, Kind), ("draw", draw, Draw)):
        if value not in get_args(known):
            raise InputError(f"{name}: expected one of {', '.join(get_args(known))}; got {value!r}")
    require_number("damping", damping, 0)
    require_number("batch_size", batch_size, 1, whole=True)
    require_number("samples", 1 if samples is None else samples, 1, whole=True)
    if samples is not None and samples > n:
        raise InputError(f"samples: expected 1 to {n}, the training samples; got {samples}")
    if samples is not None and draw == "every":
        raise InputError(f"samples: expected all of them, None, with draw every; got {samples}")


def _pass_over(
    workers: Workers | None,
    batches: Sequence[Tensor],
    model: nn.Module,
    source: Samples,
    about: About,
    progress: Progress,
    function: Callable[..., dict[Any, Any]],
    *others: Any,
) -> dict[Any, Any]:
    """Pass over the pairs in parts, and add up what they give."""
    sums, *parts = in_parts(
        workers, function, batches, model, source, about, *others, progress=progress
    )
    for part in parts:
        for key, value in part.items():
            sums[key] += value
    return sums


def _probabilities(
    model: nn.Module, train: Samples, logits: Logits, batch_size: int, workers: Workers | None
) -> Tensor:
    """Predict the probability of every label for every sample: (n, k)."""
    starts = range(0, len(train), batch_size)
    parts = in_parts(workers, _predict, starts, model, train, logits, batch_size)
    probability_nk = torch.cat(parts)
    axes = ("training sample", "class")
    require_finite(probability_nk.float().cpu().numpy(), "predicted probabilities", axes)
    return probability_nk


def _predict(
    starts: Sequence[int],
    model: nn.Module,
    train: Samples,
    logits: Logits,
    batch_size: int,
    progress: Progress,
) -> Tensor:
    with frozen(model), torch.no_grad():
        batches = (train.rows(slice(start, start + batch_size)) for start in starts)
        return torch.cat([logits(model, batch).softmax(-1) for batch in batches])


def _bases(layers: Layers, sums: dict[tuple[str, str], Any], kind: Kind) -> Factors:
    """Compute the eigenvectors of E[g g^T] and E[a a^T] per layer; for kfac also Lambda.

    The sum of g g^T runs over the positions, and a a^T is their mean: hence the T of kfac.
    """
    factors: Factors = {}
    for name, layer in layers.items():
        weight = weight_of(layer)
        values_o, u_o = _eigen(sums.pop(("outputs", name)), weight)
        factors[name] = {"outputs": u_o.to(weight).contiguous()}
        values_i = sums.pop(("inputs", name)).double() / sums["mass", name]
        if not isinstance(layer, nn.Embedding):
            values_i, u_i = _eigen(values_i, weight)
            factors[name]["inputs"] = u_i.to(weight).contiguous()
        if kind == "kfac":
            eigenvalues = (values_o[..., None] * values_i[..., None, :]).flatten(0, -2).clamp(min=0)
            factors[name]["eigenvalues"] = eigenvalues.to(weight)
    return factors


def _eigen(factor: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Compute eigenvalues and eigenvectors of a factor in float64, of a large one in float32.

    A factor is (r, r), or a stack of them, one for each group of a layer. Wide layers spend most of
    a fit here; float32 takes half the time, and moves the eigenvalues by some millionths of the
    largest. A network in float64 keeps its precision.
    """
    small = factor.shape[-1] < LARGE or weight.dtype == torch.float64
    return torch.linalg.eigh(factor.to(torch.float64 if small else torch.float32))
