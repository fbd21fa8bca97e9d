"""Check the samples that ``improve`` is given: tensors, labels, and no sample in two sets."""

import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch

from catwise.core.errors import InputError
from catwise.core.losses import Batch
from catwise.influence.samples import as_tensor

__all__ = ["as_batch", "checked_sets", "require_apart"]


def as_batch(name: str, given: Any) -> Batch:
    """Return inputs and labels, of tensors or what numpy makes arrays of, as tensors.

    Raises InputError, with ``name``, for anything else, for parts of different sizes, for inputs
    that are NaN, and for labels that are no whole numbers (n,).
    """
    parts = given if isinstance(given, tuple | list) else (given,)
    for part in parts:
        if not hasattr(part, "__array__"):
            expected = "a tuple of tensors or arrays, inputs and then labels"
            raise InputError(f"{name}: expected {expected}; got {type(part).__name__}")
    batch = tuple(as_tensor(part, name) for part in parts)
    sizes = sorted({len(values) for values in batch})
    if len(batch) < 2 or len(sizes) > 1:
        raise InputError(
            f"{name}: expected inputs and as many labels; got parts of {sizes} samples"
        )
    for values in batch:
        if len(missing := values.isnan().nonzero()):
            sample = int(missing[0, 0])
            raise InputError(f"{name}: expected numbers; got nan for sample {sample}")
    labels = batch[-1]
    if labels.dim() != 1 or not torch.can_cast(labels.dtype, torch.int64):
        raise InputError(
            f"{name}: expected labels as whole numbers, int64 of shape (n,);"
            f" got {labels.dtype} of {tuple(labels.shape)}"
        )
    return (*batch[:-1], labels.long())


def checked_sets(
    train: Any, validation: Any, test: Any, classes: Sequence[str]
) -> tuple[Batch, Batch, Batch]:
    """Return the three sets as tensors; raise InputError for what ``improve`` cannot take."""
    sets = {
        "train": _checked("train", train, classes, 1),
        "validation": _checked("validation", validation, classes, 6),
        "test": _checked("test", test, classes, 2),
    }
    require_apart(sets)
    return sets["train"], sets["validation"], sets["test"]


def _checked(name: str, given: Any, classes: Sequence[str], fewest: int) -> Batch:
    """Return the samples; refuse one class, two of one name, other labels, too few of a class."""
    if len(classes) < 2:
        raise InputError(f"classes: expected the names of two or more; got {list(classes)}")
    if len(set(classes)) < len(classes):
        raise InputError(f"classes: expected different names; got {', '.join(map(str, classes))}")
    batch = as_batch(name, given)
    labels_n = batch[-1].cpu().numpy()
    if not np.isin(labels_n, np.arange(len(classes))).all():
        interval = f"{labels_n.min()} to {labels_n.max()}"
        raise InputError(f"{name}: expected labels from 0 to {len(classes) - 1}; got {interval}")
    sizes_k = np.bincount(labels_n, minlength=len(classes))
    if sizes_k.min() < fewest:
        rarest = f"{sizes_k.min()} of {classes[int(sizes_k.argmin())]!r}"
        samples = f"{fewest} sample{'s' * (fewest > 1)}"
        raise InputError(f"{name}: expected {samples} or more of every class; got {rarest}")
    return batch


def require_apart(sets: Mapping[str, Batch]) -> None:
    """Raise InputError where more than half of a set, by name, is in another; warn of fewer.

    A sample is in both where its inputs are the same, to float32. Some are so by nature, as in
    tables of few categories.

    >>> require_apart({"a": (torch.arange(4), None), "b": (torch.arange(1, 6), None)})
    Traceback (most recent call last):
    catwise.core.errors.InputError: b: expected samples that are not in a; got 3 of 5 that are
    """
    hashes = {name: _hashes(batch) for name, batch in sets.items()}
    for first, second in combinations(hashes, 2):
        known, count = set(hashes[first]), len(hashes[second])
        shared = sum(mark in known for mark in hashes[second])
        if 2 * shared > count:
            expected = f"samples that are not in {first}"
            raise InputError(f"{second}: expected {expected}; got {shared} of {count} that are")
        if shared:
            warnings.warn(
                f"{second}: {shared} of {count} samples are in {first} too, which flatters a model",
                stacklevel=3,
            )


def _hashes(batch: Batch) -> list[int]:
    """Return a hash of the inputs of each sample."""
    parts = [
        (values.float() if values.is_floating_point() else values.long()).cpu().contiguous().numpy()
        for values in batch[:-1]
    ]
    return [hash(tuple(row.tobytes() for row in rows)) for rows in zip(*parts, strict=True)]
