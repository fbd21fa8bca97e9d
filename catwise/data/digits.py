"""Load scikit-learn's scans of handwritten digits, and spoil the training split if asked."""

import numpy as np

from catwise.data.catalogue import CLASSES, LICENCES
from catwise.data.dataset import HELD_OUT, Data
from catwise.data.spoil import Spoiling, spoil

__all__ = ["digits"]


def digits(rng: np.random.Generator, sizes: dict[str, int], spoiling: Spoiling) -> Data:
    """Split scikit-learn's 1,797 images of 8 x 8 pixels, scaled to [0, 1].

    ``sizes`` are those of the three held-out splits, each class in proportion. The rest is trained
    on, after ``spoiling``.

    >>> sizes = {"validation_a": 300, "validation_b": 300, "test": 297}
    >>> data = digits(np.random.default_rng(0), sizes, Spoiling(flip_share=0.1))
    >>> data.x["train"].shape, data.flipped.sum()
    ((900, 1, 8, 8), np.int64(90))
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    parts = _stratified_rows(rng, labels, {split: sizes[split] for split in HELD_OUT})
    given, num_classes = labels[parts["train"]].astype(np.int64), len(CLASSES["digits"])
    left, given, flipped = spoil(rng, given, spoiling, num_classes)
    parts["train"] = parts["train"][left]
    x = {
        split: (images[rows] / 16).astype(np.float32).reshape(-1, 1, 8, 8)
        for split, rows in parts.items()
    }
    y = {split: labels[rows].astype(np.int64) for split, rows in parts.items()}
    y["train"] = given
    return Data(CLASSES["digits"], LICENCES["digits"], x, y, flipped)


def _stratified_rows(
    rng: np.random.Generator, labels: np.ndarray, sizes: dict[str, int]
) -> dict[str, np.ndarray]:
    """Draw disjoint rows for each split, each class in proportion; the rest is called train."""
    from sklearn.model_selection import train_test_split

    rest = np.arange(len(labels))
    parts = {}
    for split, size in sizes.items():
        rest, parts[split] = train_test_split(
            rest, test_size=size, stratify=labels[rest], random_state=int(rng.integers(2**31))
        )
    return {"train": np.sort(rest), **{split: np.sort(rows) for split, rows in parts.items()}}
