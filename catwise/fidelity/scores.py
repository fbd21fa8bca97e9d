"""Score how well influence vectors predict what training again on subsets does."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from catwise.core.statistics import SIGN_WITHOUT_HELP, spearman

__all__ = ["Scores", "linear_datamodeling_score", "scores"]

DRAWS = 500  # of the bootstrap


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
    """Hold the score of each kind of P, with 500 bootstrap draws of the subsets.

    ``by_class[kind]`` is (1 + draws, k): the score itself, then that of each draw. All kinds share
    the draws, so that a difference between two of them is paired.
    """

    by_class: dict[str, np.ndarray]

    def of_class(self, kind: str, k: int) -> tuple[float, float, float]:
        """Return the score of one class with its 95 % interval: value, low and high."""
        return _interval(self.by_class[kind][:, k])

    def mean(self, kind: str) -> tuple[float, float, float]:
        """Return the same of the mean over the classes that have a score."""
        return _interval(_mean(self.by_class[kind]))

    def difference(self, first: str, second: str) -> tuple[float, float, float]:
        """Return by how much the mean score of the first kind is above that of the second."""
        return _interval(_mean(self.by_class[first]) - _mean(self.by_class[second]))

    def best(self) -> list[str]:
        """Return the kinds, the one with the highest mean score first."""
        return sorted(self.by_class, key=lambda kind: -np.nan_to_num(self.mean(kind)[0], nan=-2))


def scores(
    vectors: Mapping[str, np.ndarray],
    kept_hn: np.ndarray,
    value_hsk: np.ndarray,
    measure: str,
    rng: np.random.Generator,
) -> Scores:
    """Score each P (n, k) of ``vectors`` against what was measured, averaged over the seeds.

    ``value_hsk`` holds the loss of each subset, seed and class, or the accuracy, as ``measure``
    says: what raises a loss lowers an accuracy, so that the score of a perfect prediction is 1 for
    both.
    """
    count = len(kept_hn)
    rows_dh = np.stack([np.arange(count), *rng.integers(count, size=(DRAWS, count))])
    actual_hk = SIGN_WITHOUT_HELP[measure] * value_hsk.mean(axis=1)
    return Scores(
        {
            kind: spearman(_left_out(p_nk, kept_hn)[rows_dh], actual_hk[rows_dh], axis=1)
            for kind, p_nk in vectors.items()
        }
    )


def _left_out(p_nk: np.ndarray, kept_hn: np.ndarray) -> np.ndarray:
    """Sum P over the samples that each subset leaves out: (h, k)."""
    return (~kept_hn).astype(np.float64) @ p_nk


def _mean(score_dk: np.ndarray) -> np.ndarray:
    """Average over the classes that have a score; NaN where none has one.

    A draw that repeats one subset again and again has no score.
    """
    finite = np.isfinite(score_dk)
    total = np.where(finite, score_dk, 0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return total / finite.sum(axis=1)


def _interval(score_d: np.ndarray) -> tuple[float, float, float]:
    """Return the first value, and the 95 % quantiles of the others."""
    drawn = score_d[1:][np.isfinite(score_d[1:])]
    low, high = np.quantile(drawn, (0.025, 0.975)) if len(drawn) else (np.nan, np.nan)
    return float(score_d[0]), float(low), float(high)
