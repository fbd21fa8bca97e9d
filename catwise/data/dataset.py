"""Data sets as arrays, split in four: train, validation A (influence), validation B (the search), test (reported).

Differs from the paper: its experiments use one held-out split for all three jobs.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from catwise.data.published import PUBLISHED

__all__ = ["CLASSES", "SPLITS", "Data", "pack", "unpack"]


SPLITS = ("train", "validation_a", "validation_b", "test")


CLASSES = {
    "linear": ("blue", "orange"),
    "nonlinear": ("blue", "orange"),
    "digits": tuple("0123456789"),
    **{name: spec.classes for name, spec in PUBLISHED.items()},
}


LICENCES = {
    "linear": "generated here; no rights reserved",
    "nonlinear": "generated here; no rights reserved",
    "digits": "UCI Optical Recognition of Handwritten Digits (Alpaydin, Kaynak 1998), CC BY 4.0, through scikit-learn",
}


@dataclass(frozen=True)
class Data:
    """``x[split]``: inputs, ``y[split]``: labels as given, ``flipped``: which training labels were changed.

    Images are uint8 (n, channels, height, width), texts token ids (n, length) with ``mask`` 1 on tokens and 0 on
    padding, and the ``texts`` themselves; ``tokenizer`` is theirs, as JSON. ``card`` goes into the data card.
    ``names``, of the user's own samples alone, tell where they are from.
    """

    classes: tuple[str, ...]
    licence: str
    x: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    flipped: np.ndarray
    mask: dict[str, np.ndarray] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    tokenizer: str = ""
    card: dict[str, Any] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        """What is stored of each split: ``train/x``, ``train/y``; of texts and names, bytes and offsets."""
        named = {
            f"{split}/{part}": getattr(self, part)[split] for split in SPLITS for part in ("x", "y")
        }
        for split, some in self.texts.items():
            named[f"{split}/mask"] = self.mask[split]
            named[f"{split}/text"], named[f"{split}/offsets"] = pack(some)
        for split, some in self.names.items():
            named[f"{split}/name"], named[f"{split}/name_offsets"] = pack(some)
        return named


def pack(some: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Texts as one array of UTF-8 bytes and the n + 1 offsets between them."""
    encoded = [text.encode() for text in some]
    offsets = np.concatenate(
        [[0], np.cumsum([len(text) for text in encoded], dtype=np.int64)]
    ).astype(np.int64)
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets


def unpack(stored: np.ndarray, offsets: np.ndarray) -> list[str]:
    """The inverse of ``pack``."""
    whole = stored.tobytes()
    return [whole[start:end].decode() for start, end in pairwise(offsets)]
