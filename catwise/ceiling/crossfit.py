"""Estimate the headroom on validation samples that did not choose the direction, with its interval and its null."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from catwise.ceiling.headroom import headroom
from catwise.core.errors import InputError

__all__ = ["Estimate", "crossfitted_headroom", "permutation_null"]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def crossfitted_headroom(p_nkb: np.ndarray) -> Estimate:
    """The smallest class gain of directions on validation samples that they were not chosen by, in units of t*.

    gain_k = mean_b delta_b . P[:, k, b] b / |P[:, k]|_1 where delta_b attains t* of all bins but b; the figure is
    min_k gain_k. At a first-order ceiling no direction has a positive smallest gain, so its expectation is at most 0.
    The interval is (min_k low_k, min_k high_k) of the classes' own: low > 0 says that each of them gains significantly,
    an intersection-union test, which needs no correction for the number of classes. In the jackknife delta is found
    anew without the bin left out: gains of one bin and another share directions, and the plain deviation is too small.

    Differs from halves, swapped, which this is with two bins: more samples for each direction and no split by chance.
    """
    p_nkb = checked_bins(p_nkb)
    count = p_nkb.shape[2]
    gain_bck = np.empty(
        (count, count, p_nkb.shape[1])
    )  # on bin b, of the direction from all bins but b and c
    total_nk = p_nkb.sum(axis=2)
    scale_k = count / np.abs(total_nk).sum(axis=0)
    for b in range(count):
        for c in range(b, count):
            rest_nk = total_nk - p_nkb[:, :, b] - (p_nkb[:, :, c] if c > b else 0)
            direction_n = headroom(rest_nk).direction_n
            gain_bck[b, c] = direction_n @ p_nkb[:, :, b] * scale_k
            gain_bck[c, b] = direction_n @ p_nkb[:, :, c] * scale_k
    own = np.arange(count)
    gain_k = gain_bck[own, own].mean(axis=0)
    without_ck = (gain_bck.sum(axis=0) - gain_bck[own, own]) / (count - 1)
    margin_k = jackknife_margin(without_ck)
    return Estimate(
        float(gain_k.min()), float((gain_k - margin_k).min()), float((gain_k + margin_k).min())
    )


def permutation_null(p_nkb: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """t* and the cross-fitted headroom after dealing the k b bins out to k classes at random: (draws, 2).

    Both in units of the mean influence mass of the true classes; that of a random group may nearly vanish.
    The null "classes mean nothing": no group then opposes another but by chance, and their sum is unchanged. Where the
    sum is noise, as at the optimum of clean data, the first column tells how much t* flatters and the second lies at or
    below 0. Where it is not (a penalty, wrong labels, unfinished training) both tell the room there would be if no
    class stood in another's way; what is missing to them is the price of the conflict between classes.
    """
    p_nkb = checked_bins(p_nkb)
    n, k, count = p_nkb.shape
    mass = np.abs(p_nkb.sum(axis=2)).sum(axis=0).mean()
    found = []
    for _ in range(draws):
        mixed_nkb = p_nkb.reshape(n, k * count)[:, rng.permutation(k * count)].reshape(n, k, count)
        total_nk = mixed_nkb.sum(axis=2)
        gain_k = sum(
            headroom(total_nk - mixed_nkb[:, :, b]).direction_n @ mixed_nkb[:, :, b]
            for b in range(count)
        )
        found.append(
            ((headroom(total_nk).direction_n @ total_nk).min() / mass, np.min(gain_k) / mass)
        )
    return np.array(found)


def jackknife_margin(without: np.ndarray) -> np.ndarray:
    """Half the width of the 95 % interval from the figures without one bin each, along the first axis."""
    count = len(without)
    return student.ppf(0.975, count - 1) * np.sqrt((count - 1) * without.var(axis=0))


def checked_bins(p_nkb: np.ndarray) -> np.ndarray:
    if p_nkb.ndim != 3 or p_nkb.shape[2] < 3:
        raise InputError(
            f"influence vectors: expected (n, k, bins) with at least 3 bins; got {p_nkb.shape}"
        )
    return np.asarray(p_nkb, dtype=np.float64)
