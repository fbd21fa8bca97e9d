"""Generate the paper's two synthetic data sets (appendix A.1.1)."""

import numpy as np

from catwise.data.dataset import CLASSES, LICENCES, SPLITS, Data

__all__ = ["linear", "nonlinear"]


def _disc(
    rng: np.random.Generator, count: int, centre: tuple[float, float], radius: float
) -> np.ndarray:
    """``count`` points spread evenly over a disc (the square root makes the density uniform)."""
    angle = rng.uniform(0, 2 * np.pi, count)
    distance = radius * np.sqrt(rng.uniform(0, 1, count))
    return np.array(centre) + distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _lobed(
    rng: np.random.Generator, count: int, centre: tuple[float, float], radius: float
) -> np.ndarray:
    """A disc whose radius depends on the angle: it reaches into the other class in one direction."""
    points = _disc(rng, count, (0.0, 0.0), radius)
    angle = np.arctan2(points[:, 1], points[:, 0])
    return np.array(centre) + points * (1 + 0.8 * np.cos(angle - np.pi))[:, None]


def _synthetic(
    name: str, rng: np.random.Generator, counts: dict[str, int], flips: list[int]
) -> Data:
    blue, orange = {
        "linear": (
            lambda count: _disc(rng, count, (-1.1, 0.0), 1.0),
            lambda count: _disc(rng, count, (1.1, 0.0), 1.0),
        ),
        "nonlinear": (
            lambda count: _disc(rng, count, (-1.1, 0.0), 1.0),
            lambda count: _lobed(rng, count, (1.1, 0.0), 1.0),
        ),
    }[name]
    x, y = {}, {}
    for split in SPLITS:
        count = counts[split]
        x[split] = np.concatenate([blue(count), orange(count)])
        y[split] = np.repeat(np.arange(2), count)
    flipped = np.zeros(2 * counts["train"], dtype=bool)
    for label, amount in enumerate(flips):
        members = np.flatnonzero(y["train"] == label)
        flipped[rng.choice(members, amount, replace=False)] = True
    y["train"] = np.where(flipped, 1 - y["train"], y["train"])
    return Data(CLASSES[name], LICENCES[name], x, y, flipped)


def linear(rng: np.random.Generator, counts: dict[str, int], flips: list[int]) -> Data:
    """Two discs that a line separates; ``flips`` training labels of each class are exchanged (paper, A.1.1).

    ``counts`` are per class and split. Silent in the paper: centres (-1.1, 0), (1.1, 0) and radius 1 are ours.
    """
    return _synthetic("linear", rng, counts, flips)


def nonlinear(rng: np.random.Generator, counts: dict[str, int], flips: list[int]) -> Data:
    """As ``linear``, but orange reaches into blue, so that no line separates them (paper, A.1.1).

    Silent in the paper: the radius of orange is 1 - 0.8 cos(angle).
    """
    return _synthetic("nonlinear", rng, counts, flips)
