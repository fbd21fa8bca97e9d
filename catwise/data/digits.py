"""Load scikit-learn's scans of handwritten digits, with a share of the training labels flipped."""

import numpy as np

from catwise.data.dataset import CLASSES, LICENCES, SPLITS, Data
from catwise.data.splits import flip_labels

__all__ = ["digits"]


def digits(rng: np.random.Generator, counts: dict[str, int], flip_share: float) -> Data:
    """scikit-learn's bundled scans: 1,797 images of 8 x 8, scaled to [0, 1]; splits stratified by class.

    ``counts`` holds the sizes of the three held-out splits; the rest is trained on, ``flip_share`` of it mislabelled.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    parts = _stratified(rng, labels, {split: counts[split] for split in SPLITS[1:]})
    x = {
        split: (images[rows] / 16).astype(np.float32).reshape(-1, 1, 8, 8)
        for split, rows in parts.items()
    }
    y = {split: labels[rows].astype(np.int64) for split, rows in parts.items()}
    y["train"], flipped = flip_labels(rng, y["train"], flip_share, len(CLASSES["digits"]))
    return Data(CLASSES["digits"], LICENCES["digits"], x, y, flipped)


def _stratified(
    rng: np.random.Generator, labels: np.ndarray, sizes: dict[str, int]
) -> dict[str, np.ndarray]:
    """Disjoint rows for each split, each class in proportion; the rest is called train."""
    from sklearn.model_selection import train_test_split

    rest = np.arange(len(labels))
    parts = {}
    for split, size in sizes.items():
        rest, parts[split] = train_test_split(
            rest, test_size=size, stratify=labels[rest], random_state=int(rng.integers(2**31))
        )
    return {"train": np.sort(rest), **{split: np.sort(rows) for split, rows in parts.items()}}
