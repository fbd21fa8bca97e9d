"""Turn the samples of a split data set into what a model takes."""

from dataclasses import replace

import numpy as np

from catwise.data import wordpiece
from catwise.data.dataset import SPLITS, Data

__all__ = ["encode_texts", "measure_channels"]


def measure_channels(data: Data) -> Data:
    """Add the mean and the deviation of each channel to the card, over the training images.

    Pixels stay uint8; their levels count as 0 to 1. Numbers have six digits, which are the same on
    every machine. A constant channel has deviation 1, so that it becomes 0 when it is standardised.
    """
    levels = np.arange(256) / 255
    mean, std = [], []
    for channel in range(data.x["train"].shape[1]):
        pixels = data.x["train"][:, channel]
        chunks = np.array_split(pixels, 64)  # because bincount makes int64 of its argument
        count = sum(np.bincount(chunk.ravel(), minlength=256) for chunk in chunks)
        share = count / pixels.size
        mean.append(round(float(share @ levels), 6))
        deviation = float(np.sqrt(share @ (levels - mean[-1]) ** 2))
        std.append(round(deviation, 6) or 1.0)
    return replace(data, card={**data.card, "mean": mean, "std": std})


def encode_texts(data: Data, max_length: int, vocabulary_size: int, tokenizer: str | None) -> Data:
    """Encode texts as token ids by ``tokenizer``, in JSON, and sort each split by length.

    Without one, a vocabulary of at most ``vocabulary_size`` is learned from the training texts.
    The length is in characters, which no vocabulary changes. Whatever goes through a split in order
    has texts of one length in a batch then, and little padding; a training shuffles them.
    """
    tokenizer = tokenizer or wordpiece.learn(data.texts["train"], vocabulary_size)
    encoded = {
        split: wordpiece.encode(tokenizer, data.texts[split], max_length) for split in SPLITS
    }
    card = {
        "vocabulary_size": wordpiece.size(tokenizer),
        "cut_at_max_length": {split: cut for split, (_, _, cut) in encoded.items()},
    }
    whole = replace(
        data,
        x={split: ids for split, (ids, _, _) in encoded.items()},
        mask={split: mask for split, (_, mask, _) in encoded.items()},
        tokenizer=tokenizer,
        card=data.card | card,
    )
    lengths = {split: np.array([len(text) for text in data.texts[split]]) for split in SPLITS}
    return whole.reordered({split: lengths[split].argsort(kind="stable") for split in SPLITS})
