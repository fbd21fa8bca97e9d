"""Take one epoch again from a checkpoint with one weight per sample: the unit of reweighting."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from catwise.config.schema import Logistic, Train
from catwise.core.losses import Batch
from catwise.core.spread import Spread
from catwise.experiments.resume import file_sha256, job_key, resumable_map
from catwise.pipeline.artifacts import (
    cached_splits,
    checkpoint_path,
    load_model,
    read_tensors,
    training_recipe,
)
from catwise.training import epochs, evaluate
from catwise.training.epochs import Recipe

__all__ = [
    "Job",
    "Measured",
    "Start",
    "Weights",
    "checkpoint_hashes",
    "measure_epochs",
    "next_epoch",
    "refreshed",
]

# Weights of all samples; "refresh" takes no step, but batch norm's statistics again.
Weights = np.ndarray | Literal["refresh"]
# The weights, and what is added to the seed of the recipe.
Job = tuple[Weights, int]
# By split, then by "accuracy" or "loss": the value of each class, (k,), or under each seed, (s, k).
Measured = dict[str, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Start:
    """Hold from where the epoch is taken, and how; each worker reads the data itself."""

    dataset: str
    device: str
    threads: int
    train: Train
    epoch: int  # of the checkpoint
    recipe: Recipe  # of the epoch after it


def next_epoch(
    start: Start, part: Batch, weights: Tensor | None = None, seed: int = 0
) -> nn.Module:
    """Train one more epoch from the checkpoint, and return the model.

    The optimiser remembers what it did at the checkpoint, if it remembers anything. Where the
    training refreshes batch norm after each epoch, it is refreshed after this one too; in training
    no step depends on the statistics that the checkpoint is kept with.
    """
    model = load_model(start.dataset, start.train, part, start.epoch)
    recipe = replace(start.recipe, seed=start.recipe.seed + seed)
    optimizer = epochs.new_optimizer(model, recipe)
    remembered = checkpoint_path(start.dataset, start.epoch, "optimizer")
    if remembered.exists():
        epochs.load_optimizer(optimizer, read_tensors(remembered))
    epochs.train_epoch(model, optimizer, part, recipe, start.epoch + 1, weights)
    epochs.refresh(model, part, recipe)
    return model.eval()


def refreshed(start: Start, part: Batch, seed: int = 0) -> nn.Module:
    """Take the running statistics of batch norm at the checkpoint again, and return the model.

    The batches are as many as the training takes for it, or as one of its epochs has where it does
    not; the seed decides which samples are in which, and their crops. No step is taken.
    """
    model = load_model(start.dataset, start.train, part, start.epoch)
    assert not isinstance(start.train, Logistic)  # it has no batch norm
    recipe = training_recipe(start.train)
    batches = recipe.refresh or len(epochs.learning_rates(recipe, 1, len(part[-1])))
    epochs.refresh(model, part, replace(recipe, seed=recipe.seed + seed, refresh=batches))
    return model.eval()


def measure_epochs(
    start: Start, jobs: Sequence[Job], splits: tuple[str, ...], spread: Spread
) -> list[Measured]:
    """Measure each class on the splits after each job's epoch; the jobs are one resumable map."""
    numbered = [(start, weights, seed, splits) for weights, seed in jobs]
    results = resumable_map("reweight", start.dataset, _measure, _key, numbered, spread)
    return [
        {
            split: {measure: np.array(values) for measure, values in measures.items()}
            for split, measures in result.items()
        }
        for result in results
    ]


def _measure(start: Start, weights: Weights, seed: int, splits: tuple[str, ...]) -> Any:
    """Take one epoch and measure it, in a worker."""
    torch.set_num_threads(start.threads)
    batches, classes = cached_splits(start.dataset, start.device)
    part = batches["train"]
    if isinstance(weights, str):
        model = refreshed(start, part, seed)
    else:
        weights_n = torch.from_numpy(weights.astype(np.float32)).to(part[-1].device)
        model = next_epoch(start, part, weights_n, seed)
    measured = {}
    for split in splits:
        accuracy_k, loss_k = evaluate.per_class(model, batches[split], len(classes), start.recipe)
        measured[split] = {"accuracy": accuracy_k.tolist(), "loss": loss_k.tolist()}
    return measured


def _key(start: Start, weights: Weights, seed: int, splits: tuple[str, ...]) -> str:
    how = [start.train.model_dump_json(), start.epoch, asdict(start.recipe)]
    state = [*how, checkpoint_hashes(start), splits, seed]
    if isinstance(weights, str):
        state, weights = [*state, weights], np.empty(0)
    return job_key(__name__, start.dataset, start.device, start.threads, state, weights)


def checkpoint_hashes(start: Start) -> list[str]:
    """Return the sha256 of each file of the checkpoint."""
    files = [checkpoint_path(start.dataset, start.epoch, what) for what in ("epoch", "optimizer")]
    return [file_sha256(file) for file in files if file.exists()]
