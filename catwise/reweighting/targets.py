"""Choose the epoch that is taken again and the classes that are its targets (section 3.4)."""

import numpy as np

from catwise.core.errors import InputError

__all__ = ["detrimental_epoch", "fallen_classes", "lowest_classes"]


def lowest_classes(accuracy_k: np.ndarray, count: int) -> list[int]:
    """Choose Direct Improvement's targets: the ``count`` classes of lowest accuracy, in order of
    their number.

    Differs from the paper: it chose by eye, and in Table 1 it took classes 0 and 2, where 3 is the
    lowest.

    >>> lowest_classes(np.array([0.9, 0.5, 0.8, 0.6]), 2)
    [1, 3]
    """
    if not 1 <= count <= len(accuracy_k):
        raise InputError(f"targets: expected 1 to {len(accuracy_k)} classes; got {count}")
    return sorted(np.argsort(accuracy_k, kind="stable")[:count].tolist())


def fallen_classes(
    before_k: np.ndarray, after_k: np.ndarray, counts_k: np.ndarray, level: float = 0.05
) -> list[int]:
    """Choose Course Correction's targets: the classes whose accuracy fell significantly from one
    epoch to the next.

    The test is Fisher's exact one-sided test of two proportions, class by class, with ``counts_k``
    samples each. The two epochs judge the same samples, which agree more than independent ones
    would, so it errs on the side of no fall.
    """
    from scipy.stats import hypergeom  # a second to import

    counts_k = np.asarray(counts_k)
    right_before_k, right_after_k = np.rint(before_k * counts_k), np.rint(after_k * counts_k)
    right_k = right_before_k + right_after_k
    p_value_k = hypergeom.sf(right_before_k - 1, 2 * counts_k, right_k, counts_k)
    return np.flatnonzero((right_after_k < right_before_k) & (p_value_k <= level)).tolist()


def detrimental_epoch(accuracy_ek: np.ndarray) -> int:
    """Find the row e from which to e + 1 the classes that fall lose most accuracy in sum; the
    first of equals.

    >>> detrimental_epoch(np.array([[0.5, 0.5], [0.7, 0.4], [0.8, 0.1]]))
    1
    """
    if len(accuracy_ek) < 2:
        raise InputError(f"history: expected two epochs or more; got {len(accuracy_ek)}")
    return int(np.maximum(-np.diff(accuracy_ek, axis=0), 0).sum(axis=1).argmax())
