"""A model trained from the start as the ``train`` section says: what the experiments repeat on other samples."""

import functools
import hashlib
import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from catwise.core import losses
from catwise.core.errors import InputError
from catwise.core.losses import Batch
from catwise.experiments import resume
from catwise.experiments.workers import pool
from catwise.influence import layers
from catwise.pipeline import artifacts
from catwise.pipeline.artifacts import (
    cached_splits,
    card_text,
    new_model,
    torch_device,
    training_recipe,
)
from catwise.training import augment, bert, convex, epochs, evaluate, models

__all__ = ["Job", "retrain", "retrained"]

Job = tuple[
    np.ndarray, int
]  # rows to train on (or a mask of them), and what to add to the seed of the section
DECIDING = (
    augment,
    bert,
    convex,
    layers,
    losses,
    models,
    epochs,
    artifacts,
)  # modules that the result depends on


def retrain(train: Any, dataset: str, batch: Batch, rows: np.ndarray, seed: int = 0) -> nn.Module:
    """The model after training on ``rows`` of the batch alone; ``seed`` is added to that of the section."""
    chosen = torch.tensor(
        rows, device=batch[-1].device
    )  # a copy: what a worker is sent may be read-only
    part = tuple(values[chosen] for values in batch)
    if train.model == "logistic":
        model = new_model(dataset, train, part)
        convex.fit_convex(model, part, train.l2)
        return model
    train = train.model_copy(update={"seed": train.seed + seed})
    model = new_model(dataset, train, part)
    for _ in epochs.train_epochs(model, part, training_recipe(train)):
        pass
    return model


@dataclass(frozen=True)
class Setting:
    """What the jobs of one call have in common; the data are not in it, each worker reads them itself."""

    dataset: str
    device: str
    threads: int
    train: Any  # the section of the parameters
    measured_on: str


def retrained(
    dataset: str,
    device: str,
    threads: int,
    train: Any,
    measured_on: str,
    jobs: Sequence[Job],
    stage: str,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Accuracy and loss of each class on the split ``measured_on`` after each job, in order.

    Each result is in the stage's scratch as soon as it is there, and a job that is found there is not done again.
    """
    setting = Setting(dataset, device, threads, train, measured_on)
    whole = [
        (np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64), seed)
        for rows, seed in jobs
    ]
    places = [resume.place(stage, dataset, _key(setting, *job)) for job in whole]
    done = {place: resume.found(place) for place in places}
    missing = {place: job for place, job in zip(places, whole, strict=True) if done[place] is None}
    calls = ((setting, *job, place) for place, job in missing.items())
    with pool(torch_device(device), threads) as spread, closing(spread(_measured, calls)) as fresh:
        for place in places:
            if done[place] is None:
                done[place] = next(fresh)
            accuracy_k, loss_k = torch.tensor(done[place], dtype=torch.float64)
            yield accuracy_k, loss_k


def _measured(setting: Setting, rows: np.ndarray, seed: int, place: Path) -> list[list[float]]:
    """One job, in a worker: accuracy and loss of each class, kept in ``place`` before they are handed back."""
    if _key(setting, rows, seed) != place.stem:
        raise InputError(
            "CATWISE_BACKEND: expected workers with the data, code, torch and device of this process; "
            "got others: run again, after a new start of the cluster if there is one"
        )
    torch.set_num_threads(setting.threads)
    splits, classes = cached_splits(setting.dataset, setting.device, card_text(setting.dataset))
    model = retrain(setting.train, setting.dataset, splits["train"], rows, seed)
    measured = [
        values.tolist()
        for values in evaluate.per_class(model, splits[setting.measured_on], len(classes))
    ]
    return resume.keep(place, measured)


def _key(setting: Setting, rows: np.ndarray, seed: int) -> str:
    """sha256 of all that the result depends on, as this process sees it."""
    section, device = setting.train.model_dump_json(), torch_device(setting.device).type
    state = [
        section,
        setting.threads,
        device,
        torch.__version__,
        card_text(setting.dataset),
        setting.measured_on,
        _code(),
    ]
    return hashlib.sha256(json.dumps([*state, seed]).encode() + rows.tobytes()).hexdigest()


@functools.cache
def _code() -> str:
    """sha256 of the modules that decide, when the process first asks: what it runs, not what is edited later."""
    modules = [*DECIDING, sys.modules[__name__]]
    return hashlib.sha256(
        "".join(inspect.getsource(module) for module in modules).encode()
    ).hexdigest()
