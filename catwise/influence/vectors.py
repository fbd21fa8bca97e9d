"""Influence vectors in one pass over the training set: P[i, k] = q_k . H^-1 g_i (Eq. 1 with S = class k)."""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.losses import Batch, per_sample_loss
from catwise.influence.curvature import Curvature
from catwise.influence.layers import Layer, covered_layers, frozen, matrices, per_layer

__all__ = ["directional_derivatives", "group_gradients", "influence_vectors", "validation_bins"]

Loss = Callable[[nn.Module, Batch], Tensor]  # (model, batch) -> one value per sample, (n,)
Progress = Callable[[Iterable], Iterable]


def influence_vectors(
    model: nn.Module,
    curvature: Curvature,
    train: Batch,
    query: Batch,
    groups: Tensor,
    num_groups: int,
    *,
    batch_size: int,
    loss: Loss = per_sample_loss,
    query_loss: Loss = per_sample_loss,
    progress: Progress = iter,
) -> Tensor:
    """P of shape (n, k), in nats of summed query loss per removed training sample; positive is beneficial.

    ``groups`` (m,) says to which column each query sample belongs: its class, or any other partition.
    ``loss`` is what was trained on, ``query_loss`` what is asked about; both map (model, batch) to (n,).
    Three steps, one for each factor of Eq. 1: the group gradients q_k, v_k = H^-1 q_k, and g_i . v_k.
    The price is one pass over the query and one over the training samples, whatever the number of groups.

    Scale: H is the *sum* over training samples and q_k the *sum* over query samples, as in the paper;
    kronfluence's own scores use the mean for H and are n times larger.

    >>> from catwise.influence.factors import fit_factors
    >>> x, y = torch.randn(60, 5), torch.arange(60) % 3
    >>> train, query = (x[:40], y[:40]), (x[40:], y[40:])
    >>> model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> curvature = fit_factors(model, train, kind="ekfac", damping=0.1, seed=0, batch_size=20)
    >>> p_nk = influence_vectors(model, curvature, train, query, groups=query[-1], num_groups=3, batch_size=20)
    >>> p_nk.shape
    torch.Size([40, 3])
    """
    passes: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
    q = group_gradients(
        model, query, groups, num_groups, layers=curvature.names, query_loss=query_loss, **passes
    )
    with torch.autocast(train[-1].device.type, enabled=False):
        v = curvature.solve(q)
    return directional_derivatives(model, train, v, loss=loss, **passes)


def group_gradients(
    model: nn.Module,
    query: Batch,
    groups: Tensor,
    num_groups: int,
    *,
    batch_size: int,
    layers: Iterable[str] | None = None,
    query_loss: Loss = per_sample_loss,
    progress: Progress = iter,
) -> dict[str, Tensor]:
    """q_k = sum over the query samples of group k of grad query_loss(z), per covered layer (or ``layers``): (k, o, i).

    A group without samples has a zero gradient, and a warning that names it.
    """
    if groups.min() < 0 or groups.max() >= num_groups:
        raise InputError(
            f"groups: expected 0 to {num_groups - 1}; got {int(groups.min())} to {int(groups.max())}"
        )
    chosen = _chosen(model, layers)
    inside = {f"{layer}.{part}".lstrip(".") for layer in chosen for part in ("weight", "bias")}
    named = {name: parameter for name, parameter in model.named_parameters() if name in inside}
    sums = {
        name: parameter.new_zeros(num_groups, *parameter.shape) for name, parameter in named.items()
    }
    empty = [k for k in range(num_groups) if not (groups == k).any()]
    if empty:
        warnings.warn(
            f"groups without a query sample, whose influence is zero: {empty}", stacklevel=2
        )
    batches = [
        (k, rows)
        for k in range(num_groups)
        for rows in (groups == k).nonzero()[:, 0].split(batch_size)
    ]
    with frozen(model):
        for parameter in named.values():
            parameter.requires_grad_()
        for k, rows in progress(batches):
            if len(rows):
                batch = tuple(part[rows] for part in query)
                gradients = torch.autograd.grad(query_loss(model, batch).sum(), list(named.values()))
                if not all(gradient.isfinite().all() for gradient in gradients):
                    per_layer(
                        model,
                        chosen,
                        lambda b=batch: query_loss(model, b).sum(),
                        lambda *_: None,
                        rows,
                    )  # type: ignore[misc]
                for name, gradient in zip(named, gradients, strict=True):
                    sums[name][k] += gradient
    per_group = [
        matrices(chosen, {name: value[k] for name, value in sums.items()})
        for k in range(num_groups)
    ]
    return {name: torch.stack([found[name] for found in per_group]) for name in chosen}


def _chosen(model: nn.Module, names: Iterable[str] | None) -> dict[str, Layer]:
    if names is None:
        return covered_layers(model)
    layers = covered_layers(model, embeddings=True)
    return {name: layers[name] for name in names}


def directional_derivatives(
    model: nn.Module,
    train: Batch,
    v: dict[str, Tensor],
    *,
    batch_size: int,
    loss: Loss = per_sample_loss,
    progress: Progress = iter,
) -> Tensor:
    """g_i . v_k for every sample and direction, in one forward and backward pass: (n, k).

    With many positions t the per-sample gradient (n, o, i) is formed once and shared by all k directions; with one
    position it is of rank one and never formed; of an embedding only the rows of v that occur are read. Raises
    InputError where a value is not finite.
    """
    n, num_directions = len(train[-1]), len(next(iter(v.values())))
    scores_nk = next(iter(v.values())).new_zeros(n, num_directions)
    chosen = _chosen(model, v)

    for batch in progress(torch.arange(n, device=scores_nk.device).split(batch_size)):

        def add(name: str, a_nti: Tensor, g_nto: Tensor, batch: Tensor = batch) -> None:
            v_koi = v[name]
            if a_nti.dim() == 2:  # places of the ones
                found_nk = torch.stack(
                    [(F.embedding(a_nti, v_oi.T) * g_nto).sum((1, 2)) for v_oi in v_koi], dim=1
                )
            elif a_nti.shape[1] == 1:
                projected_nko = torch.einsum("ni,koi->nko", a_nti[:, 0], v_koi)
                found_nk = torch.einsum("nko,no->nk", projected_nko, g_nto[:, 0])
            else:
                gradient_noi = g_nto.transpose(1, 2) @ a_nti
                found_nk = gradient_noi.flatten(1) @ v_koi.flatten(1).T
            scores_nk[batch] += found_nk

        rows = tuple(part[batch] for part in train)
        per_layer(model, chosen, lambda rows=rows: loss(model, rows).sum(), add, batch)  # type: ignore[misc]
    return scores_nk


def validation_bins(labels_m: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Deals the samples of each class into ``count`` bins, alike in size but for one: class * count + bin, (m,)."""
    sizes = np.unique(labels_m, return_counts=True)[1]
    if sizes.min() < count:
        raise InputError(
            f"influence.bins: expected at most {sizes.min()}, the smallest class's samples; got {count}"
        )
    groups_m = np.empty(len(labels_m), dtype=np.int64)
    for label in np.unique(labels_m):
        rows = rng.permutation(np.flatnonzero(labels_m == label))
        groups_m[rows] = label * count + np.arange(len(rows)) % count
    return groups_m
