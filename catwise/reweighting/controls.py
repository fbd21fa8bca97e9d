"""Make the weights that a method is compared with: its own, shuffled, and those of a pruning."""

import numpy as np

from catwise.core.errors import InputError

__all__ = ["kept_weights", "shuffle_weights"]


def shuffle_weights(
    weights_n: np.ndarray, rng: np.random.Generator, labels_n: np.ndarray | None = None
) -> np.ndarray:
    """Give the same weights to other samples at random, within each label if ``labels_n`` is given.

    Shuffled over all samples, what the weights do by sample and by class is undone; within labels,
    the latter is kept.
    """
    if labels_n is None:
        return rng.permutation(weights_n)
    shuffled_n = np.empty_like(weights_n)
    for label in np.unique(labels_n):
        shuffled_n[labels_n == label] = rng.permutation(weights_n[labels_n == label])
    return shuffled_n


def kept_weights(kept_n: np.ndarray) -> np.ndarray:
    """Give no weight to what is left out, and its weight to the others in equal parts.

    Raises InputError where nothing is kept.

    >>> kept_weights(np.array([False, True, True])).tolist()
    [0.0, 1.5, 1.5]
    """
    if not kept_n.any():
        raise InputError("kept samples: expected some; got none")
    return kept_n / kept_n.mean()
