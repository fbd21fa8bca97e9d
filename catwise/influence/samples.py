"""Give samples by their numbers, a batch at a time, as a model takes them."""

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.losses import Batch

__all__ = [
    "AT_ONCE",
    "Data",
    "Samples",
    "Source",
    "accepted_names",
    "input_marks",
    "keep_named",
    "like_of",
    "moved",
    "taken",
    "values_of",
]

# a Batch of all samples, a Dataset with numbered items, a DataLoader, a Source, or Samples
Data = Any
AT_ONCE = 256  # samples that are read at once where nothing else is said


class Samples:
    """Give any samples of a training or query set as a batch.

    ``labels`` (n,) are read once; nothing else is kept of a Dataset but its ``marks``. ``views``
    are the samples as the training saw them: themselves, or random changes of them. ``by_name``
    says that the inputs are all columns of a dictionary, of which a model will take those it names.
    """

    def __init__(
        self,
        labels: Tensor,
        read: Callable[[Tensor | slice], Batch],
        marks: np.ndarray | None = None,
        views: Sequence["Samples"] = (),
        by_name: bool = False,
    ) -> None:
        self.labels, self.read, self._marks_n, self.by_name = labels, read, marks, by_name
        self.views = views or [self]

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, rows: Tensor | slice) -> Batch:
        """Return the batch of the samples with these numbers."""
        return self.read(rows)

    def only(self, numbers: Tensor) -> "Samples":
        """Return the samples with these numbers, as they are."""
        labels = self.labels[numbers]
        return Samples(labels, lambda rows: self.rows(numbers[rows]), by_name=self.by_name)

    def placed(self, model: nn.Module) -> "Samples":
        """Return the samples as the model takes them: on its device, floats in its dtype."""
        like, home = like_of(model), self.labels.device
        accepted = accepted_names(model) if self.by_name else None

        def rows(numbers: Tensor | slice) -> Batch:
            batch = self.rows(numbers.to(home) if isinstance(numbers, Tensor) else numbers)
            return tuple(moved(keep_named(part, accepted), like) for part in batch)

        views = [view.placed(model) for view in self.views if view is not self]
        marks_n = None if self.by_name else self._marks_n  # those of other columns tell nothing
        return Samples(self.labels.to(like.device), rows, marks_n, views)

    def seen_as(self, views: Sequence["Samples"]) -> "Samples":
        """Return the same samples, which the training saw as these."""
        return Samples(self.labels, self.read, self._marks_n, views, self.by_name)

    def marks(self) -> np.ndarray:
        """Return hashes of the inputs, (n,), by which samples with the same inputs are found."""
        if self._marks_n is None:
            starts = range(0, len(self), AT_ONCE)
            batches = (self.rows(slice(start, start + AT_ONCE)) for start in starts)
            self._marks_n = np.concatenate([input_marks(batch) for batch in batches])
        return self._marks_n


@runtime_checkable
class Source(Protocol):
    """Make Samples of itself, as Augmented does."""

    def make_samples(self, model: nn.Module | None, name: str) -> Samples:
        """Return the samples for the model, if there is one; ``name`` is theirs in errors."""


def values_of(part: Any) -> list[Any]:
    """List what a dictionary holds, or the part itself."""
    return list(part.values()) if isinstance(part, Mapping) else [part]


def input_marks(batch: Batch) -> np.ndarray:
    """Hash the inputs of each sample, floats in float32 and whole numbers in int64: (n,).

    Zeros at the end of an input, and what an ``attention_mask`` of whole numbers hides, do not
    count: how far a text is padded depends on the others of its batch.
    """
    tensors = [part for given in batch[:-1] for part in _unpadded(given)]
    parts = [part.float() if part.is_floating_point() else part.long() for part in tensors]
    rows = [part.cpu().reshape(len(part), -1).contiguous().numpy() for part in parts]
    ends = ([row.tobytes().rstrip(b"\0") for row in part] for part in rows)
    return np.array([hash(sample) for sample in zip(*ends, strict=True)])


def _unpadded(given: Any) -> list[Tensor]:
    """List the tensors of a part, with zeros where its attention mask hides them."""
    mask = given.get("attention_mask") if isinstance(given, Mapping) else None
    tensors = values_of(given)
    if mask is None or mask.is_floating_point():  # one that is added to scores hides by -inf
        return tensors
    return [part * (mask != 0) if part.shape == mask.shape else part for part in tensors]


def taken(part: Any, rows: Tensor | slice | int) -> Any:
    """Copy rows, or one of them, of a tensor, or of every tensor of a dictionary.

    A model may change what it is given in place.
    """
    if isinstance(part, Mapping):
        return {name: taken(value, rows) for name, value in part.items()}
    return part[rows] if isinstance(rows, Tensor) else part[rows].clone()


def moved(part: Any, like: Tensor | None) -> Any:
    """Move tensors, one or a dictionary, to the device of ``like``, and floats to its dtype."""
    if like is None:
        return part
    if isinstance(part, Mapping):
        return {name: moved(value, like) for name, value in part.items()}
    dtype = like.dtype if part.is_floating_point() else part.dtype
    return part.detach().to(like.device, dtype)


def keep_named(part: Any, accepted: set[str] | None) -> Any:
    """Keep of a dictionary the tensors that the model's forward names, if it names any.

    A warning names what is left out.
    """
    if accepted is None or not isinstance(part, Mapping):
        return part
    kept = {name: value for name, value in part.items() if name in accepted}
    if kept and len(kept) < len(part):
        others = ", ".join(name for name in part if name not in kept)
        warnings.warn(f"inputs that the model's forward does not name: {others}", stacklevel=2)
    return kept or part


def accepted_names(model: nn.Module) -> set[str] | None:
    """Return the names of the arguments of the model's forward; None if it takes any by name."""
    parameters = inspect.signature(model.forward).parameters
    if any(part.kind is inspect.Parameter.VAR_KEYWORD for part in parameters.values()):
        return None
    return set(parameters)


def like_of(model: nn.Module) -> Tensor:
    """Return a parameter, whose device and dtype the inputs take."""
    like = next((part for part in model.parameters() if part.is_floating_point()), None)
    if like is None:
        raise InputError("model: expected parameters; got none")
    return like
