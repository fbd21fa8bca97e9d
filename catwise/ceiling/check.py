"""Check the ceiling at one checkpoint: four figures with intervals, and which classes block.

Intervals are jackknife intervals over the bins of validation samples: each figure is computed again
with one bin of every class left out, and the interval is value +- Student's t (bins - 1 degrees of
freedom) times the jackknife's deviation. Unlike percentiles of a bootstrap, which adds its own
noise to that of P, they are centred at the figure (t* rises with noise), and they draw nothing at
random.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from catwise.ceiling.crossfit import as_bins, crossfitted_headroom
from catwise.ceiling.headroom import headroom
from catwise.ceiling.pca_rule import first_component_ratio, uncentred_spectrum
from catwise.core.errors import InputError
from catwise.core.statistics import Estimate, jackknife_half_width

__all__ = ["CeilingCheck", "check_ceiling"]


@dataclass(frozen=True)
class CeilingCheck:
    """Hold the figures of one checkpoint.

    first_component_ratio   the paper's ratio
    smallest_share          the last share of the uncentred spectrum
    headroom                t*, which flatters
    crossfitted             the cross-fitted headroom, by which the verdict goes
    exchange_k              y*: the rates at which the classes block each other, with sum 1
    gap                     the largest error of t* as solved
    classes                 the names of the classes
    pair                    the numbers of the two classes of ``blocking``; None in older files
    """

    first_component_ratio: Estimate
    smallest_share: Estimate
    headroom: Estimate
    crossfitted: Estimate
    exchange_k: np.ndarray
    gap: float
    classes: tuple[str, ...]
    pair: tuple[int, int] | None = None

    @property
    def room(self) -> bool:
        """Tell whether the interval of the cross-fitted headroom lies above 0."""
        return self.crossfitted.low > 0

    @property
    def blocking(self) -> tuple[str, str]:
        """Name the two classes that block each other most, that of the larger y* first."""
        first, second = self._blocking
        return self.classes[first], self.classes[second]

    @property
    def exchange_rate(self) -> float:
        """Compute y*_b / y*_a for the blocking classes a and b.

        To first order, others unchanged, what raises b by 1 % of its influence mass costs a at
        least this rate in % of its own.
        """
        first, second = self._blocking
        return float(self.exchange_k[second] / self.exchange_k[first])

    @property
    def _blocking(self) -> tuple[int, int]:
        if self.pair is not None:
            return self.pair
        first, second = np.argsort(-self.exchange_k, kind="stable")[:2].tolist()
        return first, second


def check_ceiling(p_nkb: np.ndarray, classes: Sequence[str] | None = None) -> CeilingCheck:
    """Compute the four figures from influence vectors on bins of the validation samples.

    ``classes`` are the names of the columns k, their numbers where left out. Raises InputError for
    fewer than 2 classes or 3 bins, for a class without influence, and for values that are not
    finite.

    >>> p_nk = np.array([[1.0, -2.0], [-1.0, 2.0]])  # what helps one class harms the other
    >>> check = check_ceiling(np.repeat(p_nk[:, :, None], 3, axis=2), ["cat", "dog"])
    >>> check.room, check.blocking, round(check.exchange_rate, 3)
    (False, ('cat', 'dog'), 1.0)
    """
    p_nkb = as_bins(p_nkb)
    if p_nkb.shape[1] < 2:
        raise InputError("influence vectors: expected two classes or more; got 1")
    total_nk = p_nkb.sum(axis=2)
    room = headroom(total_nk)

    names = map(str, range(p_nkb.shape[1])) if classes is None else classes

    def estimate(value: float, figure: Callable[[np.ndarray], float]) -> Estimate:
        without = [figure(total_nk - p_nkb[:, :, b]) for b in range(p_nkb.shape[2])]
        margin = float(jackknife_half_width(without))
        return Estimate(value, max(value - margin, 0.0), min(value + margin, 1.0))

    return CeilingCheck(
        estimate(first_component_ratio(total_nk), first_component_ratio),
        estimate(_smallest_share(total_nk), _smallest_share),
        estimate(room.value, lambda p_nk: headroom(p_nk).value),
        crossfitted_headroom(p_nkb),
        room.exchange_k,
        room.gap,
        tuple(names),
        _opposed(total_nk, room.exchange_k),
    )


def _opposed(p_nk: np.ndarray, exchange_k: np.ndarray) -> tuple[int, int]:
    """Find the two classes whose influences cancel most at the rates y*, the larger y* first.

    t* is the mean of |sum_k y*_k s_k| with s_k the influence on class k in shares of its mass. So
    a and b stand in each other's way by - y*_a y*_b s_a . s_b. The largest y* alone may belong to
    classes that have nothing to do with each other.
    """
    weighted_nk = p_nk / np.abs(p_nk).mean(axis=0) * exchange_k
    common_kk = weighted_nk.T @ weighted_nk / len(p_nk)
    first_i, second_i = np.triu_indices(len(exchange_k), 1)
    rates_i = exchange_k[first_i] + exchange_k[second_i]
    best = np.argmin(common_kk[first_i, second_i] - 1e-9 * rates_i)  # of equals the largest rates
    first, second = sorted((int(first_i[best]), int(second_i[best])), key=lambda k: -exchange_k[k])
    return first, second


def _smallest_share(p_nk: np.ndarray) -> float:
    return float(uncentred_spectrum(p_nk)[-1])
