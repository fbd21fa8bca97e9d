"""Spoil a training split on purpose: make classes rare, and change labels."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from catwise.core.errors import InputError

__all__ = ["Spoiling", "flip_labels", "long_tail_counts", "spoil"]


@dataclass(frozen=True)
class Spoiling:
    """Say what is done to the training samples before anything else.

    ``imbalance`` is the ratio of the rarest to the most frequent class, 1 for none, and no class
    may keep fewer than ``fewest`` samples; then ``flip_share`` of the labels become another class
    at random, or the ``next`` in order.
    """

    imbalance: float = 1.0
    flip_share: float = 0.0
    flip_to: Literal["random", "next"] = "random"
    fewest: int = 1


def spoil(
    rng: np.random.Generator, labels: np.ndarray, spoiling: Spoiling, num_classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw the samples that stay, and change labels among them.

    Returns their rows, rising, and the new label of each and whether it was changed. With imbalance
    1 all stay, and the draws of the flips are what they are without it.
    """
    rows = np.arange(len(labels))
    if spoiling.imbalance < 1:
        rows = _long_tail(rng.spawn(1)[0], labels, spoiling, num_classes)
    return rows, *flip_labels(rng, labels[rows], spoiling, num_classes)


def long_tail_counts(count_k: np.ndarray, imbalance: float) -> np.ndarray:
    """Compute how many samples of each class stay: n_k = n_max imbalance^(k / (K - 1)), cut off.

    ``n_max`` is the count of the most frequent class; a class that has fewer keeps what it has.

    Source: the exponential profile of the long-tailed CIFAR benchmarks (Cui et al. 2019, arXiv
    1901.05555).

    >>> long_tail_counts(np.array([100, 100, 100]), 0.01)
    array([100,  10,   1])
    """
    position_k = np.arange(len(count_k)) / max(len(count_k) - 1, 1)
    # the power is wrong in its last digit, which must not take a whole sample away
    profile_k = np.floor(count_k.max() * imbalance**position_k + 1e-9).astype(np.int64)
    return np.minimum(count_k, profile_k)


def flip_labels(
    rng: np.random.Generator, labels: np.ndarray, spoiling: Spoiling, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Change round(share n) of n labels to another class, drawn uniformly, or to the next one.

    Returns the new labels and a mask of those that changed. The same samples change either way.

    >>> labels = np.zeros(10, dtype=int)
    >>> given, flipped = flip_labels(np.random.default_rng(0), labels, Spoiling(flip_share=0.2), 3)
    >>> int(flipped.sum()), bool((given[flipped] > 0).all())
    (2, True)
    """
    share = spoiling.flip_share
    if not 0 <= share < 1:
        raise InputError(f"flip_share: expected 0 <= share < 1; got {share}")
    flipped = np.zeros(len(labels), dtype=bool)
    flipped[rng.choice(len(labels), round(share * len(labels)), replace=False)] = True
    shift = rng.integers(1, num_classes, len(labels)) if spoiling.flip_to == "random" else 1
    return np.where(flipped, (labels + shift) % num_classes, labels), flipped


def _long_tail(
    rng: np.random.Generator, labels: np.ndarray, spoiling: Spoiling, num_classes: int
) -> np.ndarray:
    """Draw the rows of each class that stay, and sort them."""
    count_k = np.bincount(labels, minlength=num_classes)
    left_k = long_tail_counts(count_k, spoiling.imbalance)
    if left_k.min() < spoiling.fewest:
        rarest = int(left_k.argmin())
        raise InputError(
            f"imbalance: expected at least {spoiling.fewest} samples of every class, one for each"
            f" bin; got {left_k[rarest]} of class {rarest} at {spoiling.imbalance}"
        )
    drawn = [
        rng.choice(np.flatnonzero(labels == label), count, replace=False)
        for label, count in enumerate(left_k)
    ]
    return np.sort(np.concatenate(drawn))
