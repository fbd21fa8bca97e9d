"""Split a data set in four, with no sample in two splits, and spoil the training split if asked."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from catwise.core.errors import InputError
from catwise.data.dataset import HELD_OUT, SPLITS, Data
from catwise.data.raw import Raw
from catwise.data.spoil import Spoiling, spoil

__all__ = ["Sizes", "distinct_sizes", "split_in_four"]

Sizes = dict[str, int | str]  # of each split: a number, or "all" for what is left
NOT_SPOILED = Spoiling()
Rows = dict[str, np.ndarray]  # row numbers, by official part or by split


def split_in_four(
    rng: np.random.Generator, raw: Raw, sizes: Sizes, spoiling: Spoiling = NOT_SPOILED
) -> Data:
    """Split a data set that comes in official parts, or in one called ``all``.

    ``sizes`` says how many samples each split has, each class in proportion. Train comes from the
    official train part, so that its size can be the paper's, test from test, and both validation
    splits from the official validation part if there is one, else from test. ``spoiling`` is
    what is done to the training split then; the others stay as they are.

    No content is in two splits. Copies of a sample of the official train part, and second copies,
    leave the held-out side, which therefore does not depend on how many samples are trained on.
    Copies within train stay, because they are part of what is diagnosed. Where all samples come in
    one part, copies follow their first into train, or leave.
    """
    held_out_rng, train_rng, flip_rng = rng.spawn(3)
    keys = {part: _content_keys(samples) for part, (samples, _) in raw.parts.items()}
    source = _source_parts(raw)
    pools = _held_out_pools(keys, source)
    dropped = {part: len(keys[part]) - len(pool) for part, pool in pools.items()}
    rows: Rows = {}
    for split in HELD_OUT:
        part = source[split]
        rows[split] = _draw(held_out_rng, raw, part, pools[part], sizes, split)
        pools[part] = np.setdiff1d(pools[part], rows[split])
    part = source["train"]
    pool = np.arange(len(keys[part]))
    if part in pools:
        pool = _with_copies(keys[part], pools[part])
        dropped[part] -= len(pool) - len(pools[part])
    rows["train"] = _draw(train_rng, raw, part, pool, sizes, "train")
    labels = raw.parts[part][1][rows["train"]]
    left, given, flipped = spoil(flip_rng, labels, spoiling, len(raw.classes))
    rows["train"] = rows["train"][left]
    distinct = {keys[part][row] for row in rows["train"]}
    card = {
        "origin": raw.origin,
        "notes": raw.notes,
        "copies_dropped": dropped,
        "copies_within_train": len(rows["train"]) - len(distinct),
    }
    return _take(raw, source, rows, given, flipped, card)


def distinct_sizes(raw: Raw) -> dict[str, int]:
    """Count the different samples of each class in the part ``all``, a copy as its first."""
    samples, labels = raw.parts["all"]
    first = dict(zip(reversed(_content_keys(samples)), reversed(labels.tolist()), strict=True))
    counts_k = np.bincount(list(first.values()), minlength=len(raw.classes))
    return dict(zip(raw.classes, counts_k.tolist(), strict=True))


def _source_parts(raw: Raw) -> dict[str, str]:
    """Return the official part that each split comes from."""
    if "all" in raw.parts:
        return dict.fromkeys(SPLITS, "all")
    validation = "validation" if "validation" in raw.parts else "test"
    return {
        "train": "train",
        "validation_a": validation,
        "validation_b": validation,
        "test": "test",
    }


def _content_keys(samples: Sequence[Any]) -> list[bytes]:
    """Return a hash of the content of each sample: of its pixels, or of the text as it is."""
    contents = (item.encode() if isinstance(item, str) else item.tobytes() for item in samples)
    return [hashlib.blake2b(content, digest_size=16).digest() for content in contents]


def _held_out_pools(keys: dict[str, list[bytes]], source: dict[str, str]) -> Rows:
    """Return the rows of each part that may be held out: the first of each content, not in train.

    Test comes before validation and keeps what they share.
    """
    seen = set(keys.get("train", ()))
    pools: Rows = {}
    for part in sorted(set(source.values()) - {"train"}):
        first: dict[bytes, int] = {}
        for row, key in enumerate(keys[part]):
            first.setdefault(key, row)
        rows = sorted(row for key, row in first.items() if key not in seen)
        pools[part] = np.array(rows, dtype=np.int64)
        seen |= set(keys[part])
    return pools


def _with_copies(keys: list[bytes], rows: np.ndarray) -> np.ndarray:
    """Return ``rows`` and all rows of the same content, in their order."""
    contents = {keys[row] for row in rows}
    return np.array([row for row, key in enumerate(keys) if key in contents], dtype=np.int64)


def _draw(
    rng: np.random.Generator, raw: Raw, part: str, pool: np.ndarray, sizes: Sizes, split: str
) -> np.ndarray:
    """Draw the rows of ``split`` from ``pool``, each class in proportion, and sort them.

    The proportions are rounded by largest remainders.
    """
    labels, size = raw.parts[part][1][pool], sizes[split]
    if isinstance(size, str):
        size = len(pool)
    if size > len(pool):
        raise InputError(
            f"{split}: expected at most {len(pool)}, the samples that are left; got {size}"
        )
    exact_k = size * np.bincount(labels, minlength=len(raw.classes)) / max(len(pool), 1)
    count_k = np.floor(exact_k).astype(np.int64)
    count_k[np.argsort(count_k - exact_k, kind="stable")[: size - count_k.sum()]] += 1
    if not count_k.all():
        missing = raw.classes[int(np.argmin(count_k))]
        raise InputError(
            f"{split}: expected a sample of every class; got none of {missing!r} in {size}"
        )
    drawn = [
        rng.choice(pool[labels == label], count, replace=False)
        for label, count in enumerate(count_k)
    ]
    return np.sort(np.concatenate(drawn))


def _take(
    raw: Raw,
    source: dict[str, str],
    rows: Rows,
    given: np.ndarray,
    flipped: np.ndarray,
    card: dict[str, Any],
) -> Data:
    """Take the samples of every split, with training labels as ``given``; texts have no arrays."""
    x = {split: _choose(raw.parts[source[split]][0], rows[split]) for split in SPLITS}
    y = {split: raw.parts[source[split]][1][rows[split]] for split in SPLITS}
    y["train"] = given
    names = {split: [raw.names[row] for row in rows[split]] for split in SPLITS if raw.names}
    if isinstance(x["train"], list):
        return Data(raw.classes, raw.licence, {}, y, flipped, texts=x, names=names, card=card)
    return Data(raw.classes, raw.licence, x, y, flipped, names=names, card=card)


def _choose(samples: Any, rows: np.ndarray) -> Any:
    """Return rows of an array of images or of a list of texts."""
    return [samples[row] for row in rows] if isinstance(samples, list) else samples[rows]
