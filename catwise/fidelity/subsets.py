"""Draw the subsets of the training samples on which fidelity trains again."""

import numpy as np

__all__ = ["DESIGNS", "HALF", "REMOVAL", "random_halves", "random_removals"]

DESIGNS = ("half", "removal")  # by the number in ``design_h``
HALF, REMOVAL = range(2)
SHARE = 0.1  # of the samples that a removal leaves out, as in section 5.1


def random_halves(n: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``count`` random halves of the training set, as masks of what is kept: (count, n).

    >>> random_halves(6, 2, np.random.default_rng(0)).sum(axis=1)
    array([3, 3])
    """
    return _kept(n, n // 2, count, rng)


def random_removals(n: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Leave out a random tenth of the training set ``count`` times; masks of what is kept.

    Where influence is to predict small changes, as of a reweighting, a tenth is nearer to them than
    a half is.

    >>> random_removals(30, 2, np.random.default_rng(0)).sum(axis=1)
    array([27, 27])
    """
    return _kept(n, n - round(SHARE * n), count, rng)


def _kept(n: int, size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    kept_hn = np.zeros((count, n), dtype=bool)
    for kept_n in kept_hn:
        kept_n[rng.choice(n, size, replace=False)] = True
    return kept_hn
