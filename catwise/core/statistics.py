"""Compute the intervals and the rank correlation that several packages report; check arrays."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, stdtrit

from catwise.core.errors import InputError

__all__ = [
    "SIGN_WITHOUT_HELP",
    "Estimate",
    "area_under_curve",
    "highest_share",
    "jackknife_half_width",
    "noise_ceiling",
    "require_finite",
    "spearman",
    "student_half_width",
]

SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
SIGN_WITHOUT_HELP = {"accuracy": -1, "loss": 1}  # of the change when what helped is left out


@dataclass(frozen=True)
class Estimate:
    """Hold a number with its 95 % interval, whose ends are NaN where it has none.

    A format is that of each of its numbers; what rounds to 0 has no sign of minus.

    >>> f"{Estimate(0.5, -0.001, 1.25):+.2f}"
    '+0.50 (+0.00 to +1.25)'
    >>> f"{Estimate(0.5, np.nan, np.nan):+.2f}"
    '+0.50'
    """

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        spec = f"+z{spec[1:]}" if spec.startswith("+") else f"z{spec}"
        if np.isnan([self.low, self.high]).any():
            return f"{self.value:{spec}}"
        return f"{self.value:{spec}} ({self.low:{spec}} to {self.high:{spec}})"


def student_half_width(values: ArrayLike, confidence: float = 0.95) -> np.ndarray:
    """Compute half the width of Student's interval of the mean over the first axis, t s / sqrt(n).

    ``s`` is the sample deviation (n - 1 in the divisor). A single value has no interval: inf.

    >>> student_half_width([1.0, 2.0, 3.0]).round(3)
    np.float64(2.484)
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return np.full_like(values.mean(axis=0), np.inf)
    error = values.std(axis=0, ddof=1) / len(values) ** 0.5
    return stdtrit(len(values) - 1, (1 + confidence) / 2) * error


def jackknife_half_width(without: ArrayLike, confidence: float = 0.95) -> np.ndarray:
    """Compute half the width of the jackknife interval of a statistic, along the first axis.

    ``without`` holds the statistic computed n times, each time with another of the n parts left
    out. The width is Student's t times sqrt((n - 1) v), with v their variance (n in the divisor);
    for a mean it is ``student_half_width`` of the parts.

    >>> parts = np.array([1.0, 2.0, 6.0])
    >>> jackknife_half_width((parts.sum() - parts) / 2).round(3)
    np.float64(6.572)
    >>> student_half_width(parts).round(3)
    np.float64(6.572)
    """
    without = np.asarray(without, dtype=np.float64)
    return (len(without) - 1) * student_half_width(without, confidence)


def highest_share(share_k: np.ndarray, counts_k: np.ndarray, tail: float = 0.025) -> np.ndarray:
    """Compute the upper end of the interval of a share of ``counts_k`` samples: (k,).

    It is that of Clopper and Pearson (1934, Biometrika 26): with a larger share, as few samples as
    were seen would have a probability below ``tail``.

    >>> highest_share(np.array([0.0, 0.5, 1.0]), np.array([10, 10, 10])).round(3)
    array([0.308, 0.813, 1.   ])
    """
    seen_k = np.asarray(share_k, dtype=np.float64) * counts_k
    missing_k = np.maximum(counts_k - seen_k, 0)
    most_k = betaincinv(seen_k + 1, np.maximum(missing_k, 1e-12), 1 - tail)
    return np.where(missing_k > 0, most_k, 1.0)


def spearman(first: ArrayLike, second: ArrayLike, axis: int = 0) -> np.ndarray:
    """Compute Spearman's rank correlation along an axis; NaN where there all values are the same.

    The other axes are broadcast.

    >>> spearman([[1, 3], [2, 2], [3, 1]], [[10, 10], [20, 20], [30, 30]])
    array([ 1., -1.])
    """
    from scipy.stats import rankdata  # a second to import, of every stage

    ranks = [rankdata(values, axis=axis) for values in (first, second)]
    ranks = [values - values.mean(axis=axis, keepdims=True) for values in ranks]
    norms = np.sqrt((ranks[0] ** 2).sum(axis=axis) * (ranks[1] ** 2).sum(axis=axis))
    with np.errstate(invalid="ignore"):
        return (ranks[0] * ranks[1]).sum(axis=axis) / norms


def area_under_curve(positive_n: np.ndarray, score_n: ArrayLike) -> float:
    """Compute how well a high score tells the positive samples from the others (ROC AUC).

    It is the share of pairs, one positive and one not, in which the positive one has the higher
    score; equal scores count half.

    >>> area_under_curve(np.array([True, True, False, False]), [3.0, 1.0, 1.0, 0.0])
    0.875
    """
    score_n = np.asarray(score_n)
    others = np.sort(score_n[~positive_n])
    below, up_to = (np.searchsorted(others, score_n[positive_n], side) for side in SIDES)
    return float((below + up_to).mean() / (2 * len(others)))


def noise_ceiling(value_hsk: np.ndarray, averaged: int | None = None) -> np.ndarray:
    """Compute the highest rank correlation that a perfect predictor can be expected to reach: (k,).

    ``value_hsk`` holds what was measured of case h under seed s, in column k. Cases differ by what
    is predicted, seeds by what nobody can predict. With r the mean rank correlation between two
    seeds over the cases, the mean of S seeds has the reliability

        R = S r / (1 + (S - 1) r)

    (Spearman-Brown), and the truth behind the noise correlates with what was measured by sqrt(R)
    (attenuation, Spearman 1904). S is ``averaged``, by default all seeds. NaN with one seed, and
    for a column that never changes; 0 where the seeds do not agree at all.

    >>> value_hsk = np.array([[[1.0], [1.0]], [[2.0], [2.0]], [[3.0], [3.0]]])
    >>> noise_ceiling(value_hsk), noise_ceiling(value_hsk[:, :1])
    (array([1.]), array([nan]))
    """
    count, seeds, columns = value_hsk.shape
    if seeds < 2 or not count:
        return np.full(columns, np.nan)
    pairs = [
        spearman(value_hsk[:, first], value_hsk[:, second])
        for first in range(seeds)
        for second in range(first)
    ]
    r_k = np.maximum(np.mean(pairs, axis=0), 0)
    size = seeds if averaged is None else averaged
    return np.sqrt(size * r_k / (1 + (size - 1) * r_k))


def require_finite(values: np.ndarray, name: str, axes: tuple[str, ...]) -> None:
    """Raise InputError that names the first entry which is not finite.

    ``name`` says what the values are, and ``axes`` what each axis counts.

    >>> require_finite(np.array([[0.0, np.nan]]), "influence vectors", ("sample", "class"))
    Traceback (most recent call last):
    catwise.core.errors.InputError: influence vectors: expected finite values; got nan for sample 0, class 1
    """  # noqa: E501
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        entry = tuple(wrong[0].tolist())
        position = ", ".join(f"{axis} {number}" for axis, number in zip(axes, entry, strict=True))
        raise InputError(f"{name}: expected finite values; got {values[entry]} for {position}")
