"""Score how well influence vectors predict what training again on subsets does."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from catwise.core.statistics import SIGN_WITHOUT_HELP, Estimate, jackknife_half_width, spearman

__all__ = ["Scores", "linear_datamodeling_score", "scores"]


def linear_datamodeling_score(
    p_nk: np.ndarray, kept_hn: np.ndarray, loss_hk: np.ndarray
) -> np.ndarray:
    """Compute Spearman's rho per class between predicted and actual losses: (k,).

    Row h of ``loss_hk`` is measured of a model that is trained on subset h alone. To first order,
    leaving out the samples R raises the loss of class k by sum_{i in R} P[i, k]. NaN for a class
    whose losses are all the same. Source: Park et al. 2023, arXiv 2303.14186, with one query group
    per class in place of one per sample.

    >>> p_nk = np.array([[2.0], [1.0], [-1.0], [-2.0]])
    >>> kept_hn = np.array([[True, True, False, False], [False, True, True, False]])
    >>> linear_datamodeling_score(p_nk, kept_hn, loss_hk=np.array([[0.3], [0.9]]))
    array([1.])
    """
    return spearman(_left_out(p_nk, kept_hn), loss_hk)


@dataclass(frozen=True)
class Scores:
    """Hold the score of each kind of P, and what it is without each of the subsets.

    ``by_class[kind]`` is (1 + h, k): the score itself, then that without subset 1, 2, ... h, of
    which intervals are made (95 %, by the jackknife). The percentiles of a bootstrap would be too
    low: subsets that are drawn twice are ties, which lower a rank correlation. All kinds have the
    same subsets, so that a difference between two of them is paired.
    """

    by_class: dict[str, np.ndarray]

    def of_class(self, kind: str, k: int) -> Estimate:
        """Return the score of one class."""
        return _score(self.by_class[kind][:, k])

    def mean(self, kind: str) -> Estimate:
        """Return the mean over the classes that have a score."""
        return _score(_mean(self.by_class[kind]))

    def difference(self, first: str, second: str) -> Estimate:
        """Return by how much the mean score of the first kind is above that of the second."""
        return _estimate(_mean(self.by_class[first]) - _mean(self.by_class[second]))

    def best(self) -> list[str]:
        """Return the kinds, the one with the highest mean score first."""
        return sorted(self.by_class, key=lambda kind: -np.nan_to_num(self.mean(kind).value, nan=-2))


def scores(
    vectors: Mapping[str, np.ndarray], kept_hn: np.ndarray, value_hsk: np.ndarray, measure: str
) -> Scores:
    """Score each P (n, k) of ``vectors`` against what was measured, averaged over the seeds.

    ``value_hsk`` holds the loss of each subset, seed and class, or the accuracy, as ``measure``
    says: what raises a loss lowers an accuracy, so that the score of a perfect prediction is 1 for
    both.
    """
    count = len(kept_hn)
    parts_jh = [np.arange(count), *(np.delete(np.arange(count), h) for h in range(count))]
    actual_hk = SIGN_WITHOUT_HELP[measure] * value_hsk.mean(axis=1)
    by_class = {}
    for kind, p_nk in vectors.items():
        predicted_hk = _left_out(p_nk, kept_hn)
        by_class[kind] = np.stack(
            [spearman(predicted_hk[rows_h], actual_hk[rows_h]) for rows_h in parts_jh]
        )
    return Scores(by_class)


def _left_out(p_nk: np.ndarray, kept_hn: np.ndarray) -> np.ndarray:
    """Sum P over the samples that each subset leaves out: (h, k)."""
    return (~kept_hn).astype(np.float64) @ p_nk


def _mean(score_jk: np.ndarray) -> np.ndarray:
    """Average over the classes that have a score; NaN where none has one."""
    finite = np.isfinite(score_jk)
    total = np.where(finite, score_jk, 0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return total / finite.sum(axis=1)


def _score(score_j: np.ndarray) -> Estimate:
    estimate = _estimate(score_j)
    return replace(estimate, low=max(estimate.low, -1.0), high=min(estimate.high, 1.0))


def _estimate(score_j: np.ndarray) -> Estimate:
    value, without_h = float(score_j[0]), score_j[1:][np.isfinite(score_j[1:])]
    half = float(jackknife_half_width(without_h)) if len(without_h) else np.nan
    return Estimate(value, value - half, value + half)
