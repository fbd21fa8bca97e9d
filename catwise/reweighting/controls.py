"""Make the weights that a method is compared with: shuffled weights, and the oracle of planted noise."""

import numpy as np

__all__ = ["drop", "shuffled"]


def shuffled(
    weights_n: np.ndarray, rng: np.random.Generator, labels_n: np.ndarray | None = None
) -> np.ndarray:
    """The control: the same weights on other samples, at random; within each label where ``labels_n`` is given.

    Over all samples it undoes what the weights do by sample and by class; within labels it leaves the latter.
    """
    if labels_n is None:
        return rng.permutation(weights_n)
    mixed_n = np.empty_like(weights_n)
    for label in np.unique(labels_n):
        mixed_n[labels_n == label] = rng.permutation(weights_n[labels_n == label])
    return mixed_n


def drop(flipped_n: np.ndarray) -> np.ndarray:
    """The oracle of planted noise: no sample with a flipped label, the others share its weight."""
    return ~flipped_n / (~flipped_n).mean()
