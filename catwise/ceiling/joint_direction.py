"""Find weights that raise every class at once, to first order."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from catwise.core.errors import InputError
from catwise.core.statistics import require_finite

__all__ = ["Direction", "direction_weights", "joint_direction", "joint_weights", "project"]


@dataclass(frozen=True)
class Direction:
    """Hold the joint direction delta_n = Pn y and its certificate.

    Every class gains (delta . Pn[:, k]) / n >= norm^2 - gap. ``exchange_k`` = y lies in the
    simplex; where ``norm`` is 0 it tells at which rates the classes block each other.
    ``deviation_k`` scaled P to Pn. ``gap`` = y . G y - min_k (G y)_k, G = Pn^T Pn / n, is
    Frank-Wolfe's certificate: 0 but for rounding.
    """

    delta_n: np.ndarray
    exchange_k: np.ndarray
    deviation_k: np.ndarray
    norm: float
    gap: float

    def mixture(self, counts_k: np.ndarray) -> np.ndarray:
        """Return the mixture of classes that weights can raise least: shares (k,) of sum 1.

        Per unit of the changes in weights it gains least of all mixtures, by P of query losses that
        are summed over ``counts_k`` samples. With mean losses of class k falling by gain_k,
        sum_k y_k (w - 1) . Pn[:, k] is in proportion to sum_k mixture_k gain_k. Whatever the
        weights, the smallest gain of a class is at most that of the mixture.
        """
        rates_k = self.exchange_k * counts_k / self.deviation_k
        return rates_k / rates_k.sum()


def joint_direction(p_nk: np.ndarray, labels_n: np.ndarray | None = None) -> Direction:
    """Compute the minimum-norm point Pn y of the convex hull of the columns of Pn.

    It makes an acute angle with all of them. Pn is P with its columns centred, within each label
    where ``labels_n`` is given, and scaled to deviation 1. So the direction keeps the total weight
    (of each label), and of all directions of its length it raises the worst class most.

    y solves a K-dimensional quadratic program, min |Pn y| over the simplex. Up to its scale it is
    the solution of the least squares problem min_{u >= 0} |Pn u|^2/n + (sum(u) - 1)^2, whose
    active set is exact.

    Raises InputError for values that are not finite, and for a class on which all samples have the
    same influence.

    >>> p_nk = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0], [-3.0, -3.0]])
    >>> joint_direction(p_nk).delta_n.round(2)  # the last sample harms both classes
    array([ 0.53,  0.53,  0.53, -1.6 ])
    """
    p_nk = np.asarray(p_nk, dtype=np.float64)
    require_finite(p_nk, "influence vectors", ("sample", "class"))
    centred_nk = p_nk.copy()
    for rows in _groups(len(p_nk), labels_n):
        centred_nk[rows] -= centred_nk[rows].mean(axis=0)
    deviation_k = centred_nk.std(axis=0)
    if not (deviation_k > 1e-12 * np.abs(p_nk).mean(axis=0)).all():
        raise InputError(
            "influence vectors: expected some that differ among the samples of a class; got equal"
            f" ones on class {deviation_k.argmin()}, counted from 0"
        )
    scaled_nk = centred_nk / deviation_k
    n, k = scaled_nk.shape
    root_kk = np.linalg.qr(scaled_nk, mode="r") / n**0.5
    u_k = nnls(np.vstack([root_kk, np.ones(k)]), np.append(np.zeros(len(root_kk)), 1))[0]
    y_k = u_k / u_k.sum()
    delta_n = scaled_nk @ y_k
    gains_k = delta_n @ scaled_nk / n
    square = float(delta_n @ delta_n) / n
    return Direction(delta_n, y_k, deviation_k, square**0.5, square - float(gains_k.min()))


def direction_weights(
    delta_n: np.ndarray,
    labels_n: np.ndarray | None = None,
    *,
    size: float = 0.5,
    w_max: float = 2.0,
    start_n: np.ndarray | None = None,
) -> np.ndarray:
    """Compute w = start + delta with mean |delta| = size, and put w into the box.

    ``start_n`` (n,) are the weights from which the step is made; None for ones.

    The weights are the nearest ones with 0 <= w <= w_max and mean 1, within each label where
    ``labels_n`` is given. A direction of zeros but for rounding, as at a ceiling, leaves the start.
    Raises InputError for a direction that is not finite, and for a w_max below 1.

    >>> direction_weights(np.array([0.5, 0.5, 0.5, -1.5]), size=0.5).round(2)
    array([1.33, 1.33, 1.33, 0.  ])
    """
    require_finite(delta_n, "direction", ("sample",))
    if not w_max >= 1:
        raise InputError(f"w_max: expected at least 1, or no weights have mean 1; got {w_max}")
    mean = np.abs(delta_n).mean()
    scale = size / mean if mean > 1e-9 else 0
    x_n = (1 if start_n is None else start_n) + scale * delta_n
    weights_n = np.empty_like(x_n)
    for rows in _groups(len(x_n), labels_n):
        weights_n[rows] = project(x_n[rows], w_max)
    return weights_n


def joint_weights(
    p_nk: np.ndarray,
    labels_n: np.ndarray,
    *,
    size: float = 0.5,
    w_max: float = 2.0,
    start_n: np.ndarray | None = None,
) -> np.ndarray:
    """Compute weights along the joint direction of P; each class keeps its total weight."""
    delta_n = joint_direction(p_nk, labels_n).delta_n
    return direction_weights(delta_n, labels_n, size=size, w_max=w_max, start_n=start_n)


def project(x_n: np.ndarray, w_max: float) -> np.ndarray:
    """Compute argmin |w - x|^2 subject to 0 <= w <= w_max and mean(w) = 1, exactly.

    The answer is w = clip(x - shift, 0, w_max). Its mean falls with the shift and is linear
    between two knots, the shifts at which some weight meets a bound.
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


def _groups(n: int, labels_n: np.ndarray | None) -> list[np.ndarray]:
    """List the samples of each label; all of them as one group without labels."""
    if labels_n is None:
        return [np.arange(n)]
    return [np.flatnonzero(labels_n == label) for label in np.unique(labels_n)]
