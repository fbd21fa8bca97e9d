"""Room or ceiling? The four figures with their intervals, from influence vectors on bins of validation samples.

``p_nkb``: P with the validation samples of each class dealt at random into ``b`` bins, P[:, k] = sum_b P[:, k, b]. The
bins are the unit of noise. All intervals are jackknife intervals over them: each figure again with one bin of every
class left out, value +- Student's t (b - 1 degrees of freedom) times the jackknife's deviation. Unlike percentiles of a
bootstrap, which adds its own noise to that of P, they are centred at the figure (t* rises with noise) and draw nothing.
"""

from dataclasses import dataclass

import numpy as np

from catwise.ceiling.crossfit import Estimate, checked_bins, crossfitted_headroom, jackknife_margin
from catwise.ceiling.headroom import headroom
from catwise.ceiling.pca_rule import first_component_ratio, uncentred_spectrum

__all__ = ["CeilingCheck", "check_ceiling", "verdict"]


@dataclass(frozen=True)
class CeilingCheck:
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


def check_ceiling(p_nkb: np.ndarray) -> CeilingCheck:
    """All four figures of one checkpoint."""
    p_nkb = checked_bins(p_nkb)
    total_nk = p_nkb.sum(axis=2)
    without = [total_nk - p_nkb[:, :, b] for b in range(p_nkb.shape[2])]
    room = headroom(total_nk)

    def estimate(value: float, others: list[float]) -> Estimate:
        margin = float(jackknife_margin(np.array(others)))
        return Estimate(value, max(value - margin, 0.0), min(value + margin, 1.0))

    return CeilingCheck(
        estimate(
            first_component_ratio(total_nk), [first_component_ratio(p_nk) for p_nk in without]
        ),
        estimate(
            uncentred_spectrum(total_nk)[-1], [uncentred_spectrum(p_nk)[-1] for p_nk in without]
        ),
        estimate(room.value, [headroom(p_nk).value for p_nk in without]),
        crossfitted_headroom(p_nkb),
        room.exchange_k,
        room.direction_n,
        room.gap,
    )


def verdict(found: CeilingCheck, classes: tuple[str, ...]) -> str:
    """In words. "a and b block each other at 1 : 0.7", the two with the largest y*: y*_b / y*_a = 0.7, so that to first
    order, others unchanged, what raises b by 1 % of its influence mass costs a at least 0.7 % of its own.
    """
    if found.room:
        gain = found.crossfitted
        value, low, high = (f"{100 * figure:.3g}" for figure in (gain.value, gain.low, gain.high))
        return f"room for a joint improvement of about {value} % of the influence mass (95 % {low} to {high})"
    first, second = np.argsort(-found.exchange_k, kind="stable")[:2]
    pair, rate = (
        f"{classes[first]} and {classes[second]}",
        found.exchange_k[second] / found.exchange_k[first],
    )
    return f"at its ceiling within noise; classes {pair} block each other at 1 : {rate:.2g}"
