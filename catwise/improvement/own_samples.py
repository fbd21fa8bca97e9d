"""Check samples that a user gives: tensors, labels, classes, and no sample in two sets."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch

from catwise.core.errors import InputError
from catwise.core.losses import Batch
from catwise.influence.reading import as_samples, as_tensor, checked_parts, require_finite_inputs
from catwise.influence.samples import Samples

__all__ = [
    "as_batch",
    "checked_classes",
    "checked_sets",
    "require_apart",
    "require_labels",
    "require_unseen",
]

CHANCE = 2  # query samples, and % of them, that may repeat training samples by chance


def as_batch(name: str, given: Any) -> Batch:
    """Return inputs and labels, of tensors or what numpy makes arrays of, as tensors.

    Raises InputError, with ``name``, for anything else, for parts of different sizes, for inputs
    that are not finite, and for labels that are no whole numbers (n,).
    """
    parts = given if isinstance(given, tuple | list) else (given,)
    for part in parts:
        if not hasattr(part, "__array__"):
            expected = "a tuple of tensors or arrays, inputs and then labels"
            raise InputError(f"{name}: expected {expected}; got {type(part).__name__}")
    batch = checked_parts(tuple(as_tensor(part, name) for part in parts), name)
    require_finite_inputs(batch, name)
    return batch


def checked_classes(classes: Any) -> tuple[str, ...]:
    """Return the names of the classes, of which there must be two or more, all different.

    >>> checked_classes(["cat", "dog"])
    ('cat', 'dog')
    """
    names = tuple(map(str, classes)) if isinstance(classes, Iterable) else ()
    if len(names) < 2:
        got = list(names) or classes
        raise InputError(f"classes: expected the names of two or more; got {got}")
    if len(set(names)) < len(names):
        raise InputError(f"classes: expected different names; got {', '.join(names)}")
    return names


def require_labels(name: str, labels: torch.Tensor, num_classes: int) -> None:
    """Raise InputError for a label that is not the number of one of ``num_classes`` classes."""
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise InputError(f"{name}: expected labels 0 to {num_classes - 1}; got {low} to {high}")


def checked_sets(
    train: Any, validation: Any, test: Any, classes: Sequence[str]
) -> dict[str, Samples]:
    """Return the three sets by name; raise InputError for what ``improve`` cannot take."""
    names = checked_classes(classes)
    sets = {
        "train": _checked("train", train, names, 1),
        "validation": _checked("validation", validation, names, 6),
        "test": _checked("test", test, names, 2),
    }
    require_apart({name: samples for name, samples in sets.items() if not samples.by_name})
    return sets


def _checked(name: str, given: Any, classes: Sequence[str], fewest: int) -> Samples:
    """Return the samples; refuse labels that are no class, and too few samples of a class."""
    samples = as_samples(given, None, name)
    require_labels(name, samples.labels, len(classes))
    sizes_k = samples.labels.bincount(minlength=len(classes))
    if sizes_k.min() < fewest:
        rarest = f"{sizes_k.min()} of {classes[int(sizes_k.argmin())]!r}"
        expected = f"{fewest} sample{'s' * (fewest > 1)} or more of every class"
        raise InputError(f"{name}: expected {expected}; got {rarest}")
    return samples


def require_apart(sets: Mapping[str, Samples]) -> None:
    """Raise InputError where more than half of a set, by name, is in another; warn of fewer.

    A sample is in both where its inputs are the same, to float32. Some are so by nature, as in
    tables of few categories.

    >>> a = as_samples((torch.arange(4), [0] * 4), None)
    >>> b = as_samples((torch.arange(1, 6), [0] * 5), None)
    >>> require_apart({"a": a, "b": b})
    Traceback (most recent call last):
    catwise.core.errors.InputError: b: expected samples that are not in a; got 3 of 5 that are
    """
    marks = {name: samples.marks() for name, samples in sets.items()}
    for first, second in combinations(marks, 2):
        shared, count = int(np.isin(marks[second], marks[first]).sum()), len(marks[second])
        if 2 * shared > count:
            expected = f"samples that are not in {first}"
            raise InputError(f"{second}: expected {expected}; got {shared} of {count} that are")
        if shared:
            warnings.warn(
                f"{second}: {shared} of {count} samples are in {first} too, which flatters a model",
                stacklevel=3,
            )


def require_unseen(query: Samples, train: Samples) -> None:
    """Raise InputError where query samples have the inputs of training samples.

    As many may have them by chance as training samples repeat each other, and a few more. That is
    stricter than ``require_apart``, because P of a query sample that was trained on is mostly what
    the sample does to itself, while a gain compares two trainings, both of which such samples
    flatter.
    """
    marks, counts = np.unique(train.marks(), return_counts=True)
    seen = int(np.isin(query.marks(), marks).sum())
    repeated = 1 - int((counts == 1).sum()) / len(train)
    if seen > max(CHANCE, (CHANCE / 100 + repeated) * len(query)):
        raise InputError(
            f"query: expected samples that the model was not trained on; got {seen} of {len(query)}"
            " with the inputs of training samples"
        )
