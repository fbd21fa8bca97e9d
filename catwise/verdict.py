"""Room or ceiling? The four figures with their intervals, from influence vectors on bins of validation samples.

``p_nkb``: P with the validation samples of each class dealt at random into ``b`` bins, P[:, k] = sum_b P[:, k, b]. The
bins are the unit of noise. All intervals are jackknife intervals over them: each figure again with one bin of every
class left out, value +- Student's t (b - 1 degrees of freedom) times the jackknife's deviation. Unlike percentiles of a
bootstrap, which adds its own noise to that of P, they are centred at the figure (t* rises with noise) and draw nothing.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from catwise.ceiling import first_component_ratio, headroom, uncentred_spectrum
from catwise.errors import InputError

__all__ = ["Checked", "Estimate", "check", "crossfitted", "permuted", "verdict"]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Checked:
    """The paper's ratio, the smallest share of the uncentred spectrum, t*, the cross-fitted headroom; y* and delta*."""

    first_component_ratio: Estimate
    smallest_share: Estimate
    headroom: Estimate
    crossfitted: Estimate
    exchange_k: np.ndarray
    direction_n: np.ndarray
    gap: float

    @property
    def room(self) -> bool:
        """Whether the interval of the cross-fitted headroom lies above 0."""
        return self.crossfitted.low > 0


def check(p_nkb: np.ndarray) -> Checked:
    """All four figures of one checkpoint."""
    p_nkb = _binned(p_nkb)
    total_nk = p_nkb.sum(axis=2)
    without = [total_nk - p_nkb[:, :, b] for b in range(p_nkb.shape[2])]
    room = headroom(total_nk)

    def estimate(value: float, others: list[float]) -> Estimate:
        margin = float(_margin(np.array(others)))
        return Estimate(value, max(value - margin, 0.0), min(value + margin, 1.0))

    return Checked(
        estimate(first_component_ratio(total_nk), [first_component_ratio(p_nk) for p_nk in without]),
        estimate(uncentred_spectrum(total_nk)[-1], [uncentred_spectrum(p_nk)[-1] for p_nk in without]),
        estimate(room.value, [headroom(p_nk).value for p_nk in without]),
        crossfitted(p_nkb),
        room.exchange_k,
        room.direction_n,
        room.gap,
    )


def crossfitted(p_nkb: np.ndarray) -> Estimate:
    """The smallest class gain of directions on validation samples that they were not chosen by, in units of t*.

    gain_k = mean_b delta_b . P[:, k, b] b / |P[:, k]|_1 where delta_b attains t* of all bins but b; the figure is
    min_k gain_k. At a first-order ceiling no direction has a positive smallest gain, so its expectation is at most 0.
    The interval is (min_k low_k, min_k high_k) of the classes' own: low > 0 says that each of them gains significantly,
    an intersection-union test, which needs no correction for the number of classes. In the jackknife delta is found
    anew without the bin left out: gains of one bin and another share directions, and the plain deviation is too small.

    Differs from halves, swapped, which this is with two bins: more samples for each direction and no split by chance.
    """
    p_nkb = _binned(p_nkb)
    count = p_nkb.shape[2]
    gain_bck = np.empty((count, count, p_nkb.shape[1]))  # on bin b, of the direction from all bins but b and c
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
    margin_k = _margin(without_ck)
    return Estimate(float(gain_k.min()), float((gain_k - margin_k).min()), float((gain_k + margin_k).min()))


def permuted(p_nkb: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """t* and the cross-fitted headroom after dealing the k b bins out to k classes at random: (draws, 2).

    Both in units of the mean influence mass of the true classes; that of a random group may nearly vanish.
    The null "classes mean nothing": no group then opposes another but by chance, and their sum is unchanged. Where the
    sum is noise, as at the optimum of clean data, the first column tells how much t* flatters and the second lies at or
    below 0. Where it is not (a penalty, wrong labels, unfinished training) both tell the room there would be if no
    class stood in another's way; what is missing to them is the price of the conflict between classes.
    """
    p_nkb = _binned(p_nkb)
    n, k, count = p_nkb.shape
    mass = np.abs(p_nkb.sum(axis=2)).sum(axis=0).mean()
    found = []
    for _ in range(draws):
        mixed_nkb = p_nkb.reshape(n, k * count)[:, rng.permutation(k * count)].reshape(n, k, count)
        total_nk = mixed_nkb.sum(axis=2)
        gain_k = sum(headroom(total_nk - mixed_nkb[:, :, b]).direction_n @ mixed_nkb[:, :, b] for b in range(count))
        found.append(((headroom(total_nk).direction_n @ total_nk).min() / mass, np.min(gain_k) / mass))
    return np.array(found)


def verdict(found: Checked, classes: tuple[str, ...]) -> str:
    """In words. "a and b block each other at 1 : 0.7", the two with the largest y*: y*_b / y*_a = 0.7, so that to first
    order, others unchanged, what raises b by 1 % of its influence mass costs a at least 0.7 % of its own.
    """
    if found.room:
        gain = found.crossfitted
        value, low, high = (f"{100 * figure:.3g}" for figure in (gain.value, gain.low, gain.high))
        return f"room for a joint improvement of about {value} % of the influence mass (95 % {low} to {high})"
    first, second = np.argsort(-found.exchange_k, kind="stable")[:2]
    pair, rate = f"{classes[first]} and {classes[second]}", found.exchange_k[second] / found.exchange_k[first]
    return f"at its ceiling within noise; classes {pair} block each other at 1 : {rate:.2g}"


def _margin(without: np.ndarray) -> np.ndarray:
    """Half the width of the 95 % interval from the figures without one bin each, along the first axis."""
    count = len(without)
    return student.ppf(0.975, count - 1) * np.sqrt((count - 1) * without.var(axis=0))


def _binned(p_nkb: np.ndarray) -> np.ndarray:
    if p_nkb.ndim != 3 or p_nkb.shape[2] < 3:
        raise InputError(f"influence vectors: expected (n, k, bins) with at least 3 bins; came {p_nkb.shape}")
    return np.asarray(p_nkb, dtype=np.float64)
