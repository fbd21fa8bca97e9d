"""Compute influence vectors P[i, k] = q_k . H^-1 g_i in one pass over the training set.

This is Eq. 1 with S = the validation samples of class k.
Differs from the paper: the statistics of batch norm move with the weights, unless held fixed.
"""

import warnings
from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.losses import Loss, per_sample_loss
from catwise.core.numbers import require_number
from catwise.core.progress import Progress
from catwise.core.spread import Workers
from catwise.influence.curvature import Curvature, ExactHessian, full_precision
from catwise.influence.layers import (
    layer_gradients,
    matrix_shape,
    select_layers,
    unfrozen,
    weight_of,
)
from catwise.influence.moving_statistics import MovingStatistics, Statistics, moving_statistics
from catwise.influence.parts import in_parts
from catwise.influence.reading import as_samples, as_tensor
from catwise.influence.samples import Data, Samples
from catwise.influence.visits import sample_gradients, visit_layers

__all__ = ["directional_derivatives", "group_gradients", "influence_vectors", "validation_bins"]


def influence_vectors(
    model: nn.Module,
    curvature: Curvature,
    train: Data,
    query: Data,
    groups: Tensor | np.ndarray,
    num_groups: int,
    *,
    batch_size: int,
    loss: Loss = per_sample_loss,
    query_loss: Loss = per_sample_loss,
    statistics: Statistics = "moving",
    at_once: int | None = None,
    workers: Workers | None = None,
    progress: Progress = iter,
) -> Tensor:
    """Compute P, (n, k), in nats of summed query loss per removed training sample.

    Positive is beneficial: removing sample i raises the loss of group k by P[i, k], to first order.
    ``groups`` (m,) says to which column each query sample belongs: its class, or any other
    partition. ``train`` and ``query`` are what ``as_samples`` takes; a model in half precision is
    copied into float32, as ``fit_factors`` does. ``loss`` is what the model was
    trained on, ``query_loss`` what P predicts; both map (model, batch) to (n,). Three steps, one
    for each factor of Eq. 1: the group gradients q_k, v_k = H^-1 q_k, and g_i . v_k. The price is
    one pass over the query and one over the training samples, whatever the number of groups; with
    ``at_once`` groups in memory at a time, one over the training samples for as many groups. With
    ``workers`` each pass is divided among them. Where the ``statistics`` of batch norm are
    ``moving``, q_k and g_i are the total derivatives of ``catwise.influence.moving_statistics``,
    for about six passes more over one batch for each group; H is that of fixed ones.

    Scale: H is the *sum* over training samples and q_k the *sum* over query samples, as in the
    paper; kronfluence's own scores use the mean for H and are n times larger.

    Raises InputError for groups of another range or length, and where a gradient is not finite.

    >>> from catwise.influence.factors import fit_factors
    >>> x, labels = torch.tensor([[1.0], [-1.0], [1.0]]), torch.tensor([0, 1, 1])
    >>> model = nn.Linear(1, 2, bias=False)
    >>> _ = nn.init.zeros_(model.weight)
    >>> curvature = fit_factors(
    ...     model, (x, labels), kind="identity", damping=0.0, seed=0, batch_size=3
    ... )
    >>> influence_vectors(
    ...     model, curvature, (x, labels), (x[:2], labels[:2]), labels[:2], 2, batch_size=3
    ... )  # the third sample has a wrong label and harms both classes
    tensor([[ 0.1667,  0.1667],
            [ 0.1667,  0.1667],
            [-0.1667, -0.1667]])
    """
    model = full_precision(model)
    train, query = as_samples(train, model, "train"), as_samples(query, model, "query")
    members = _members(groups, num_groups, query)
    columns, names = [], curvature.names
    moving = moving_statistics(model, train, loss, statistics)
    for members_at_once in _split(members, at_once or num_groups):
        q = _sums(
            model, query, members_at_once, names, batch_size, query_loss, moving, workers, progress
        )
        with torch.autocast(train.labels.device.type, enabled=False):
            v = _solved(curvature, q)
        columns.append(
            directional_derivatives(
                model,
                train,
                v,
                batch_size=batch_size,
                loss=loss,
                moving=moving,
                workers=workers,
                progress=progress,
            )
        )
        del v  # before the next groups have theirs
    return columns[0] if len(columns) == 1 else torch.cat(columns, dim=1)


def _solved(curvature: Curvature, q: dict[str, Tensor]) -> dict[str, Tensor]:
    """Compute H^-1 q, layer by layer where the curvature allows it, and let go of q meanwhile."""
    if isinstance(curvature, ExactHessian):
        return curvature.solve(q)
    return {name: curvature.solve({name: q.pop(name)})[name] for name in curvature.names}


def _split(members: list[Tensor], size: int) -> list[list[Tensor]]:
    return [members[start : start + size] for start in range(0, len(members), size)]


def group_gradients(
    model: nn.Module,
    query: Data,
    groups: Tensor | np.ndarray,
    num_groups: int,
    *,
    batch_size: int,
    layers: Iterable[str] | None = None,
    query_loss: Loss = per_sample_loss,
    moving: MovingStatistics | None = None,
    workers: Workers | None = None,
    progress: Progress = iter,
) -> dict[str, Tensor]:
    """Compute q_k = sum over the query samples z of group k of grad query_loss(z).

    The result has a matrix for each of ``layers``, by default the covered ones: (k, o, i). A group
    without samples has a zero gradient, and a warning names it. Statistics of batch norm are held
    fixed unless ``moving`` says how they follow the weights.

    Raises InputError for groups of another range or length, and where a gradient is not finite.

    >>> x, labels = torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 1])
    >>> model = nn.Sequential(nn.Linear(1, 2, bias=False))
    >>> _ = nn.init.zeros_(model[0].weight)
    >>> group_gradients(model, (x, labels), labels, 2, batch_size=2)["0"][:, :, 0]
    tensor([[-0.5000,  0.5000],
            [-0.5000,  0.5000]])
    """
    query = as_samples(query, model, "query")
    return _sums(
        model,
        query,
        _members(groups, num_groups, query),
        layers,
        batch_size,
        query_loss,
        moving,
        workers,
        progress,
    )


def _members(groups: Tensor | np.ndarray, num_groups: int, query: Samples) -> list[Tensor]:
    """Return the numbers of the query samples of each group; warn of a group without any."""
    groups = as_tensor(groups, "groups").to(query.labels.device)
    if groups.shape != query.labels.shape:
        raise InputError(
            f"groups: expected one for each of {len(query)} query samples, (m,); got shape "
            f"{tuple(groups.shape)}"
        )
    if groups.min() < 0 or groups.max() >= num_groups:
        raise InputError(
            f"groups: expected 0 to {num_groups - 1}; got {int(groups.min())} to "
            f"{int(groups.max())}"
        )
    members = [(groups == k).nonzero()[:, 0] for k in range(num_groups)]
    if empty := [k for k, rows in enumerate(members) if not len(rows)]:
        warnings.warn(
            f"groups without a query sample, whose influence is zero: {empty}", stacklevel=3
        )
    return members


def _sums(
    model: nn.Module,
    query: Samples,
    members: list[Tensor],
    layers: Iterable[str] | None,
    batch_size: int,
    query_loss: Loss,
    moving: MovingStatistics | None,
    workers: Workers | None,
    progress: Progress,
) -> dict[str, Tensor]:
    """Compute the summed gradient of each group, whose samples are ``members``."""
    names = list(select_layers(model, layers))
    every = list(dict.fromkeys([*names, *(moving.norms if moving else [])]))
    options = (every, batch_size, query_loss)
    parts = in_parts(workers, _group_sums, members, model, query, *options, progress=progress)
    sums = parts[0]
    if len(parts) > 1:
        sums = {name: torch.cat([part[name] for part in parts]) for name in every}
    return moving.pull_back(sums, names) if moving else sums


def _group_sums(
    members: Sequence[Tensor],
    model: nn.Module,
    query: Samples,
    names: list[str],
    batch_size: int,
    query_loss: Loss,
    progress: Progress,
) -> dict[str, Tensor]:
    """Compute the summed gradients of some groups, in one process."""
    covered = select_layers(model, names)
    sums = {
        name: weight_of(layer).new_zeros(len(members), *matrix_shape(layer))
        for name, layer in covered.items()
    }
    batches = [(k, rows) for k in range(len(members)) for rows in members[k].split(batch_size)]
    with unfrozen(model, covered) as parameters:
        for k, rows in progress(batches):
            if len(rows):
                summed = partial(_summed, query_loss, model, query, rows)
                gradients = layer_gradients(summed(), parameters, covered)
                if not all(gradient.isfinite().all() for gradient in gradients.values()):
                    visit_layers(model, covered, summed, _ignore, rows)  # names layer and sample
                for name, gradient in gradients.items():
                    sums[name][k] += gradient
    return sums


def directional_derivatives(
    model: nn.Module,
    train: Data,
    v: dict[str, Tensor],
    *,
    batch_size: int,
    loss: Loss = per_sample_loss,
    moving: MovingStatistics | None = None,
    workers: Workers | None = None,
    progress: Progress = iter,
) -> Tensor:
    """Compute g_i . v_k for every sample and direction in one forward and backward pass: (n, k).

    ``v`` holds the directions as a matrix for each layer, (k, o, i). With many positions t the
    per-sample gradient (n, o, i) is formed once and shared by all k directions; with one position
    it is of rank one and never formed; for an embedding only the columns of v that occur are read.
    Statistics of batch norm are held fixed unless ``moving`` says how they follow the weights. For
    ``Augmented`` samples there is a pass for each draw, and the mean is returned.

    Raises InputError where a gradient is not finite.
    """
    train = as_samples(train, model, "train")
    v = moving.push_forward(v) if moving else v
    batches = torch.arange(len(train), device=train.labels.device).split(batch_size)
    work = partial(in_parts, workers, _derivatives, batches, model, progress=progress)
    return torch.stack([torch.cat(work(view, v, loss)) for view in train.views]).mean(dim=0)


def _derivatives(
    batches: Sequence[Tensor],
    model: nn.Module,
    train: Samples,
    v: dict[str, Tensor],
    loss: Loss,
    progress: Progress,
) -> Tensor:
    """Compute the derivatives of consecutive samples, in one process."""
    layers, first = select_layers(model, v), int(batches[0][0])
    scores_nk = next(iter(v.values())).new_zeros(
        sum(map(len, batches)), len(next(iter(v.values())))
    )

    def add(rows: Tensor, name: str, a: Tensor, g_nto: Tensor) -> None:
        scores_nk[rows - first] += _products(a, g_nto, v[name])

    for rows in progress(batches):
        visit_layers(
            model, layers, partial(_summed, loss, model, train, rows), partial(add, rows), rows
        )
    return scores_nk


def _products(a: Tensor, g_nto: Tensor, v_koi: Tensor) -> Tensor:
    """Compute G_n . v_k with G_n = sum_t g_t a_t^T: (n, k)."""
    if a.dim() == 2:  # numbers of tokens
        products = [(F.embedding(a, v_oi.T) * g_nto).sum((1, 2)) for v_oi in v_koi]
        return torch.stack(products, dim=1)
    if a.shape[1] == 1 and a.dim() == 3:
        projected_nko = torch.einsum("ni,koi->nko", a[:, 0], v_koi)
        return torch.einsum("nko,no->nk", projected_nko, g_nto[:, 0])
    return sample_gradients(a, g_nto).flatten(1) @ v_koi.flatten(1).T


def _summed(loss: Loss, model: nn.Module, samples: Samples, rows: Tensor) -> Tensor:
    return loss(model, samples.rows(rows)).sum()


def _ignore(name: str, a: Tensor, g_nto: Tensor) -> None:
    """Do nothing with a layer that is visited."""


def validation_bins(labels_m: np.ndarray, bins: int, rng: np.random.Generator) -> np.ndarray:
    """Deal the samples of each class into ``bins`` at random; return class * bins + bin, (m,).

    The bins of a class differ in size by one sample at most. Raises InputError for no bins, and if
    a class has fewer samples than bins.

    >>> groups_m = validation_bins(np.array([0, 0, 1, 1]), 2, np.random.default_rng(0))
    >>> sorted(groups_m[:2].tolist()), sorted(groups_m[2:].tolist())
    ([0, 1], [2, 3])
    """
    require_number("bins", bins, 1, whole=True)
    labels, sizes = np.unique(labels_m, return_counts=True)
    if sizes.min() < bins:
        raise InputError(
            f"bins: expected at most {sizes.min()}, the samples of the smallest class; got {bins}"
        )
    groups_m = np.empty(len(labels_m), dtype=np.int64)
    for label in labels:
        rows = rng.permutation(np.flatnonzero(labels_m == label))
        groups_m[rows] = int(label) * bins + np.arange(len(rows)) % bins
    return groups_m
