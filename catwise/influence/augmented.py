"""Average the gradients of training samples over what the training did to them at random."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from catwise.core.errors import InputError
from catwise.core.losses import Batch
from catwise.influence.samples import Data, Samples, as_samples, taken

__all__ = ["Augmented"]


@dataclass(frozen=True)
class Augmented:
    """Hold training samples, and how the training changed the inputs of each at random.

    A model that is trained on crops and flips lowers the mean loss over them, so a sample acts on
    it through the mean of its gradients over them. P takes that mean over ``draws``; curvature and
    statistics of batch norm are those of the samples as they are. ``change`` maps the inputs of one
    sample to others of the same shape. It draws from torch's generator of the CPU, which has a seed
    for each sample and draw, and is left as it was. A pass over the training samples takes
    ``draws`` times as long.

    Differs from the paper, which is silent: kronfluence takes the gradients of samples as they are.
    """

    data: Data
    change: Callable[..., Any]
    draws: int = 4

    def make_samples(self, name: str) -> Samples:
        """Return the samples as they are, with a view for each draw."""
        if not isinstance(self.draws, int) or self.draws < 1:
            raise InputError(f"{name}: expected 1 draw of augmentation or more; got {self.draws}")
        plain = as_samples(self.data, None, name)
        views = [
            Samples(plain.labels, partial(self._changed, plain, name, draw))
            for draw in range(self.draws)
        ]
        return plain.seen_as(views)

    def _changed(self, plain: Samples, name: str, draw: int, rows: Tensor | slice) -> Batch:
        """Return a batch with changed inputs."""
        *inputs, labels = plain.rows(rows)
        numbers = torch.arange(len(plain))[rows] if isinstance(rows, slice) else rows
        items = []
        with torch.random.fork_rng(devices=[]):
            for row, sample in enumerate(numbers.tolist()):
                torch.default_generator.manual_seed(sample * self.draws + draw)
                item = self.change(*(taken(part, row) for part in inputs))
                items.append(item if isinstance(item, tuple) else (item,))
        try:
            batch = (*default_collate(items), labels)
        except (RuntimeError, TypeError) as error:
            message = f"{name}: expected changed inputs of one shape; got: {error}"
            raise InputError(message) from None
        if len(batch) != len(inputs) + 1:
            raise InputError(
                f"{name}: expected as many changed inputs as the model takes, {len(inputs)}; got"
                f" {len(batch) - 1}"
            )
        return batch
