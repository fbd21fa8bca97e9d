"""Train a model from the start on other samples, as its section says: the unit of experiments."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from catwise.config.schema import Epochs, Train
from catwise.core.device import torch_device
from catwise.core.losses import Batch, Loss, per_sample_loss
from catwise.core.spread import Spread
from catwise.experiments.resume import job_key, resumable_map
from catwise.pipeline.artifacts import (
    cached_splits,
    new_model,
    training_recipe,
)
from catwise.pipeline.stage import section_errors
from catwise.pipeline.workers import pool
from catwise.training import convex, epochs, evaluate

__all__ = ["FIRST_SEED", "Job", "open_pool", "retrain", "retrained", "train_anew"]

# The rows to train on, or a mask of them, and the number of the seed.
Job = tuple[np.ndarray, int]
# What is added to the seed of the section, under which the network of P was trained, for number 0:
# P knows what a training owes to its seed, and would seem to predict better with the same one.
FIRST_SEED = 7000


def retrain(train: Train, dataset: str, batch: Batch, rows: np.ndarray, seed: int = 0) -> nn.Module:
    """Train on ``rows`` of the batch alone; ``seed`` is added to that of the section ``train``."""
    index = torch.tensor(rows, device=batch[-1].device)  # a copy: a worker's rows may be read-only
    return train_anew(train, dataset, tuple(values[index] for values in batch), seed)


def train_anew(
    train: Train,
    dataset: str,
    part: Batch,
    seed: int = 0,
    weights_n: np.ndarray | None = None,
    loss: Loss = per_sample_loss,
) -> nn.Module:
    """Train from the initial weights with one weight per sample; all ones give the bits of None.

    ``loss`` is that of models with epochs; logistic regression has the cross entropy alone.
    """
    weights = None
    if weights_n is not None:
        kind = part[0].dtype if train.model == "logistic" else torch.float32
        weights = torch.tensor(weights_n, device=part[-1].device, dtype=kind)
    if train.model == "logistic":
        model = new_model(dataset, train, part)
        with section_errors(dataset, "train", train):
            convex.fit_convex(model, part, train.l2, weights)
        return model
    train = train.model_copy(update={"seed": train.seed + seed})
    model = new_model(dataset, train, part)
    recipe = training_recipe(train)
    for _ in epochs.train_epochs(model, part, recipe, weights, loss):
        pass
    epochs.refresh(model, part, recipe)
    return model


@dataclass(frozen=True)
class Setting:
    """Hold what the jobs of one call have in common; each worker reads the data itself."""

    dataset: str
    device: str
    threads: int
    train: Train
    measured_on: str
    weighted: bool = False


def retrained(
    dataset: str,
    device: str,
    threads: int,
    train: Train,
    measured_on: str,
    jobs: Sequence[Job],
    stage: str,
    *,
    weighted: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield accuracy and loss of each class on the split ``measured_on`` after each job, in order.

    With ``weighted`` the other samples stay, with weight 0, and those of the job have the weight
    that makes the mean 1: there are as many steps as with all samples. Else they are gone. No job
    has the seed of a network that P is of. The jobs are spread over workers, and each is kept for
    the ``stage`` as soon as it is done.
    """
    setting = Setting(dataset, device, threads, train, measured_on, weighted)
    numbered = [
        (
            setting,
            np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64),
            FIRST_SEED + seed,
        )
        for rows, seed in jobs
    ]
    with open_pool(train, device, threads) as spread:
        for values in resumable_map(stage, dataset, _measure, _key, numbered, spread):
            accuracy_k, loss_k = torch.tensor(values, dtype=torch.float64)
            yield accuracy_k, loss_k


def open_pool(train: Train, device: str, threads: int) -> AbstractContextManager[Spread]:
    """Open workers that train; logistic regressions are done here before a worker would start."""
    return pool(torch_device(device), threads, 1 if train.model == "logistic" else None)


def _measure(setting: Setting, rows: np.ndarray, seed: int) -> list[list[float]]:
    """Train and measure accuracy and loss of each class, in a worker."""
    torch.set_num_threads(setting.threads)
    splits, classes = cached_splits(setting.dataset, setting.device)
    batch = splits["train"]
    if setting.weighted:
        kept_n = np.isin(np.arange(len(batch[-1])), rows)
        model = train_anew(setting.train, setting.dataset, batch, seed, kept_n / kept_n.mean())
    else:
        model = retrain(setting.train, setting.dataset, batch, rows, seed)
    recipe = training_recipe(setting.train) if isinstance(setting.train, Epochs) else None
    measured = evaluate.per_class(model, splits[setting.measured_on], len(classes), recipe)
    return [values.tolist() for values in measured]


def _key(setting: Setting, rows: np.ndarray, seed: int) -> str:
    state = [setting.train.model_dump_json(), setting.measured_on, setting.weighted, seed]
    return job_key(__name__, setting.dataset, setting.device, setting.threads, state, rows)
