"""Train epoch by epoch with one weight per sample; each can be repeated from the one before."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from catwise.core.losses import Batch, Loss, per_sample_loss
from catwise.core.precision import Precision, precision
from catwise.training.augment import crop_and_flip
from catwise.training.batch_norm import refresh_statistics

__all__ = [
    "Recipe",
    "epoch_batches",
    "epoch_rates",
    "learning_rates",
    "load_optimizer",
    "new_optimizer",
    "optimizer_tensors",
    "refresh",
    "train_epoch",
    "train_epochs",
    "triangle",
]


@dataclass(frozen=True)
class Recipe:
    """Say how a model is trained (Table 2).

    The order of the samples, the crops and the dropout of epoch e depend on ``seed`` and e, and on
    nothing that was done before. ``precision``, ``channels_last`` and ``compile`` change the speed,
    and results in their last digits. ``refresh`` is the number of batches of ``refresh`` below.
    """

    seed: int
    epochs: int
    batch_size: int
    optimizer: Literal["sgd", "adamw"]
    learning_rate: float
    weight_decay: float
    schedule: Literal["triangle", "constant"] = "triangle"
    augment: bool = False
    channels_last: bool = False
    precision: Precision = "float32"
    compile: bool = False
    refresh: int = 0


def triangle(progress: float, epochs: int) -> float:
    """Compute the factor of the learning rate after ``progress`` of ``epochs``.

    It rises from 0 to 1 at epochs // 5, or at 1 if there are fewer than five, and falls back to 0.

    >>> [triangle(progress, 25) for progress in (0, 2.5, 5, 15, 25)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    return float(np.interp(progress, [0, max(1, epochs // 5), epochs], [0, 1, 0]))


def learning_rates(recipe: Recipe, epoch: int, n: int) -> list[float]:
    """Compute the learning rate of each step of an epoch over n samples.

    Their sum is how far gradient descent goes in the epoch.
    """
    steps = max(1, n // recipe.batch_size)
    if recipe.schedule == "constant":
        return [recipe.learning_rate] * steps
    return [
        recipe.learning_rate * triangle(epoch - 1 + (step + 1) / steps, recipe.epochs)
        for step in range(steps)
    ]


def epoch_rates(recipe: Recipe, n: int) -> list[float]:
    """Compute the sum of the learning rates of each epoch over n samples."""
    return [math.fsum(learning_rates(recipe, epoch + 1, n)) for epoch in range(recipe.epochs)]


def new_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Make AdamW, or SGD without momentum as in kronfluence's recipe, which fits Table 2."""
    kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[recipe.optimizer]
    return kind(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)


def train_epochs(
    model: nn.Module,
    train: Batch,
    recipe: Recipe,
    weights: Tensor | None = None,
    loss: Loss = per_sample_loss,
) -> Iterator[int]:
    """Train in place from the start, and yield the number of each finished epoch."""
    optimizer = new_optimizer(model, recipe)
    for epoch in range(1, recipe.epochs + 1):
        train_epoch(model, optimizer, train, recipe, epoch, weights, loss)
        yield epoch


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Batch,
    recipe: Recipe,
    epoch: int,
    weights: Tensor | None = None,
    loss: Loss = per_sample_loss,
) -> None:
    """Train one epoch in place: a step on 1/|B| sum_{i in B} w_i l(z_i) for each batch B.

    ``weights`` are w (n,); all ones give the bits of None. Each batch is full, and samples that are
    left over are left out. The learning rate changes at each batch (see ``learning_rates``).
    """
    device = train[-1].device
    rates = learning_rates(recipe, epoch, len(train[-1]))
    compiled: Any = torch.compile(model) if recipe.compile else model
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.train()
    with _shuffled(train, recipe, epoch) as batches:
        for rate, rows in zip(rates, batches, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate
            # entered anew for each batch, because autocast keeps copies of the weights inside
            with precision(recipe.precision, device.type):
                losses = loss(compiled, _batch(train, rows, recipe))
            if weights is not None:
                losses = weights[rows] * losses
            optimizer.zero_grad(set_to_none=True)
            losses.mean().backward()
            optimizer.step()


def epoch_batches(train: Batch, recipe: Recipe, epoch: int) -> list[tuple[Tensor, Batch]]:
    """Return the rows and the batch of each step of ``train_epoch``, crops included, in order."""
    with _shuffled(train, recipe, epoch) as batches:
        return [(rows, _batch(train, rows, recipe)) for rows in batches]


def refresh(model: nn.Module, train: Batch, recipe: Recipe) -> None:
    """Take the running statistics of batch norm again, over ``recipe.refresh`` batches at most.

    The batches are always the same: full ones in an order of their own, which the seed decides.
    They are augmented as those of the training are, so that what changes is how old the weights
    are behind the statistics, and nothing else. Nothing is done where ``recipe.refresh`` is 0.

    Differs from the paper: it is silent on this. At a high learning rate the statistics that the
    training leaves lag behind the weights.
    """
    if not recipe.refresh:
        return
    kind = train[-1].device.type
    with _shuffled(train, recipe, epoch=0) as batches, precision(recipe.precision, kind):
        first = batches[: recipe.refresh]
        refresh_statistics(model, (_batch(train, rows, recipe) for rows in first))


@contextmanager
def _shuffled(train: Batch, recipe: Recipe, epoch: int) -> Iterator[list[Tensor]]:
    """Give the rows of each batch; what is drawn inside depends on the seed and the epoch alone.

    Each batch is full, and samples that are left over are left out.
    """
    device, n = train[-1].device, len(train[-1])
    rng = np.random.default_rng((recipe.seed, epoch))
    order = torch.from_numpy(rng.permutation(n)).to(device)
    steps = max(1, n // recipe.batch_size)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(rng.integers(2**62)))
        yield list(order[: steps * recipe.batch_size].split(recipe.batch_size))


def _batch(train: Batch, rows: Tensor, recipe: Recipe) -> Batch:
    """Take rows of the training set, augmented and laid out in memory as the recipe says."""
    x, *others = (values[rows] for values in train)
    if recipe.augment:
        x = crop_and_flip(x)
    if recipe.channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    return (x, *others)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return what the optimiser remembers, by ``parameter/name``, for a safetensors file.

    SGD without momentum remembers nothing.
    """
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{number}/{name}": value
        for number, values in state.items()
        for name, value in values.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give an optimiser of the same model what ``optimizer_tensors`` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition("/")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
