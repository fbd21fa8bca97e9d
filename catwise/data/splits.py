"""Split a data set in four: train, validation A (influence), validation B (the search), test (reported)."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from catwise.core.errors import InputError
from catwise.data import wordpiece
from catwise.data.dataset import SPLITS, Data
from catwise.data.own_files import Raw

__all__ = ["flip_labels", "images", "texts"]


Sizes = dict[str, int | str]


def flip_labels(
    rng: np.random.Generator, labels: np.ndarray, share: float, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Changes round(share n) labels to another class, chosen uniformly; returns the new labels and where."""
    if not 0 <= share < 1:
        raise InputError(f"flip_share: expected 0 <= share < 1; got {share}")
    flipped = np.zeros(len(labels), dtype=bool)
    flipped[rng.choice(len(labels), round(share * len(labels)), replace=False)] = True
    shift = rng.integers(1, num_classes, len(labels))
    return np.where(flipped, (labels + shift) % num_classes, labels), flipped


def images(rng: np.random.Generator, raw: Raw, sizes: Sizes, flip_share: float) -> Data:
    """Images as they are, uint8, with the mean and deviation of each channel over the training split, in [0, 1]."""
    data = _split(rng, raw, sizes, flip_share)
    levels = np.arange(256) / 255
    mean, std = [], []
    for channel in range(data.x["train"].shape[1]):
        chunks = np.array_split(
            data.x["train"][:, channel], 64
        )  # bincount makes int64 of its argument
        share = (
            sum(np.bincount(chunk.ravel(), minlength=256) for chunk in chunks)
            / data.x["train"][:, channel].size
        )
        mean.append(round(float(share @ levels), 6))  # six digits, alike on every machine
        std.append(
            round(float(np.sqrt(share @ (levels - mean[-1]) ** 2)), 6) or 1.0
        )  # a constant channel becomes 0
    return replace(data, card={**data.card, "mean": mean, "std": std})


def texts(
    rng: np.random.Generator,
    raw: Raw,
    sizes: Sizes,
    flip_share: float,
    max_length: int,
    vocabulary_size: int,
    pretrained: str | None,
) -> Data:
    """Texts as token ids, by a ``pretrained`` tokenizer (JSON) or one learned from the training texts alone."""
    data = _split(rng, raw, sizes, flip_share)
    tokenizer = pretrained or wordpiece.learn(data.texts["train"], vocabulary_size)
    coded = {split: wordpiece.encode(tokenizer, data.texts[split], max_length) for split in SPLITS}
    return replace(
        data,
        x={split: ids for split, (ids, _, _) in coded.items()},
        mask={split: mask for split, (_, mask, _) in coded.items()},
        tokenizer=tokenizer,
        card={
            **data.card,
            "vocabulary_size": wordpiece.size(tokenizer),
            "cut_at_max_length": {split: int(cut) for split, (_, _, cut) in coded.items()},
        },
    )


def _split(rng: np.random.Generator, raw: Raw, sizes: Sizes, flip_share: float) -> Data:
    """The four splits of a set that comes in official parts, or in one, with no sample in two of them.

    ``sizes``: each class in proportion; ``all`` for train or test means what is left. Of official parts, train comes
    from train, so that its size can be the paper's, test from test, validation A and B from the official validation
    part if there is one, else from test. Copies, by content, of a sample of the official train part and second copies
    leave the held-out side, which so does not depend on how many are trained on. Copies inside train stay: they are
    part of what is diagnosed. Where all is in one part, copies follow their first into train, or go.
    """
    held_out, trained_on, flips = rng.spawn(3)
    keys = {part: _fingerprints(x) for part, (x, _) in raw.parts.items()}
    home = (
        dict.fromkeys(SPLITS, "all")
        if "all" in keys
        else {"train": "train", **dict.fromkeys(SPLITS[1:], "test")}
    )
    if "validation" in keys:
        home |= dict.fromkeys(SPLITS[1:3], "validation")
    seen, pools = set(keys.get("train", ())), {}
    for part in sorted(
        set(home.values()) - {"train"}
    ):  # test before validation: it keeps what they share
        pools[part] = _firsts(keys[part], seen)
        seen |= set(keys[part])
    dropped = {part: len(keys[part]) - len(pool) for part, pool in pools.items()}
    rows = {}
    for split in SPLITS[1:]:
        part = home[split]
        rows[split] = _draw(held_out, raw, part, pools[part], sizes, split)
        pools[part] = np.setdiff1d(pools[part], rows[split])
    if "all" in keys:
        first = {keys["all"][row] for row in pools["all"]}
        pools["train"] = np.array(
            [row for row, key in enumerate(keys["all"]) if key in first], dtype=np.int64
        )
        dropped["all"] -= len(pools["train"]) - len(first)
    else:
        pools["train"] = np.arange(len(keys["train"]))
    rows["train"] = _draw(trained_on, raw, home["train"], pools["train"], sizes, "train")
    x = {split: _take(raw.parts[home[split]][0], rows[split]) for split in SPLITS}
    y = {split: raw.parts[home[split]][1][rows[split]] for split in SPLITS}
    y["train"], flipped = flip_labels(flips, y["train"], flip_share, len(raw.classes))
    names = (
        {split: [raw.names[row] for row in rows[split]] for split in SPLITS} if raw.names else {}
    )
    copies = len(rows["train"]) - len({keys[home["train"]][row] for row in rows["train"]})
    card = {
        "origin": raw.origin,
        "notes": raw.notes,
        "copies_dropped": dropped,
        "copies_within_train": copies,
    }
    is_text = isinstance(x["train"], list)
    kept: dict[str, Any] = {"texts": x if is_text else {}, "names": names, "card": card}
    return Data(raw.classes, raw.licence, {} if is_text else x, y, flipped, **kept)


def _fingerprints(x: Sequence[Any]) -> list[bytes]:
    """A hash of each sample's content: the pixels, or the text as it is."""
    raw = (item.encode() if isinstance(item, str) else item.tobytes() for item in x)
    return [hashlib.blake2b(content, digest_size=16).digest() for content in raw]


def _firsts(keys: list[bytes], seen: set[bytes]) -> np.ndarray:
    """The rows whose content is in no earlier row, nor in ``seen``."""
    first: dict[bytes, int] = {}
    for row, key in enumerate(keys):
        first.setdefault(key, row)
    return np.array(sorted(row for key, row in first.items() if key not in seen), dtype=np.int64)


def _take(samples: Any, rows: np.ndarray) -> Any:
    return [samples[row] for row in rows] if isinstance(samples, list) else samples[rows]


def _draw(
    rng: np.random.Generator, raw: Raw, part: str, rows: np.ndarray, sizes: Sizes, split: str
) -> np.ndarray:
    """As many of ``rows`` as the split's size says, each class in proportion (largest remainders), in their order."""
    y, wanted = raw.parts[part][1][rows], sizes[split]
    size = len(rows) if isinstance(wanted, str) else wanted
    if size > len(rows):
        raise InputError(
            f"prepare.{split}: expected at most {len(rows)}, the samples that are left; got {size}"
        )
    exact = size * np.bincount(y, minlength=len(raw.classes)) / max(len(rows), 1)
    take = np.floor(exact).astype(np.int64)
    take[np.argsort(take - exact, kind="stable")[: size - take.sum()]] += 1
    if not take.all():
        missing = raw.classes[int(np.argmin(take))]
        raise InputError(
            f"prepare.{split}: expected a sample of every class; got none of {missing!r} in {size}"
        )
    members = (
        rng.choice(rows[y == label], count, replace=False) for label, count in enumerate(take)
    )
    return np.sort(np.concatenate(list(members)))
