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

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.losses import Batch, logits_of
from catwise.core.progress import Progress
from catwise.core.statistics import require_finite
from catwise.influence.checks import checked_layers
from catwise.influence.curvature import FactoredCurvature
from catwise.influence.fisher_pairs import Draw, Pairs, draw_pairs
from catwise.influence.layers import Layer, frozen, groups_of, matrix_shape, weight_of
from catwise.influence.samples import Data, Samples, as_samples
from catwise.influence.visits import sample_gradients, visit_layers

__all__ = ["Kind", "Logits", "Mask", "fit_factors"]

Kind = Literal["ekfac", "kfac", "diagonal", "identity"]
Logits = Callable[[nn.Module, Batch], Tensor]
Mask = Callable[[Batch], Tensor | None]  # 1 at the positions (n, t) of a padded batch that are real
Layers = dict[str, Layer]
Factors = dict[str, dict[str, Tensor]]  # by layer, then "outputs", "inputs" and "eigenvalues"


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
    progress: Progress = iter,
) -> FactoredCurvature:
    """Fit the factors at the model's weights on ``samples`` pairs, None meaning as many as samples.

    ``draw`` and ``seed`` decide which pairs; the same seed gives the same bits. The weighted sum
    over the pairs stands for the mean over the whole training set, whose size is ``n`` of the
    result. ``train`` is what ``as_samples`` takes. ``logits`` calls the model, and ``mask`` tells
    the real positions of a padded batch; by default it is the ``attention_mask`` of a dictionary.
    ``embeddings`` covers Embedding layers too; the basis of their inputs is the identity, because
    E[a a^T] of vectors with a single 1 is diagonal. ``norms`` covers the weights of norms, with a
    basis of their two inputs (the normalised value and 1) for each channel. A layer whose gradient
    on the first two samples is not that of automatic differentiation is left out, with a warning.

    Raises InputError for an unknown ``kind`` or ``draw``, for more ``samples`` than there are, and
    where a prediction or a gradient is not finite.

    Differs from kronfluence, whose fit is ``draw="balanced"`` of all samples but for the labels
    that it draws: both passes see the same pairs, and the per-sample gradient is rotated by
    whichever side has fewer operations.
    """
    source = as_samples(train, model, "train")
    n = len(source)
    _require_options(kind, draw, samples, n)
    few = source.rows(slice(0, 2))
    layers = checked_layers(
        model,
        partial(logits, model, few),
        torch.arange(len(few[-1]), device=few[-1].device),
        embeddings=embeddings,
        norms=norms,
    )
    if kind == "identity":
        ones = {
            name: weight_of(layer).new_ones(matrix_shape(layer)) for name, layer in layers.items()
        }
        return FactoredCurvature(n, damping, {name: {"eigenvalues": ones[name]} for name in ones})
    pairs = draw_pairs(
        _probabilities(model, source, logits, batch_size), source.labels, draw, samples, seed
    )
    passes = _Passes(source, pairs, logits, mask or _attention_mask, batch_size, progress)
    factors: Factors = {name: {} for name in layers}
    if kind != "diagonal":
        factors = _bases(model, layers, passes, kind)
    if kind != "kfac":
        for name, eigenvalues in _second_moments(model, layers, passes, factors).items():
            factors[name]["eigenvalues"] = eigenvalues
    return FactoredCurvature(n, damping, factors)


def _require_options(kind: str, draw: str, samples: int | None, n: int) -> None:
    for name, value, known in (("kind", kind, Kind), ("draw", draw, Draw)):
        if value not in get_args(known):
            raise InputError(f"{name}: expected one of {', '.join(get_args(known))}; got {value!r}")
    if samples is not None and not 1 <= samples <= n:
        raise InputError(f"samples: expected 1 to {n}, the training samples; got {samples}")


def _attention_mask(batch: Batch) -> Tensor | None:
    """Return the ``attention_mask`` of a batch that is a dictionary, if it has one."""
    return batch[0].get("attention_mask") if isinstance(batch[0], Mapping) else None


def _probabilities(model: nn.Module, train: Samples, logits: Logits, batch_size: int) -> Tensor:
    """Predict the probability of every label for every sample: (n, k)."""
    with frozen(model), torch.no_grad():
        starts = range(0, len(train), batch_size)
        batches = (train.rows(slice(start, start + batch_size)) for start in starts)
        probability_nk = torch.cat([logits(model, batch).softmax(-1) for batch in batches])
    axes = ("training sample", "class")
    require_finite(probability_nk.float().cpu().numpy(), "predicted probabilities", axes)
    return probability_nk


class _PairBatch:
    """Hold a batch of the pairs, ready for a pass.

    The loss makes each gradient sqrt(weight) G, so that its squares are weighted.
    """

    def __init__(
        self, train: Samples, pairs: Pairs, members: Tensor, logits: Logits, mask: Mask
    ) -> None:
        device = train.labels.device
        self.samples = pairs.rows[members].to(device)
        *inputs, _ = train.rows(self.samples)
        self.batch: Batch = (*inputs, pairs.labels[members].to(device))
        self.weights = pairs.weights[members].to(device)
        self.input_weights = pairs.input_weights[members].to(device)
        self.logits = logits
        real_nt = mask(self.batch)
        self.real_nt = None if real_nt is None else real_nt.bool()

    def loss(self, model: nn.Module) -> Tensor:
        """Compute sum sqrt(weight) l(x, label) over the pairs."""
        losses = F.cross_entropy(self.logits(model, self.batch), self.batch[-1], reduction="none")
        return (self.weights.sqrt().to(losses) * losses).sum()

    def position_weights(self, a: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the weight of each position of inputs ``a``, 0 for padding: (n, t)."""
        weight_nt = self.input_weights.to(dtype)[:, None].expand(a.shape[:2])
        if self.real_nt is None or a.shape[1] % self.real_nt.shape[1]:
            return weight_nt
        uses = a.shape[1] // self.real_nt.shape[1]  # of the layer, one after the other
        return weight_nt * self.real_nt.repeat(1, uses)


@dataclass(frozen=True)
class _Passes:
    """Pass over the pairs, a batch at a time."""

    train: Samples
    pairs: Pairs
    logits: Logits
    mask: Mask
    batch_size: int
    progress: Progress

    def __iter__(self) -> Iterator[_PairBatch]:
        for members in self.progress(torch.arange(len(self.pairs.rows)).split(self.batch_size)):
            yield _PairBatch(self.train, self.pairs, members, self.logits, self.mask)


def _bases(model: nn.Module, layers: Layers, passes: _Passes, kind: Kind) -> Factors:
    """Compute the eigenvectors of E[g g^T] and E[a a^T] per layer; for kfac also Lambda.

    The sum of g g^T runs over the positions, and a a^T is their mean: hence the T of kfac.
    """
    a_ii, g_oo = {}, {}
    for name, layer in layers.items():
        o, i = matrix_shape(layer)
        groups, new_zeros = groups_of(layer), weight_of(layer).new_zeros
        a_ii[name] = new_zeros(i if isinstance(layer, nn.Embedding) else _stacked(groups, i))
        g_oo[name] = new_zeros(_stacked(groups, o // groups))
    mass = dict.fromkeys(layers, 0.0)  # the weights of all positions

    def add(batch: _PairBatch, name: str, a: Tensor, g_nto: Tensor) -> None:
        weight_nt = batch.position_weights(a, g_nto.dtype)
        _add_squares(g_oo[name], g_nto)
        if a.dim() == 2:  # numbers of tokens: E[a a^T] is diagonal
            a_ii[name].index_add_(0, a.flatten(), weight_nt.flatten())
        else:
            _add_squares(a_ii[name], weight_nt.sqrt()[(..., *[None] * (a.dim() - 2))] * a)
        mass[name] += float(weight_nt.sum())

    for batch in passes:
        visit_layers(model, layers, partial(batch.loss, model), partial(add, batch), batch.samples)
    factors: Factors = {}
    for name, layer in layers.items():
        weight = weight_of(layer)
        values_o, u_o = torch.linalg.eigh(g_oo.pop(name).double())
        factors[name] = {"outputs": u_o.to(weight).contiguous()}
        values_i = a_ii.pop(name).double() / mass[name]
        if not isinstance(layer, nn.Embedding):
            values_i, u_i = torch.linalg.eigh(values_i)
            factors[name]["inputs"] = u_i.to(weight).contiguous()
        if kind == "kfac":
            eigenvalues = (values_o[..., None] * values_i[..., None, :]).flatten(0, -2).clamp(min=0)
            factors[name]["eigenvalues"] = eigenvalues.to(weight)
    return factors


def _stacked(groups: int, size: int) -> tuple[int, ...]:
    """Return the shape of a square matrix, or of one for each group."""
    return (size, size) if groups == 1 else (groups, size, size)


def _add_squares(sums: Tensor, values: Tensor) -> None:
    """Add x x^T over samples and positions, for each group where ``sums`` has groups."""
    if sums.dim() == 2:
        x = values.flatten(0, 1).flatten(1)
        sums.addmm_(x.T, x)
        return
    x = values.reshape(-1, len(sums), sums.shape[-1]).transpose(0, 1)
    sums.baddbmm_(x.mT, x)


def _second_moments(
    model: nn.Module, layers: Layers, passes: _Passes, bases: Factors
) -> dict[str, Tensor]:
    """Compute E[(U_o^T G U_i)^2] per layer: (o, i). A layer without bases is not rotated."""
    sums = {name: weight_of(layer).new_zeros(matrix_shape(layer)) for name, layer in layers.items()}

    def add(name: str, a: Tensor, g_nto: Tensor) -> None:
        basis = bases[name]
        if a.dim() == 2:
            g_nto = g_nto @ basis["outputs"] if basis else g_nto
            tokens, gradients = _token_gradients(a, g_nto, sums[name].shape[1])
            sums[name].T.index_add_(0, tokens, gradients.square())
            return
        if a.dim() == 4:
            rotated_ngoi = sample_gradients(a, g_nto).unflatten(1, (a.shape[2], -1))
            if basis:
                rotated_ngoi = basis["outputs"].mT @ rotated_ngoi @ basis["inputs"]
            sums[name] += rotated_ngoi.square().sum(0).flatten(0, 1)
            return
        if a.shape[1] == 1:  # G is of rank one and never formed
            a, g = a[:, 0], g_nto[:, 0]
            if basis:
                a, g = a @ basis["inputs"], g @ basis["outputs"]
            sums[name] += g.square().T @ a.square()
            return
        if not basis:
            rotated_noi = sample_gradients(a, g_nto)
        elif a.shape[1] < g_nto.shape[2]:  # rotating t rows of a costs t i^2, o rows of G o i^2
            rotated_noi = (g_nto @ basis["outputs"]).transpose(1, 2) @ (a @ basis["inputs"])
        else:
            rotated_noi = (g_nto @ basis["outputs"]).transpose(1, 2) @ a @ basis["inputs"]
        sums[name] += rotated_noi.square().sum(0)

    for batch in passes:
        visit_layers(model, layers, partial(batch.loss, model), add, batch.samples)
    return sums


def _token_gradients(a_nt: Tensor, g_nto: Tensor, num_tokens: int) -> tuple[Tensor, Tensor]:
    """Collect the columns of every sample's G that are not zero.

    There is one for each token that occurs in a sample. Returns their tokens, and the gradients
    summed over the positions at which the token stands, (occurrences, o).
    """
    sample_n1 = torch.arange(len(a_nt), device=a_nt.device)[:, None]
    occurrences, index = torch.unique(a_nt + num_tokens * sample_n1, return_inverse=True)
    sums = g_nto.new_zeros(len(occurrences), g_nto.shape[2])
    sums.index_add_(0, index.flatten(), g_nto.flatten(0, 1))
    return occurrences % num_tokens, sums
