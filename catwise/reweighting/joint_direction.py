"""Weights that raise every class at once: the direction of the minimum-norm point, and the exact linear program."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog, nnls

from catwise.core.errors import InputError

__all__ = ["Direction", "Maximin", "direction", "direction_weights", "joint", "maximin", "project"]


@dataclass(frozen=True)
class Direction:
    """delta_n = Pn y; every class gains (delta . Pn[:, k]) / n >= norm^2 - gap, and no exchange rates y make it less.

    ``exchange_k`` = y in the simplex; where ``norm`` is 0 it tells at which rates the classes block each other.
    """

    delta_n: np.ndarray
    exchange_k: np.ndarray
    norm: float
    gap: float


def direction(p_nk: np.ndarray, labels_n: np.ndarray | None = None) -> Direction:
    """The minimum-norm point Pn y of the convex hull of the columns of Pn: it makes an acute angle with all of them.

    Pn is P with its columns centred, within each label where ``labels_n`` is given, and scaled to deviation 1. So the
    direction keeps the total weight (of each label), and of all with its length it raises the worst class most.
    y solves a K-dimensional quadratic program, min |Pn y| over the simplex. Up to its scale it is the solution of the
    least squares problem min_{u >= 0} |Pn u|^2/n + (sum(u) - 1)^2, whose active set is exact.

    ``gap`` = y . G y - min_k (G y)_k, G = Pn^T Pn / n, is its certificate (Frank-Wolfe's): 0 but for rounding.
    """
    p_nk = _finite(p_nk)
    centred_nk = _centred(p_nk, labels_n)
    deviation_k = centred_nk.std(axis=0)
    if not (deviation_k > 1e-12 * np.abs(p_nk).mean(axis=0)).all():
        raise InputError(
            f"influence vectors: expected some that differ; those on class {deviation_k.argmin()} do not"
        )
    scaled_nk = centred_nk / deviation_k
    n, k = scaled_nk.shape
    root_kk = np.linalg.qr(scaled_nk, mode="r") / n**0.5
    u_k = nnls(np.vstack([root_kk, np.ones(k)]), np.append(np.zeros(len(root_kk)), 1))[0]
    y_k = u_k / u_k.sum()
    delta_n = scaled_nk @ y_k
    gains_k = delta_n @ scaled_nk / n
    square = float(delta_n @ delta_n) / n
    return Direction(delta_n, y_k, square**0.5, square - float(gains_k.min()))


def direction_weights(
    delta_n: np.ndarray,
    labels_n: np.ndarray | None = None,
    *,
    size: float = 0.5,
    w_max: float = 2.0,
) -> np.ndarray:
    """w = 1 + delta, delta scaled to mean |delta| = size, then the nearest to it in the box with the means kept at 1.

    A direction of zeros but for rounding, at a ceiling, leaves ones.
    """
    mean = np.abs(delta_n).mean()
    return _projected(1 + (size / mean if mean > 1e-9 else 0) * delta_n, labels_n, w_max)


def _projected(x_n: np.ndarray, labels_n: np.ndarray | None, w_max: float) -> np.ndarray:
    weights_n = np.empty_like(x_n)
    for rows in _groups(len(x_n), labels_n):
        weights_n[rows] = project(x_n[rows], w_max)
    return weights_n


def project(x_n: np.ndarray, w_max: float) -> np.ndarray:
    """argmin |w - x|^2 subject to 0 <= w <= w_max and mean(w) = 1: w = clip(x - shift, 0, w_max), solved exactly.

    The mean falls with the shift and is linear between two knots, the shifts at which some weight meets a bound.
    """
    w_max = min(w_max, len(x_n))
    knots = np.sort(np.concatenate([x_n - w_max, x_n]))

    def mean(knot: float) -> float:
        return float(np.clip(x_n - knot, 0, w_max).mean())

    low, high = 0, len(knots) - 1  # where the mean is w_max and 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if mean(knots[middle]) >= 1 else (low, middle)
    above, below = mean(knots[low]), mean(knots[high])
    shift = knots[low] + (knots[high] - knots[low]) * (above - 1) / (above - below)
    return np.clip(x_n - shift, 0, w_max)


@dataclass(frozen=True)
class Maximin:
    """``value`` = min_k (w - 1) . Pn[:, k], columns of unit L1; ``exchange_k`` = y; ``gap`` = dual minus primal."""

    weights_n: np.ndarray
    value: float
    exchange_k: np.ndarray
    gap: float


def maximin(
    p_nk: np.ndarray, labels_n: np.ndarray | None = None, *, size: float = 0.5, w_max: float = 2.0
) -> Maximin:
    """max_w min_k (w - 1) . Pn[:, k], Pn = P with columns of unit L1, where 0 <= w <= w_max, mean |w - 1| <= size and
    mean(w) = 1, within each label where given. A vertex: nearly all weights are 0, 1 or w_max.

    For y in the simplex, a price r >= 0 of the size and mu of each label's mean, no w does better than
        sum_i ((w_max - 1) (d_i - r)_+ + (-d_i - r)_+) + r n size,   d = Pn y - mu[label],
    and the gap is that bound, worked out anew from the solver's y, r and mu, minus the value of w.
    """
    p_nk = _finite(p_nk)
    mass_k = np.abs(p_nk).sum(axis=0)
    if not mass_k.all():
        raise InputError(
            f"influence vectors: expected influence on every class; that on class {mass_k.argmin()} is 0"
        )
    n, k = p_nk.shape
    w_max = min(w_max, n)
    groups = _groups(n, labels_n)
    member_cn = np.stack([np.isin(np.arange(n), rows) for rows in groups]).astype(np.float64)
    scaled_nk = p_nk * (n / mass_k)  # entries of about 1, for HiGHS' tolerances
    # w - 1 = up - down; 2n variables and t. An interior point first: the simplex alone takes minutes at n = 50,000.
    answer = linprog(
        np.append(np.zeros(2 * n), -1.0),
        A_ub=np.vstack(
            [
                np.hstack([-scaled_nk.T, scaled_nk.T, np.full((k, 1), n)]),
                np.append(np.ones(2 * n), 0),
            ]
        ),
        b_ub=np.append(np.zeros(k), n * size),
        A_eq=np.hstack([member_cn, -member_cn, np.zeros((len(groups), 1))]),
        b_eq=np.zeros(len(groups)),
        bounds=np.repeat([(0, w_max - 1), (0, 1), (0, np.inf)], [n, n, 1], axis=0),
        method="highs-ipm",
    )
    if answer.status != 0:
        raise RuntimeError(f"linear program of {n} x {k}: {answer.message}")
    weights_n = _projected(1 + answer.x[:n] - answer.x[n : 2 * n], labels_n, w_max)
    value = float(((weights_n - 1) @ (p_nk / mass_k)).min())
    y_k = np.maximum(-answer.ineqlin.marginals[:k], 0)
    y_k /= y_k.sum()
    price = max(-answer.ineqlin.marginals[k], 0.0)
    d_n = p_nk @ (y_k / mass_k) + answer.eqlin.marginals @ member_cn
    above_n, below_n = np.maximum(d_n - price, 0), np.maximum(-d_n - price, 0)
    bound = float((w_max - 1) * above_n.sum() + below_n.sum() + price * n * size)
    return Maximin(weights_n, value, y_k, bound - value)


def _finite(p_nk: np.ndarray) -> np.ndarray:
    if not np.isfinite(p_nk).all():
        raise InputError(
            f"influence vectors: expected finite values; got {np.argwhere(~np.isfinite(p_nk))[0]} not so"
        )
    return np.asarray(p_nk, dtype=np.float64)


def _centred(p_nk: np.ndarray, labels_n: np.ndarray | None) -> np.ndarray:
    centred_nk = p_nk.copy()
    for rows in _groups(len(p_nk), labels_n):
        centred_nk[rows] -= centred_nk[rows].mean(axis=0)
    return centred_nk


def _groups(n: int, labels_n: np.ndarray | None) -> list[np.ndarray]:
    if labels_n is None:
        return [np.arange(n)]
    return [np.flatnonzero(labels_n == label) for label in np.unique(labels_n)]


def joint(
    p_nk: np.ndarray, labels_n: np.ndarray, sizes: list[float], w_max: float
) -> list[np.ndarray]:
    """Weights that raise every class at once to first order, for each size; each class keeps its total weight."""
    delta_n = direction(p_nk, labels_n).delta_n
    return [direction_weights(delta_n, labels_n, size=size, w_max=w_max) for size in sizes]
