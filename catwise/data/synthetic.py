"""Generate the paper's two synthetic data sets (appendix A.1.1).

Differs from the paper: it is silent on the sizes of the discs. Their centres, (-1.1, 0) and
(1.1, 0), and their radius 1 are ours.
"""

from collections.abc import Callable

import numpy as np

from catwise.data.catalogue import CLASSES, LICENCES
from catwise.data.dataset import SPLITS, Data

__all__ = ["linear", "nonlinear"]

BLUE, ORANGE = (-1.1, 0.0), (1.1, 0.0)  # centres
Shape = Callable[[np.random.Generator, int], np.ndarray]


def linear(rng: np.random.Generator, counts: dict[str, int], flips: list[int]) -> Data:
    """Generate two discs that a line separates (paper, A.1.1).

    ``counts`` are per class, in each split. ``flips`` says how many training labels of blue and of
    orange are given to the other class.

    >>> counts = {"train": 300, "validation_a": 300, "validation_b": 300, "test": 1000}
    >>> data = linear(np.random.default_rng(0), counts, flips=[50, 20])
    >>> data.x["train"].shape, np.bincount(data.y["train"])
    ((600, 2), array([270, 330]))
    """
    return _generate("linear", _disc, rng, counts, flips)


def nonlinear(rng: np.random.Generator, counts: dict[str, int], flips: list[int]) -> Data:
    """Generate a disc and a shape that reaches into it, so that no line separates them (A.1.1).

    The arguments are those of ``linear``.
    """
    return _generate("nonlinear", _lobe, rng, counts, flips)


def _generate(
    name: str, orange: Shape, rng: np.random.Generator, counts: dict[str, int], flips: list[int]
) -> Data:
    """Generate blue as a disc and orange in its own shape, then flip training labels."""
    x, y = {}, {}
    for split in SPLITS:
        blue_points = np.array(BLUE) + _disc(rng, counts[split])
        orange_points = np.array(ORANGE) + orange(rng, counts[split])
        x[split] = np.concatenate([blue_points, orange_points])
        y[split] = np.repeat(np.arange(2), counts[split])
    flipped = np.zeros(len(y["train"]), dtype=bool)
    for label, number in enumerate(flips):
        members = np.flatnonzero(y["train"] == label)
        flipped[rng.choice(members, number, replace=False)] = True
    y["train"] = np.where(flipped, 1 - y["train"], y["train"])
    return Data(CLASSES[name], LICENCES[name], x, y, flipped)


def _disc(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw points evenly from the disc of radius 1; the square root makes their density uniform."""
    angle = rng.uniform(0, 2 * np.pi, count)
    distance = np.sqrt(rng.uniform(0, 1, count))
    return distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _lobe(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw points from a shape whose radius is 1 - 0.8 cos(angle): it reaches out to the left."""
    points = _disc(rng, count)
    angle = np.arctan2(points[:, 1], points[:, 0])
    return points * (1 + 0.8 * np.cos(angle - np.pi))[:, None]
