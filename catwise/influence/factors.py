"""Fits the factors of a layer-wise curvature: EKFAC, KFAC, a diagonal or the identity.

For one sample the gradient of a layer's matrix is G = sum_t g_t a_t^T (``catwise.influence.layers``). The Fisher matrix of the
layer is F = E[vec G vec G^T], with labels y as likely as the model says; each kind takes it as U diag(Lambda) U^T,
U = U_o x U_i:

    ekfac     U from E[a a^T] and E[g g^T], Lambda_oi = E[(U_o^T G U_i)_oi^2]     George et al. 2018, arXiv 1806.03884
    kfac      the same U, Lambda = T (eigenvalues of E[g g^T]) x (those of E[a a^T])     Grosse, Martens 2016
    diagonal  U = identity, Lambda_oi = E[G_oi^2]
    identity  U = identity, Lambda = 1

E is the mean over samples (and positions for a and g; T is their number, which kronfluence leaves out of its kfac).
A pair (sample i, label y) matters to F as p_y |e_y - p|^2, the squared gradient at the logits: next to nothing for the
many samples that the model is sure of. So pairs are drawn in that proportion and weighted by what was drawn too often.
"""

from collections.abc import Callable, Iterable
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.losses import Batch
from catwise.influence.curvature import FactoredCurvature
from catwise.influence.fisher_pairs import Draw, Pairs, draw_pairs
from catwise.influence.layers import Layer, covered_layers, frozen, matrix_shape, per_layer

__all__ = ["Kind", "fit_factors"]


Kind = Literal["ekfac", "kfac", "diagonal", "identity"]


Logits = Callable[[nn.Module, Batch], Tensor]


Mask = Callable[[Batch], Tensor]  # which positions (n, t) of a padded batch are real


Progress = Callable[[Iterable], Iterable]


def logits_of(model: nn.Module, batch: Batch) -> Tensor:
    """The model's answer to a batch, whose last part is the labels: (n, k)."""
    return model(*batch[:-1])


def fit_factors(
    model: nn.Module,
    train: Batch,
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
    progress: Progress = iter,
) -> FactoredCurvature:
    """Fits the factors at the model's weights on ``samples`` pairs (None: as many as training samples).

    ``seed`` decides which pairs; the result is the same for the same seed. ``n`` of the result is the size of the whole
    training set, for which the weighted mean of the pairs stands. ``embeddings`` covers Embedding layers too; the basis
    of their inputs is the identity, for E[a a^T] of a single 1 is diagonal.

    Differs from kronfluence (whose fit is ``draw="balanced"`` of all samples, but for the labels that it draws): both
    passes see the same pairs, and the per-sample gradient is rotated by whichever side has fewer operations.
    """
    n, layers = len(train[-1]), covered_layers(model, embeddings)
    for name, value, known in (("kind", kind, Kind), ("draw", draw, Draw)):
        if value not in get_args(known):
            raise InputError(
                f"curvature.{name}: expected one of {', '.join(get_args(known))}; got {value!r}"
            )
    if samples is not None and not 1 <= samples <= n:
        raise InputError(
            f"curvature.samples: expected 1 to {n}, the training samples; got {samples}"
        )
    if kind == "identity":
        return FactoredCurvature(
            n,
            damping,
            {m: {"eigenvalues": w.weight.new_ones(matrix_shape(w))} for m, w in layers.items()},
        )
    with frozen(model), torch.no_grad():
        parts = zip(*(values.split(batch_size) for values in train), strict=True)
        p_nk = torch.cat([logits(model, part).softmax(-1) for part in parts])
    if not p_nk.isfinite().all():
        first = int((~p_nk.isfinite()).any(1).nonzero()[0])
        raise InputError(
            f"model: expected finite predictions; sample {first} of the training set has none"
        )
    pairs = draw_pairs(p_nk, train[-1], draw, samples, seed)
    batches = [
        _Batch(train, pairs, chosen, logits, mask)
        for chosen in torch.arange(len(pairs.rows)).split(batch_size)
    ]
    found: dict[str, dict[str, Tensor]] = {name: {} for name in layers}
    if kind != "diagonal":
        found = _bases(model, layers, batches, kind, progress)
    if kind != "kfac":
        for name, eigenvalues in _second_moments(model, layers, batches, found, progress).items():
            found[name]["eigenvalues"] = eigenvalues
    return FactoredCurvature(n, damping, found)


class _Batch:
    """Some of the pairs, ready for a pass; its loss makes each gradient sqrt(weight) G, so squares are weighted."""

    def __init__(
        self, train: Batch, pairs: Pairs, chosen: Tensor, logits: Logits, mask: Mask | None
    ):
        device = train[-1].device
        rows = pairs.rows[chosen].to(device)
        self.rows: Batch = (*(part[rows] for part in train[:-1]), pairs.labels[chosen].to(device))
        self.weights, self.inputs = (w[chosen].to(device) for w in (pairs.weights, pairs.inputs))
        self.logits, self.samples = logits, rows
        self.real_nt = mask(self.rows).bool() if mask else None

    def loss(self, model: nn.Module) -> Tensor:
        losses = F.cross_entropy(self.logits(model, self.rows), self.rows[-1], reduction="none")
        return (self.weights.sqrt().to(losses) * losses).sum()


def _bases(
    model: nn.Module,
    layers: dict[str, Layer],
    batches: list[_Batch],
    kind: Kind,
    progress: Progress,
) -> dict[str, dict[str, Tensor]]:
    """Eigenvectors of E[g g^T] and E[a a^T] per layer; for kfac the eigenvalues of F too."""
    a_ii = {
        name: layer.weight.new_zeros(
            (1 if isinstance(layer, nn.Embedding) else 2) * (matrix_shape(layer)[1],)
        )
        for name, layer in layers.items()
    }
    g_oo = {
        name: layer.weight.new_zeros(2 * (matrix_shape(layer)[0],))
        for name, layer in layers.items()
    }
    positions = dict.fromkeys(layers, 0.0)
    for batch in progress(batches):

        def add(name: str, a_nti: Tensor, g_nto: Tensor, batch: _Batch = batch) -> None:
            weight_nt = batch.inputs.to(g_nto)[:, None].expand(a_nti.shape[:2])
            if batch.real_nt is not None and batch.real_nt.shape == a_nti.shape[:2]:
                weight_nt = weight_nt * batch.real_nt
            g = g_nto.flatten(0, 1)
            g_oo[name].addmm_(g.T, g)
            if a_nti.dim() == 2:
                a_ii[name].index_add_(0, a_nti.flatten(), weight_nt.flatten())  # its diagonal
            else:
                a = (weight_nt.sqrt()[..., None] * a_nti).flatten(0, 1)
                a_ii[name].addmm_(a.T, a)
            positions[name] += float(weight_nt.sum())

        per_layer(model, layers, lambda batch=batch: batch.loss(model), add, batch.samples)  # type: ignore[misc]
    found = {}
    for name, layer in layers.items():
        values_o, u_o = torch.linalg.eigh(g_oo[name].double())
        found[name] = {"outputs": u_o.to(layer.weight).contiguous()}
        values_i = a_ii[name].double() / positions[name]
        if values_i.dim() == 2:
            values_i, u_i = torch.linalg.eigh(values_i)
            found[name]["inputs"] = u_i.to(layer.weight).contiguous()
        if kind == "kfac":  # g_oo sums over the positions, a_ii is their mean: that is the factor T
            found[name]["eigenvalues"] = (
                torch.outer(values_o, values_i).clamp(min=0).to(layer.weight)
            )
    return found


def _second_moments(
    model: nn.Module,
    layers: dict[str, Layer],
    batches: list[_Batch],
    bases: dict[str, dict[str, Tensor]],
    progress: Progress,
) -> dict[str, Tensor]:
    """E[(U_o^T G U_i)^2] per layer: (o, i)."""
    sums = {name: layer.weight.new_zeros(matrix_shape(layer)) for name, layer in layers.items()}

    def add(name: str, a_nti: Tensor, g_nto: Tensor) -> None:
        basis = bases[name]
        if a_nti.dim() == 2:
            g_nto = g_nto @ basis["outputs"] if basis else g_nto
            occurring, columns_so = _token_gradients(a_nti, g_nto, sums[name].shape[1])
            sums[name].T.index_add_(0, occurring, columns_so.square())
            return
        if a_nti.shape[1] == 1:
            a, g = a_nti[:, 0], g_nto[:, 0]
            if basis:
                a, g = a @ basis["inputs"], g @ basis["outputs"]
            sums[name] += g.square().T @ a.square()
            return
        t, o = a_nti.shape[1], g_nto.shape[2]
        if not basis:
            rotated_noi = g_nto.transpose(1, 2) @ a_nti
        elif t < o:  # rotating the t rows of a costs t i^2, rotating the o rows of G costs o i^2
            rotated_noi = (g_nto @ basis["outputs"]).transpose(1, 2) @ (a_nti @ basis["inputs"])
        else:
            rotated_noi = (g_nto @ basis["outputs"]).transpose(1, 2) @ a_nti @ basis["inputs"]
        sums[name] += rotated_noi.square().sum(0)

    for batch in progress(batches):
        per_layer(model, layers, lambda batch=batch: batch.loss(model), add, batch.samples)  # type: ignore[misc]
    return sums


def _token_gradients(a_nt: Tensor, g_nto: Tensor, num_tokens: int) -> tuple[Tensor, Tensor]:
    """The columns of every sample's G that are not zero: their tokens (s,), each summed over positions (s, o)."""
    sample_n1 = torch.arange(len(a_nt), device=a_nt.device)[:, None]
    pairs, place = torch.unique(a_nt + num_tokens * sample_n1, return_inverse=True)
    sums = g_nto.new_zeros(len(pairs), g_nto.shape[2]).index_add_(
        0, place.flatten(), g_nto.flatten(0, 1)
    )
    return pairs % num_tokens, sums
