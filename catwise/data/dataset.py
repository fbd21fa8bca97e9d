"""Hold a data set as arrays, split in four, and pack its texts into bytes.

Differs from the paper: it names one held-out split, for what three splits do here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["HELD_OUT", "SPLITS", "Data", "pack", "unpack"]

# for training, for influence, for the fitness of the search, for what is reported
SPLITS = ("train", "validation_a", "validation_b", "test")
HELD_OUT = SPLITS[1:]


@dataclass(frozen=True)
class Data:
    """Hold the samples of each split, and what the data card says of them.

    ``x`` and ``y`` are the inputs and the labels as given of each split; ``flipped`` (n,) says
    which training labels were changed. Images are uint8 (n, channels, height, width); texts are
    token ids (n, length) with a ``mask`` that is 1 on tokens and 0 on padding. ``texts`` are the
    texts themselves and ``tokenizer`` is theirs, as JSON. ``names`` say where each of the user's
    own samples is from; other data sets have none. ``card`` is added to the data card.
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
        """Return what is stored of each split, by name: ``train/x``, ``train/y`` and so on.

        Texts and names become bytes and offsets (see ``pack``).
        """
        arrays = {}
        for split in SPLITS:
            arrays[f"{split}/x"], arrays[f"{split}/y"] = self.x[split], self.y[split]
        for split, texts in self.texts.items():
            arrays[f"{split}/mask"] = self.mask[split]
            arrays[f"{split}/text"], arrays[f"{split}/offsets"] = pack(texts)
        for split, names in self.names.items():
            arrays[f"{split}/name"], arrays[f"{split}/name_offsets"] = pack(names)
        return arrays

    def reordered(self, rows: Mapping[str, np.ndarray]) -> "Data":
        """Return the same samples in another order: those of each split by their ``rows``."""

        def reorder(parts: dict[str, Any]) -> dict[str, Any]:
            return {
                split: [values[row] for row in rows[split]]
                if isinstance(values, list)
                else values[rows[split]]
                for split, values in parts.items()
            }

        return replace(
            self,
            x=reorder(self.x),
            y=reorder(self.y),
            flipped=self.flipped[rows["train"]],
            mask=reorder(self.mask),
            texts=reorder(self.texts),
            names=reorder(self.names),
        )


def pack(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return n texts as one array of UTF-8 bytes and the n + 1 offsets between them.

    >>> pack(["cat", "é"])
    (array([ 99,  97, 116, 195, 169], dtype=uint8), array([0, 3, 5]))
    """
    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    offsets[1:] = np.cumsum([len(text) for text in encoded])
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets


def unpack(packed: np.ndarray, offsets: np.ndarray) -> list[str]:
    """Return the texts that ``pack`` was given.

    >>> unpack(*pack(["cat", "", "é"]))
    ['cat', '', 'é']
    """
    content = packed.tobytes()
    return [content[start:end].decode() for start, end in pairwise(offsets)]
