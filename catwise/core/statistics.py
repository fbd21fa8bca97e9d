"""Compute the intervals and the rank correlation that several packages report, and check arrays."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata
from scipy.stats import t as student

from catwise.core.errors import InputError

__all__ = ["require_finite", "spearman", "student_half_width"]


def student_half_width(values: ArrayLike, axis: int = 0, confidence: float = 0.95) -> np.ndarray:
    """Compute half the width of Student's interval of the mean, t s / sqrt(n), along ``axis``.

    ``s`` is the sample deviation (n - 1 in the divisor). A single value has no interval: inf.

    >>> student_half_width([1.0, 2.0, 3.0]).round(3)
    np.float64(2.484)
    """
    values = np.asarray(values, dtype=np.float64)
    count = values.shape[axis]
    if count < 2:
        return np.full_like(values.mean(axis=axis), np.inf)
    error = values.std(axis=axis, ddof=1) / count**0.5
    return student.ppf((1 + confidence) / 2, count - 1) * error


def spearman(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """Compute Spearman's rank correlation column by column; NaN where a column is constant.

    >>> spearman([[1, 3], [2, 2], [3, 1]], [[10, 10], [20, 20], [30, 30]])
    array([ 1., -1.])
    """
    ranks = [rankdata(values, axis=0) for values in (first, second)]
    ranks = [values - values.mean(axis=0) for values in ranks]
    norms = np.sqrt((ranks[0] ** 2).sum(axis=0) * (ranks[1] ** 2).sum(axis=0))
    with np.errstate(invalid="ignore"):
        return (ranks[0] * ranks[1]).sum(axis=0) / norms


def require_finite(values: np.ndarray, name: str, axes: tuple[str, ...]) -> None:
    """Raise InputError that names the first entry which is not finite, by ``axes`` such as (sample, class).

    >>> require_finite(np.array([[0.0, np.nan]]), "influence vectors", ("sample", "class"))
    Traceback (most recent call last):
    catwise.core.errors.InputError: influence vectors: expected finite values; got nan for sample 0, class 1
    """
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        entry = tuple(wrong[0].tolist())
        place = ", ".join(f"{axis} {number}" for axis, number in zip(axes, entry, strict=True))
        raise InputError(f"{name}: expected finite values; got {values[entry]} for {place}")
