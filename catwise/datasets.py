"""Data sets as arrays, split in four: train, validation A (influence), validation B (the search), test (reported).

Differs from the paper: its experiments use one held-out split for all three jobs.
"""

from dataclasses import dataclass

import numpy as np

from catwise.errors import InputError

__all__ = ["CLASSES", "SPLITS", "Data", "digits", "flip_labels", "linear", "nonlinear"]

SPLITS = ("train", "validation_a", "validation_b", "test")
CLASSES = {
    "linear": ("blue", "orange"),
    "nonlinear": ("blue", "orange"),
    "digits": tuple("0123456789"),
}
LICENCES = {
    "linear": "generated here; no rights reserved",
    "nonlinear": "generated here; no rights reserved",
    "digits": "UCI Optical Recognition of Handwritten Digits (Alpaydin, Kaynak 1998), CC BY 4.0, through scikit-learn",
}


@dataclass(frozen=True)
class Data:
    """``x[split]``: inputs, ``y[split]``: labels as given, ``flipped``: which training labels were changed."""

    classes: tuple[str, ...]
    licence: str
    x: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    flipped: np.ndarray


def _disc(rng: np.random.Generator, count: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    """``count`` points spread evenly over a disc (the square root makes the density uniform)."""
    angle = rng.uniform(0, 2 * np.pi, count)
    distance = radius * np.sqrt(rng.uniform(0, 1, count))
    return np.array(centre) + distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _lobed(rng: np.random.Generator, count: int, centre: tuple[float, float], radius: float) -> np.ndarray:
    """A disc whose radius depends on the angle: it reaches into the other class in one direction."""
    points = _disc(rng, count, (0.0, 0.0), radius)
    angle = np.arctan2(points[:, 1], points[:, 0])
    return np.array(centre) + points * (1 + 0.8 * np.cos(angle - np.pi))[:, None]


def _synthetic(name: str, rng: np.random.Generator, counts: dict[str, int], flips: list[int]) -> Data:
    blue, orange = {
        "linear": (lambda count: _disc(rng, count, (-1.1, 0.0), 1.0), lambda count: _disc(rng, count, (1.1, 0.0), 1.0)),
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


def digits(rng: np.random.Generator, counts: dict[str, int], flip_share: float) -> Data:
    """scikit-learn's bundled scans: 1,797 images of 8 x 8, scaled to [0, 1]; splits stratified by class.

    ``counts`` holds the sizes of the three held-out splits; the rest is trained on, ``flip_share`` of it mislabelled.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    parts = _stratified(rng, labels, {split: counts[split] for split in SPLITS[1:]})
    x = {split: (images[rows] / 16).astype(np.float32).reshape(-1, 1, 8, 8) for split, rows in parts.items()}
    y = {split: labels[rows].astype(np.int64) for split, rows in parts.items()}
    y["train"], flipped = flip_labels(rng, y["train"], flip_share, len(CLASSES["digits"]))
    return Data(CLASSES["digits"], LICENCES["digits"], x, y, flipped)


def _stratified(rng: np.random.Generator, labels: np.ndarray, sizes: dict[str, int]) -> dict[str, np.ndarray]:
    """Disjoint rows for each split, each class in proportion; the rest is called train."""
    from sklearn.model_selection import train_test_split

    rest = np.arange(len(labels))
    parts = {}
    for split, size in sizes.items():
        rest, parts[split] = train_test_split(
            rest, test_size=size, stratify=labels[rest], random_state=int(rng.integers(2**31))
        )
    return {"train": np.sort(rest), **{split: np.sort(rows) for split, rows in parts.items()}}


def flip_labels(
    rng: np.random.Generator, labels: np.ndarray, share: float, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Changes round(share n) labels to another class, chosen uniformly; returns the new labels and where."""
    if not 0 <= share < 1:
        raise InputError(f"flip_share: expected 0 <= share < 1; came {share}")
    flipped = np.zeros(len(labels), dtype=bool)
    flipped[rng.choice(len(labels), round(share * len(labels)), replace=False)] = True
    shift = rng.integers(1, num_classes, len(labels))
    return np.where(flipped, (labels + shift) % num_classes, labels), flipped
