"""Draw the subsets of the training samples on which the model is trained again."""

import numpy as np

__all__ = ["DESIGNS", "HALF", "REMOVAL", "halves_of_labels", "random_halves", "random_removals"]

DESIGNS = ("half", "removal")  # by the number in ``design_h``
HALF, REMOVAL = range(2)
SHARE = 0.1  # of the samples that a removal leaves out, as in section 5.1


def random_halves(n: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``count`` random halves of the training set, as masks of what is kept: (count, n).

    >>> random_halves(6, 2, np.random.default_rng(0)).sum(axis=1)
    array([3, 3])
    """
    return _kept(n, n // 2, count, rng)


def halves_of_labels(labels_n: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw ``count`` random halves with half of each label, within one sample: (count, n).

    What differs between them is which samples of a class are kept, and not how many: the question
    of a verdict, whose weights leave each label its total, without the noise of the counts.

    >>> labels_n = np.array([0, 1, 0, 1, 1, 1])
    >>> kept_hn = halves_of_labels(labels_n, 2, np.random.default_rng(0))
    >>> [np.bincount(labels_n[kept_n]).tolist() for kept_n in kept_hn]
    [[1, 2], [1, 2]]
    """
    kept_hn = np.zeros((count, len(labels_n)), dtype=bool)
    for kept_n in kept_hn:
        kept_n[np.lexsort((rng.random(len(labels_n)), labels_n))[1::2]] = True
    return kept_hn


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
