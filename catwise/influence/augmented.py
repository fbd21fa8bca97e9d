"""Average the gradients of training samples over what the training did to them at random."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from catwise.core.errors import InputError, in_one_line
from catwise.core.losses import Batch
from catwise.core.numbers import require_number
from catwise.influence.reading import as_samples
from catwise.influence.samples import Data, Samples, input_marks, taken

__all__ = ["Augmented"]

FEW = slice(0, 8)  # samples that are changed twice, to see whether the change does as it should


@dataclass(frozen=True)
class Augmented:
    """Hold training samples, and how the training changed the inputs of each at random.

    A model that is trained on crops and flips lowers the mean loss over them, so a sample acts on
    it through the mean of its gradients over them. P takes that mean over ``draws``; curvature and
    statistics of batch norm are those of the samples as they are. ``change`` maps the inputs of one
    sample to others of the same shape. It draws from torch's generator of the CPU, which has a seed
    for each sample and draw, and is left as it was. A pass over the training samples takes
    ``draws`` times as long.

    Samples that are made of it raise InputError for a change that gives another shape, or draws
    from another generator.

    Differs from the paper, which is silent: kronfluence takes the gradients of samples as they are.
    """

    data: Data
    change: Callable[..., Any]
    draws: int = 4

    def make_samples(self, model: nn.Module | None, name: str) -> Samples:
        """Return the samples as they are, with a view for each draw."""
        require_number(f"{name}.draws", self.draws, 1, whole=True)
        plain = as_samples(self.data, model, name)
        views = [
            Samples(plain.labels, partial(self._changed, plain, name, draw), by_name=plain.by_name)
            for draw in range(self.draws)
        ]
        if (input_marks(views[0].rows(FEW)) != input_marks(views[0].rows(FEW))).any():
            raise InputError(
                f"{name}: expected a change that draws from torch's generator of the CPU; got other"
                " inputs by the same seed"
            )
        return plain.seen_as(views)

    def _changed(self, plain: Samples, name: str, draw: int, rows: Tensor | slice) -> Batch:
        """Return a batch with changed inputs."""
        *inputs, labels = plain.rows(rows)
        numbers = torch.arange(len(plain))[rows] if isinstance(rows, slice) else rows
        items = []
        try:
            with torch.random.fork_rng(devices=[]):
                for row, sample in enumerate(numbers.tolist()):
                    torch.default_generator.manual_seed(sample * self.draws + draw)
                    item = self.change(*(taken(part, row) for part in inputs))
                    items.append(item if isinstance(item, tuple) else (item,))
            new_inputs = default_collate(items)
            shapes, new_shapes = _shapes(inputs), _shapes(new_inputs)
        except Exception as error:  # of a function that is not ours
            expected = "a change of the inputs of one sample"
            raise InputError(f"{name}: expected {expected}; got: {in_one_line(error)}") from error
        if len(new_inputs) != len(inputs) or not new_shapes.items() <= shapes.items():
            raise InputError(
                f"{name}: expected changed inputs of shape {_in_words(shapes)}; got "
                f"{_in_words(new_shapes)}"
            )
        return *new_inputs, labels


def _shapes(inputs: Sequence[Any]) -> dict[tuple[int, str], tuple[int, ...]]:
    """Return the shapes of the inputs of a sample, by their place and, in dictionaries, name."""
    return {
        (place, name): tuple(tensor.shape[1:])
        for place, entry in enumerate(inputs)
        for name, tensor in (entry.items() if isinstance(entry, Mapping) else [("", entry)])
    }


def _in_words(shapes: Mapping[tuple[int, str], tuple[int, ...]]) -> str:
    return " and ".join(f"{name} {shape}".strip() for (_, name), shape in shapes.items())
