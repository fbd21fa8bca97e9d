"""Read samples from tensors, a Dataset or a DataLoader, and refuse what are none."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, default_collate

from catwise.core.errors import InputError, in_one_line
from catwise.core.losses import Batch
from catwise.influence.samples import (
    AT_ONCE,
    Data,
    Samples,
    Source,
    accepted_names,
    input_marks,
    keep_named,
    like_of,
    moved,
    taken,
    values_of,
)

__all__ = ["as_samples", "as_tensor", "checked_parts", "require_finite", "require_finite_inputs"]

LABELS = ("labels", "label")


def as_samples(data: Data, model: nn.Module | None, name: str = "samples") -> Samples:
    """Make Samples of tensors, a torch Dataset, a datasets.Dataset, a DataLoader or a Source.

    Tensors, or what numpy makes arrays of, are a tuple of all inputs of the model, then the labels,
    which may be a list, or a dictionary with the labels under ``labels`` or ``label``; of the
    others those are kept that the model's ``forward`` names, or all if it takes any by name. An
    item of a Dataset is such a tuple or dictionary of one sample. A DataLoader gives its Dataset
    and the function that collates, and nothing else: samples keep their order in the Dataset.
    Floating inputs take the dtype of the model, labels become int64. Without a model, inputs stay
    as they are until there is one.

    Raises InputError, with ``name``, for samples that cannot be read by number, for none, for parts
    of different sizes, for inputs that are NaN or inf, for labels that are no whole numbers (n,),
    and where a second look at some samples finds others, as random augmentation does; and for a
    model without parameters. An input may be -inf, as masks are.
    """
    like = None if model is None else like_of(model)
    if isinstance(data, Samples | Source):
        samples = data if isinstance(data, Samples) else data.make_samples(model, name)
        return samples if model is None else samples.placed(model)
    if _is_array(data):
        data = (data,)  # without labels, which is refused
    accepted = None if model is None else accepted_names(model)
    if isinstance(data, Mapping) and all(_is_array(part, list) for part in data.values()):
        parts = _as_batch(_as_tensors(data, name), accepted, name)
        return _of_tensors(parts, like, name, by_name=model is None)
    if (
        isinstance(data, tuple | list)
        and all(_is_array(part) for given in data[:-1] for part in values_of(given))
        and all(_is_array(part, list) for part in data[-1:])  # the labels may be a list
    ):
        return _of_tensors(tuple(_as_tensors(part, name) for part in data), like, name)
    if isinstance(data, tuple):
        got = ", ".join(type(part).__name__ for part in data)
        expected = "a tuple of tensors or arrays, inputs and then labels"
        raise InputError(f"{name}: expected {expected}; got {got}")
    dataset, collate = data, default_collate
    if isinstance(data, DataLoader):
        dataset, collate = data.dataset, data.collate_fn
        _require_whole(data, name)
    if getattr(dataset, "format", {}).get("type", "") is None:
        dataset = dataset.with_format("torch")  # a datasets.Dataset, which gives lists otherwise
    if isinstance(dataset, IterableDataset | Mapping) or not hasattr(dataset, "__getitem__"):
        raise InputError(
            f"{name}: expected tensors, or a Dataset with numbered items; got "
            f"{type(dataset).__name__}; make a list of its items"
        )
    if not len(dataset):
        raise InputError(f"{name}: expected samples; got none")
    return _of_dataset(_Reader(dataset, collate, accepted, like, name))


def _as_tensors(part: Any, name: str) -> Any:
    if isinstance(part, Mapping):
        return {key: as_tensor(value, name) for key, value in part.items()}
    return as_tensor(part, name)


def _is_array(part: Any, *others: type) -> bool:
    return hasattr(part, "__array__") or isinstance(part, others)


def as_tensor(part: Any, name: str) -> Tensor:
    """Return the array as a tensor; raise InputError, with ``name``, for one of no numbers."""
    if isinstance(part, Tensor):
        return part
    try:
        return torch.from_numpy(np.require(part, None, ["C", "W"]))
    except (TypeError, ValueError):
        got = getattr(part, "dtype", "objects")
        raise InputError(
            f"{name}: expected arrays of numbers; got one of {got}; encode labels as 0 to K - 1"
        ) from None


def _of_tensors(parts: Batch, like: Tensor | None, name: str, by_name: bool = False) -> Samples:
    placed = tuple(moved(part, like) for part in checked_parts(parts, name))
    if not by_name:
        require_finite_inputs(placed, name)

    def rows(numbers: Tensor | slice) -> Batch:
        return tuple(taken(part, numbers) for part in placed)

    return Samples(placed[-1], rows, by_name=by_name)


def checked_parts(parts: Batch, name: str) -> Batch:
    """Return inputs and labels, of as many samples each, the labels as int64.

    Raises InputError, with ``name``, for other sizes, for no samples, and for labels that are no
    whole numbers (n,).
    """
    sizes = {len(part) for given in parts for part in values_of(given)}
    if len(parts) < 2 or len(sizes) > 1:
        raise InputError(
            f"{name}: expected inputs and as many labels; got parts of {sorted(sizes)} samples"
        )
    if not len(parts[-1]):
        raise InputError(f"{name}: expected samples; got none")
    return (*parts[:-1], _whole(parts[-1], name))


def require_finite(samples: Samples, name: str) -> None:
    """Raise InputError, with ``name``, where an input of the samples is NaN or inf."""
    for start in range(0, len(samples), AT_ONCE):
        require_finite_inputs(samples.rows(slice(start, start + AT_ONCE)), name, start)


def require_finite_inputs(batch: Batch, name: str, start: int = 0) -> None:
    """Raise InputError, with ``name``, for inputs NaN or inf; ``start`` is the first sample's."""
    for given in batch[:-1]:
        for part in values_of(given):
            if not part.is_floating_point() or part.sum().isfinite():
                continue  # the sum of large values may be infinite too
            if len(wrong := (part.isnan() | (part == torch.inf)).nonzero()):
                value, sample = float(part[tuple(wrong[0])]), start + int(wrong[0][0])
                raise InputError(f"{name}: expected finite inputs; got {value} for sample {sample}")


def _whole(labels: Tensor, name: str) -> Tensor:
    """Return the labels as int64; raise InputError unless they are whole numbers (n,)."""
    if labels.dim() != 1 or not torch.can_cast(labels.dtype, torch.int64):
        raise InputError(
            f"{name}: expected labels as whole numbers, int64 of shape (n,); got {labels.dtype} of "
            f"{tuple(labels.shape)}"
        )
    return labels.long()


def _require_whole(loader: DataLoader, name: str) -> None:
    """Raise InputError for a DataLoader that gives other samples than those of its Dataset."""
    if isinstance(loader.dataset, IterableDataset):
        return  # refused for that
    count, whole = len(loader.sampler), len(loader.dataset)  # type: ignore[arg-type]
    if count != whole:
        raise InputError(
            f"{name}: expected a DataLoader over its whole Dataset; got a sampler of {count} of "
            f"{whole} samples; give torch.utils.data.Subset"
        )


class _Reader:
    """Read samples of a Dataset, collated as its DataLoader does."""

    def __init__(
        self,
        dataset: Any,
        collate: Callable[[list[Any]], Any],
        accepted: set[str] | None,
        like: Tensor | None,
        name: str,
    ) -> None:
        self.dataset, self.collate, self.accepted = dataset, collate, accepted
        self.like, self.name, self.by_name = like, name, False

    def __call__(self, numbers: list[int]) -> Batch:
        items = [self.dataset[number] for number in numbers]
        try:
            batch = self.collate(items)
        except (RuntimeError, TypeError) as error:
            raise InputError(
                f"{self.name}: expected items of tensors and a label, of one shape;"
                f" got: {in_one_line(error)}"
            ) from None
        if isinstance(batch, Mapping):
            batch = _as_batch(batch, self.accepted, self.name)
            self.by_name = self.like is None
        batch = batch if isinstance(batch, tuple | list) else [batch]
        values = [value for part in batch for value in values_of(part)]
        if len(batch) < 2 or not all(isinstance(value, Tensor) for value in values):
            got = ", ".join(type(value).__name__ for value in values)
            raise InputError(
                f"{self.name}: expected items of inputs and a label, numbers; got {got}"
            )
        parts = (*batch[:-1], _whole(batch[-1], self.name))
        return tuple(moved(part, self.like) for part in parts)


def _as_batch(batch: Mapping[str, Any], accepted: set[str] | None, name: str) -> Batch:
    """Part a dictionary into the tensors that the model takes, in a dictionary, and the labels."""
    key = next((key for key in LABELS if key in batch), None)
    if key is None:
        raise InputError(f"{name}: expected items with labels or label; got {', '.join(batch)}")
    tensors = {k: part for k, part in batch.items() if isinstance(part, Tensor) and k != key}
    return keep_named(tensors, accepted), batch[key]


def _of_dataset(read: _Reader) -> Samples:
    n = len(read.dataset)
    parts = torch.arange(n).split(AT_ONCE)
    labels, marks = [], []
    for part in parts:
        batch = read(part.tolist())
        if not read.by_name:
            require_finite_inputs(batch, read.name, int(part[0]))
        labels.append(batch[-1])
        marks.append(input_marks(batch))
    for number in {0, len(parts) // 2, len(parts) - 1}:
        if (input_marks(read(parts[number].tolist())) != marks[number]).any():
            raise InputError(
                f"{read.name}: expected the same samples when they are read again; got others; "
                f"leave random augmentation to catwise.Augmented"
            )
    labels_n = torch.cat(labels)

    def rows(numbers: Tensor | slice) -> Batch:
        if isinstance(numbers, slice):
            numbers = torch.arange(n)[numbers]
        batch = read(numbers.tolist())
        changed = (batch[-1] != labels_n[numbers.to(labels_n.device)]).nonzero()
        if len(changed):
            sample = int(numbers[int(changed[0])])
            raise InputError(
                f"{read.name}: expected the label that sample {sample} had before; got another"
            )
        return batch

    return Samples(labels_n, rows, np.concatenate(marks), by_name=read.by_name)
