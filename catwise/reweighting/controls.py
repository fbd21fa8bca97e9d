"""Make the weights that a method is compared with: its own, shuffled, and those of an oracle."""

import numpy as np

__all__ = ["oracle_weights", "shuffle_weights"]


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


def oracle_weights(flipped_n: np.ndarray) -> np.ndarray:
    """Give no weight to the samples whose label is flipped, and theirs to the others in equal
    parts.

    >>> oracle_weights(np.array([True, False, False])).tolist()
    [0.0, 1.5, 1.5]
    """
    return ~flipped_n / (~flipped_n).mean()
