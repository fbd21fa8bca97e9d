"""Influence vectors in one pass over the training set: P[i, k] = q_k . H^-1 g_i (Eq. 1 with S = class k)."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from catwise.curvature import Curvature
from catwise.layers import covered, matrix_shape, per_layer
from catwise.metrics import per_sample_loss

__all__ = ["class_gradients", "directional_derivatives", "influence_vectors"]

Progress = Callable[[Iterable], Iterable]


def class_gradients(
    model: nn.Module, x: Tensor, y: Tensor, num_classes: int, batch_size: int, progress: Progress = iter
) -> dict[str, Tensor]:
    """q_k = sum over the samples of class k of grad l(z), per covered layer: (k, o, i).

    One backward pass over the query samples: a layer's q_k is the sum of its per-sample gradients of that class.
    """
    q = {
        name: x.new_zeros(num_classes, *matrix_shape(layer))  # the samples' dtype and device
        for name, layer in covered(model).items()
    }
    model.eval()
    for batch in progress(torch.arange(len(y)).split(batch_size)):
        x_batch, y_batch = x[batch], y[batch]

        def add(name: str, a_nti: Tensor, g_nto: Tensor, y_batch: Tensor = y_batch) -> None:
            for k in y_batch.unique():
                mine = y_batch == k
                q[name][k] += g_nto[mine].flatten(0, 1).T @ a_nti[mine].flatten(0, 1)

        per_layer(model, lambda: per_sample_loss(model, x_batch, y_batch).sum(), add)  # noqa: B023
    return q


def directional_derivatives(
    model: nn.Module, x: Tensor, y: Tensor, v: dict[str, Tensor], batch_size: int, progress: Progress = iter
) -> Tensor:
    """g_i . v_k for every sample and direction, in one forward and backward pass: (n, k).

    With many positions t the per-sample gradient (n, o, i) is formed once and shared by all k directions;
    with one position it is of rank one and never formed.
    """
    num_directions = len(next(iter(v.values())))
    scores_nk = x.new_zeros(len(y), num_directions)
    model.eval()
    for batch in progress(torch.arange(len(y)).split(batch_size)):

        def add(name: str, a_nti: Tensor, g_nto: Tensor, batch: Tensor = batch) -> None:
            v_koi = v[name]
            if a_nti.shape[1] == 1:
                projected_nko = torch.einsum("ni,koi->nko", a_nti[:, 0], v_koi)
                scores_nk[batch] += torch.einsum("nko,no->nk", projected_nko, g_nto[:, 0])
            else:
                gradient_noi = g_nto.transpose(1, 2) @ a_nti
                scores_nk[batch] += gradient_noi.flatten(1) @ v_koi.flatten(1).T

        per_layer(model, lambda: per_sample_loss(model, x[batch], y[batch]).sum(), add)  # noqa: B023
    return scores_nk


def influence_vectors(
    model: nn.Module,
    curvature: Curvature,
    train: tuple[Tensor, Tensor],
    query: tuple[Tensor, Tensor],
    num_classes: int,
    batch_size: int,
    progress: Progress = iter,
) -> Tensor:
    """P of shape (n, k), in nats of summed query loss per removed training sample; positive is beneficial.

    Three steps, one for each factor of Eq. 1: the class gradients q_k, v_k = H^-1 q_k, and g_i . v_k.
    Scale: H is the *sum* over training samples and q_k the *sum* over query samples, as in the paper;
    kronfluence's own scores use the mean for H and are n times larger.
    """
    q = class_gradients(model, *query, num_classes, batch_size, progress)
    v = curvature.solve(q)
    return directional_derivatives(model, *train, v, batch_size, progress)
