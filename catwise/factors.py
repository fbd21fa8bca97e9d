"""Fits the factors of a layer-wise curvature: EKFAC, KFAC, a diagonal or the identity.

For one sample the gradient of a layer's matrix is G = sum_t g_t a_t^T (``catwise.layers``). With labels drawn from the
model, the layer's Fisher matrix is F = E[vec G vec G^T]; all kinds approximate it by (U_o x U_i) diag(Lambda) (...)^T:

    ekfac     U from E[a a^T] and E[g g^T], Lambda_oi = E[(U_o^T G U_i)_oi^2]     George et al. 2018, arXiv 1806.03884
    kfac      the same U, Lambda = T (eigenvalues of E[g g^T]) x (those of E[a a^T])     Grosse, Martens 2016
    diagonal  U = identity, Lambda_oi = E[G_oi^2]
    identity  U = identity, Lambda = 1

E is the mean over samples (and positions for a and g; T is their number, which kronfluence leaves out of its kfac).
"""

from collections.abc import Callable, Iterable
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from catwise.curvature import Factored
from catwise.errors import InputError
from catwise.layers import covered, matrix_shape, per_layer
from catwise.metrics import Batch

__all__ = ["Kind", "balanced", "fit", "sampled_labels"]

Kind = Literal["ekfac", "kfac", "diagonal", "identity"]
Logits = Callable[[nn.Module, Batch], Tensor]
Mask = Callable[[Batch], Tensor]  # which positions (n, t) of a padded batch are real
Progress = Callable[[Iterable], Iterable]


def logits_of(model: nn.Module, batch: Batch) -> Tensor:
    """The model's answer to a batch, whose last part is the labels: (n, k)."""
    return model(*batch[:-1])


def fit(
    model: nn.Module,
    train: Batch,
    *,
    kind: Kind,
    damping: float,
    seed: int,
    batch_size: int,
    samples: int | None = None,
    logits: Logits = logits_of,
    mask: Mask | None = None,
    progress: Progress = iter,
) -> Factored:
    """Fits the factors at the model's weights on ``samples`` of the training samples (None: all), balanced by class.

    ``seed`` decides which samples, and the labels drawn from the model; the result is the same for the same seed.
    ``n`` of the result is the size of the whole training set, which the mean of the fitted samples stands for.

    Differs from kronfluence: both passes see the same drawn labels; the subset is balanced by class, not the first
    rows; the per-sample gradient is rotated by whichever side has fewer operations.
    """
    if kind not in get_args(Kind):
        raise InputError(f"curvature.kind: expected one of {', '.join(get_args(Kind))}; came {kind!r}")
    n, layers = len(train[-1]), covered(model)
    if kind == "identity":
        return Factored(n, damping, {m: {"eigenvalues": w.weight.new_ones(matrix_shape(w))} for m, w in layers.items()})
    chosen, drawn = (torch.Generator().manual_seed(seed) for _ in range(2))  # so that the subset of all is all
    rows = torch.arange(n) if samples is None else balanced(train[-1].cpu(), samples, chosen)
    part = tuple(values[rows.to(values.device)] for values in train)
    part = (*part[:-1], sampled_labels(model, part, drawn, batch_size, logits))
    batches = list(zip(*(values.split(batch_size) for values in part), strict=True))

    def losses(batch: Batch) -> Callable[[], Tensor]:
        return lambda: F.cross_entropy(logits(model, batch), batch[-1], reduction="sum")

    found: dict[str, dict[str, Tensor]] = {name: {} for name in layers}
    if kind != "diagonal":
        found = _bases(model, [(losses(batch), mask(batch) if mask else None) for batch in batches], kind, progress)
    if kind != "kfac":
        for name, eigenvalues in _second_moments(model, [losses(b) for b in batches], found, progress).items():
            found[name]["eigenvalues"] = eigenvalues / len(rows)
    return Factored(n, damping, found)


def balanced(labels: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """``samples`` rows at random, in order, classes as equal as their sizes allow."""
    if not 1 <= samples <= len(labels):
        raise InputError(f"curvature.samples: expected 1 to {len(labels)}, the training samples; came {samples}")
    order = torch.randperm(len(labels), generator=generator)
    rank = torch.empty_like(order)  # the how-manieth of its class each sample is, in the shuffled order
    for label in labels.unique():
        mine = order[labels[order] == label]
        rank[mine] = torch.arange(len(mine))
    return order[rank[order].argsort(stable=True)][:samples].sort().values


@torch.no_grad()
def sampled_labels(
    model: nn.Module, batch: Batch, generator: torch.Generator, batch_size: int, logits: Logits = logits_of
) -> Tensor:
    """A label for each sample, drawn from the model's own prediction, as the Fisher matrix wants it: (n,)."""
    training = model.training
    model.eval()
    parts = zip(*(values.split(batch_size) for values in batch), strict=True)
    drawn = [torch.multinomial(logits(model, part).softmax(-1).cpu(), 1, generator=generator) for part in parts]
    model.train(training)
    return torch.cat(drawn).flatten().to(batch[-1].device)


def _bases(
    model: nn.Module, losses: list[tuple[Callable[[], Tensor], Tensor | None]], kind: Kind, progress: Progress
) -> dict[str, dict[str, Tensor]]:
    """Eigenvectors of E[g g^T] and E[a a^T] per layer; for kfac the eigenvalues of F too."""
    shapes = {name: (matrix_shape(layer), layer.weight) for name, layer in covered(model).items()}
    a_ii = {name: weight.new_zeros(i, i) for name, ((_, i), weight) in shapes.items()}
    g_oo = {name: weight.new_zeros(o, o) for name, ((o, _), weight) in shapes.items()}
    count, samples = dict.fromkeys(shapes, 0), dict.fromkeys(shapes, 0)
    for loss, real_nt in progress(losses):

        def add(name: str, a_nti: Tensor, g_nto: Tensor, real_nt: Tensor | None = real_nt) -> None:
            samples[name] += len(a_nti)
            if real_nt is not None and real_nt.shape == a_nti.shape[:2]:
                a, g = a_nti[real_nt.bool()], g_nto[real_nt.bool()]
            else:
                a, g = a_nti.flatten(0, 1), g_nto.flatten(0, 1)
            a_ii[name].addmm_(a.T, a)
            g_oo[name].addmm_(g.T, g)
            count[name] += len(a)

        per_layer(model, loss, add)
    found = {}
    for name in shapes:
        values_o, u_o = torch.linalg.eigh(g_oo[name].double() / count[name])
        values_i, u_i = torch.linalg.eigh(a_ii[name].double() / count[name])
        dtype = a_ii[name].dtype
        found[name] = {"outputs": u_o.to(dtype).contiguous(), "inputs": u_i.to(dtype).contiguous()}
        if kind == "kfac":
            positions = count[name] / samples[name]
            found[name]["eigenvalues"] = (positions * torch.outer(values_o, values_i)).clamp(min=0).to(dtype)
    return found


def _second_moments(
    model: nn.Module, losses: list[Callable[[], Tensor]], bases: dict[str, dict[str, Tensor]], progress: Progress
) -> dict[str, Tensor]:
    """sum_n (U_o^T G_n U_i)^2 per layer: (o, i)."""
    sums = {name: layer.weight.new_zeros(matrix_shape(layer)) for name, layer in covered(model).items()}

    def add(name: str, a_nti: Tensor, g_nto: Tensor) -> None:
        basis = bases[name]
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

    for loss in progress(losses):
        per_layer(model, loss, add)
    return sums
