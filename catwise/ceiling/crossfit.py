"""Estimate the headroom on validation samples that did not choose the direction, and its null.

``p_nkb`` is P with the validation samples of each class dealt at random into b bins (see
``catwise.influence.vectors.validation_bins``): P[:, k] = sum_b P[:, k, b]. The bins are the unit of
noise.
"""

from collections.abc import Callable

import numpy as np

from catwise.ceiling.headroom import headroom
from catwise.core.errors import InputError
from catwise.core.statistics import Estimate, jackknife_half_width

__all__ = ["as_bins", "crossfitted", "crossfitted_headroom", "jackknifed", "permutation_null"]


def as_bins(p_nkb: np.ndarray) -> np.ndarray:
    """Return P by bins in float64. Raises InputError for fewer than 3 bins."""
    if p_nkb.ndim != 3 or p_nkb.shape[2] < 3:
        raise InputError(
            f"influence vectors: expected (n, k, bins) with at least 3 bins; got {p_nkb.shape}"
        )
    return np.asarray(p_nkb, dtype=np.float64)


def crossfitted_headroom(p_nkb: np.ndarray) -> Estimate:
    """Estimate the smallest class gain of directions on bins that did not choose them.

    With delta_b the direction that attains t* of all bins but b, and B bins, it is min_k gain_k,

        gain_k = mean_b delta_b . P[:, k, b] B / |P[:, k]|_1,

    in units of t*: shares of each class's influence mass. At a first-order ceiling no direction has
    a positive smallest gain, so its expectation is at most 0.

    The interval is (min_k low_k, min_k high_k), from jackknife intervals over the bins for each
    class: low > 0 says that each class gains significantly, an intersection-union test, which needs
    no correction for the number of classes. Each high_k errs with probability 2.5 % / k, because
    their minimum is too low as soon as one of them is. The jackknife finds delta anew without the
    bin that is left out: the gains of two bins share directions, and the plain deviation is too
    small.

    Differs from halves that are swapped, which this is with two bins: there are more samples for
    each direction, and no split by chance. No share is larger than 1, and so is no end.

    >>> p_nk = np.array([[1.0, -2.0], [-1.0, 2.0]])
    >>> crossfitted_headroom(np.repeat(p_nk[:, :, None], 3, axis=2))
    Estimate(value=0.0, low=0.0, high=0.0)
    """
    p_nkb = as_bins(p_nkb)
    count = p_nkb.shape[2]
    gain_bbk = crossfitted(p_nkb, lambda p_nk: headroom(p_nk).direction_n)
    gain_bbk *= count / np.abs(p_nkb.sum(axis=2)).sum(axis=0)
    gain_k, without_bk = jackknifed(gain_bbk)
    low = (gain_k - jackknife_half_width(without_bk)).min()
    high = (gain_k + jackknife_half_width(without_bk, 1 - 0.05 / len(gain_k))).min()
    return Estimate(float(gain_k.min()), float(low), min(float(high), 1.0))


def crossfitted(p_nkb: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Compute delta_bc . P[:, k, b], with delta_bc the change (n,) from all bins but b and c.

    ``change`` makes it of the P (n, k) of these bins. The result is (b, c, k), in nats.
    """
    count = p_nkb.shape[2]
    total_nk = p_nkb.sum(axis=2)
    gain_bbk = np.empty((count, count, p_nkb.shape[1]))
    for b in range(count):
        for c in range(b, count):
            rest_nk = total_nk - p_nkb[:, :, b] - (p_nkb[:, :, c] if c > b else 0)
            change_n = change(rest_nk)
            gain_bbk[b, c] = change_n @ p_nkb[:, :, b]
            gain_bbk[c, b] = change_n @ p_nkb[:, :, c]
    return gain_bbk


def jackknifed(gain_bbk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean cross-fitted gain (k,), and what it is without each of the bins (b, k)."""
    count = len(gain_bbk)
    own_bk = gain_bbk[np.arange(count), np.arange(count)]
    return own_bk.mean(axis=0), (gain_bbk.sum(axis=0) - own_bk) / (count - 1)


def permutation_null(p_nkb: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Compute t* and the cross-fitted headroom of classes that mean nothing: (draws, 2).

    Each draw deals the k b bins out to k classes at random; then no class opposes another but by
    chance, and the sum of all classes is unchanged. Both columns are in units of the mean influence
    mass of the true classes, because that of a random class may nearly vanish.

    Where the sum over classes is noise, as at the optimum of clean data, the first column tells how
    much t* flatters, and the second lies at or below 0. Where it is not (a penalty, wrong labels,
    unfinished training) both tell the room that there would be if no class stood in another's way;
    what they lack is the price of the conflict between classes.
    """
    p_nkb = as_bins(p_nkb)
    n, k, count = p_nkb.shape
    mass = np.abs(p_nkb.sum(axis=2)).sum(axis=0).mean()
    rows = []
    for _ in range(draws):
        mixed_nkb = p_nkb.reshape(n, k * count)[:, rng.permutation(k * count)].reshape(n, k, count)
        total_nk = mixed_nkb.sum(axis=2)
        crossfitted_k = sum(
            headroom(total_nk - mixed_nkb[:, :, b]).direction_n @ mixed_nkb[:, :, b]
            for b in range(count)
        )
        flattering_k = headroom(total_nk).direction_n @ total_nk
        rows.append((flattering_k.min() / mass, np.min(crossfitted_k) / mass))
    return np.array(rows)
