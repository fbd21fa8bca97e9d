"""PARETO-LP-GA's arithmetic: which classes are the targets, which weights a candidate means, and how fit it is."""

import numpy as np
from scipy.stats import hypergeom

from catwise.core.errors import InputError

__all__ = ["detrimental_epoch", "dropped", "lowest"]


def lowest(accuracy_k: np.ndarray, count: int) -> list[int]:
    """Direct Improvement's targets: the ``count`` classes of lowest accuracy at the epoch, in order of their number.

    Differs from the paper: it chose by eye, and of Table 1 classes 0 and 2, where 3 is the lowest.
    """
    if not 1 <= count <= len(accuracy_k):
        raise InputError(f"targets: expected 1 to {len(accuracy_k)} classes; got {count}")
    return sorted(np.argsort(accuracy_k, kind="stable")[:count].tolist())


def dropped(
    before_k: np.ndarray, after_k: np.ndarray, counts_k: np.ndarray, level: float = 0.05
) -> list[int]:
    """Course Correction's targets: the classes whose accuracy fell significantly from one epoch to the next.

    Fisher's exact one-sided test of two proportions, class by class, ``counts_k`` samples each. The two epochs judge
    the same samples, which agree more than independent ones would, so the test errs on the side of no fall.
    """
    counts_k = np.asarray(counts_k)
    right_k, left_k = np.rint(before_k * counts_k), np.rint(after_k * counts_k)
    chance_k = hypergeom.sf(right_k - 1, 2 * counts_k, right_k + left_k, counts_k)
    return np.flatnonzero((left_k < right_k) & (chance_k <= level)).tolist()


def detrimental_epoch(accuracy_ek: np.ndarray) -> int:
    """The row e from which to e + 1 the classes that fall lose most accuracy in sum; the first of equals."""
    if len(accuracy_ek) < 2:
        raise InputError(f"history: expected two epochs or more; got {len(accuracy_ek)}")
    return int(np.maximum(-np.diff(accuracy_ek, axis=0), 0).sum(axis=1).argmax())
