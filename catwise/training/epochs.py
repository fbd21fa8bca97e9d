"""Training epoch by epoch with one weight per sample; any epoch can be taken again from the one before."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from catwise.core.losses import Batch, per_sample_loss
from catwise.core.precision import Precision, precision
from catwise.training.augment import crop_and_flip

__all__ = [
    "Recipe",
    "load_optimizer",
    "new_optimizer",
    "optimizer_tensors",
    "learning_rates",
    "train_epoch",
    "train_epochs",
    "triangle",
]


@dataclass(frozen=True)
class Recipe:
    """How a model is trained (Table 2); ``precision``, ``channels_last`` and ``compile`` change the speed alone.

    The order of the samples, the crops and the dropout of epoch e depend on ``seed`` and e and on nothing before.
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


def triangle(progress: float, epochs: int) -> float:
    """The learning rate's factor after ``progress`` epochs: from 0 up to 1 at epochs // 5 and back to 0."""
    return float(np.interp(progress, [0, max(1, epochs // 5), epochs], [0, 1, 0]))


def learning_rates(recipe: Recipe, epoch: int, n: int) -> list[float]:
    """The learning rate of each step of an epoch over n samples; their sum is how far plain descent goes in it."""
    steps = max(1, n // recipe.batch_size)
    if recipe.schedule == "constant":
        return [recipe.learning_rate] * steps
    return [
        recipe.learning_rate * triangle(epoch - 1 + (step + 1) / steps, recipe.epochs)
        for step in range(steps)
    ]


def new_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD without momentum, as kronfluence's recipe that Table 2 copies, or AdamW."""
    kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[recipe.optimizer]
    return kind(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)


def train_epochs(
    model: nn.Module, train: Batch, recipe: Recipe, weights: Tensor | None = None
) -> Iterator[int]:
    """Trains in place from the start, yielding the number of each finished epoch."""
    optimizer = new_optimizer(model, recipe)
    for epoch in range(1, recipe.epochs + 1):
        train_epoch(model, optimizer, train, recipe, epoch, weights)
        yield epoch


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Batch,
    recipe: Recipe,
    epoch: int,
    weights: Tensor | None = None,
) -> None:
    """One epoch in place: steps on 1/|B| sum_{i in B} w_i l(z_i), each batch full, what is left over left out.

    The learning rate is stepped at each batch (``learning_rates``). All-ones weights give the bits of no weights.
    """
    device, n = train[-1].device, len(train[-1])
    rng = np.random.default_rng((recipe.seed, epoch))
    order = torch.from_numpy(rng.permutation(n)).to(device)
    steps = learning_rates(recipe, epoch, n)
    called: nn.Module = torch.compile(model) if recipe.compile else model  # type: ignore[assignment]
    if recipe.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.train()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(rng.integers(2**62)))
        full = order[: len(steps) * recipe.batch_size].split(recipe.batch_size)
        for rate, rows in zip(steps, full, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate
            with precision(
                recipe.precision, device.type
            ):  # anew: autocast keeps its copies of the weights inside
                losses = per_sample_loss(called, _batch(train, rows, recipe))
            if weights is not None:
                losses = weights[rows] * losses
            optimizer.zero_grad(set_to_none=True)
            losses.mean().backward()
            optimizer.step()


def _batch(train: Batch, rows: Tensor, recipe: Recipe) -> Batch:
    x, *others = (part[rows] for part in train)
    if recipe.augment:
        x = crop_and_flip(x)
    if recipe.channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    return (x, *others)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What the optimiser remembers, by ``parameter/name``, for a safetensors file; empty for SGD without momentum."""
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{number}/{name}": value
        for number, values in state.items()
        for name, value in values.items()
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of ``optimizer_tensors``, for an optimiser of the same model."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition("/")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
