"""One epoch taken again from a checkpoint with one weight per sample: what the reweighting experiments repeat."""

import functools
import hashlib
import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from catwise.core import losses
from catwise.core.errors import InputError
from catwise.core.losses import Batch
from catwise.experiments import resume
from catwise.experiments.workers import Spread
from catwise.influence import layers
from catwise.pipeline import artifacts
from catwise.pipeline.artifacts import (
    cached_splits,
    card_text,
    checkpoint_path,
    load_model,
    read_tensors,
    torch_device,
)
from catwise.training import augment, bert, epochs, evaluate, models
from catwise.training.epochs import Recipe

__all__ = ["Job", "Measured", "Start", "next_epoch", "taken"]

Job = tuple[
    np.ndarray, int
]  # weights of the training samples, and what to add to the seed of the recipe
Measured = dict[str, np.ndarray]  # split to (2, k): accuracy and loss of each class
DECIDING = (
    augment,
    bert,
    layers,
    losses,
    models,
    epochs,
    artifacts,
)  # modules that the result depends on


@dataclass(frozen=True)
class Start:
    """From where the epoch is taken, and how; the data are not in it, each worker reads them itself."""

    dataset: str
    device: str
    threads: int
    train: Any  # the section of the parameters
    epoch: int  # of the checkpoint
    recipe: Recipe  # of the epoch after it


def next_epoch(
    start: Start, part: Batch, weights: Tensor | None = None, seed: int = 0
) -> nn.Module:
    """The model after one more epoch. The optimiser remembers what it did at the checkpoint, if anything."""
    model = load_model(start.dataset, start.train, part, start.epoch)
    recipe = replace(start.recipe, seed=start.recipe.seed + seed)
    optimizer = epochs.new_optimizer(model, recipe)
    remembered = checkpoint_path(start.dataset, start.epoch, "optimizer")
    if remembered.exists():
        epochs.load_optimizer(optimizer, read_tensors(remembered))
    epochs.train_epoch(model, optimizer, part, recipe, start.epoch + 1, weights)
    return model.eval()


def taken(
    start: Start, jobs: Sequence[Job], measured_on: tuple[str, ...], spread: Spread
) -> list[Measured]:
    """Each class's accuracy and loss on the splits after each job; the jobs are one parallel map of ``catwise.experiments.workers``.

    A result is in the stage's scratch as soon as it is there, and a job found there or given twice is done once: a
    stage that was killed repeats what it asked for, finds it, and goes on to the same answer.
    """
    places = [
        resume.place("reweight", start.dataset, _key(start, *job, measured_on)) for job in jobs
    ]
    done = {place: resume.found(place) for place in places}
    missing = {place: job for place, job in zip(places, jobs, strict=True) if done[place] is None}
    calls = ((start, *job, measured_on, place) for place, job in missing.items())
    with closing(spread(_measured, calls)) as fresh:
        done |= zip(missing, fresh, strict=True)
    return [
        {split: np.array(values) for split, values in (done[place] or {}).items()}
        for place in places
    ]


def _measured(
    start: Start, weights: np.ndarray, seed: int, measured_on: tuple[str, ...], place: Path
) -> Any:
    """One job, in a worker; kept in ``place`` before it is handed back."""
    if _key(start, weights, seed, measured_on) != place.stem:
        raise InputError(
            "CATWISE_BACKEND: expected workers with the data, checkpoints, code, torch and device of this process; "
            "got others: run again, after a new start of the cluster if there is one"
        )
    torch.set_num_threads(start.threads)
    splits, classes = cached_splits(start.dataset, start.device, card_text(start.dataset))
    part = splits["train"]
    model = next_epoch(
        start, part, torch.from_numpy(weights.astype(np.float32)).to(part[-1].device), seed
    )
    found = {split: evaluate.per_class(model, splits[split], len(classes)) for split in measured_on}
    return resume.keep(
        place, {split: [values.tolist() for values in pair] for split, pair in found.items()}
    )


def _key(start: Start, weights: np.ndarray, seed: int, measured_on: tuple[str, ...]) -> str:
    """sha256 of all that the result depends on, as this process sees it."""
    files = [checkpoint_path(start.dataset, start.epoch, what) for what in ("epoch", "optimizer")]
    begun = [_sha256(path.resolve(), path.stat().st_mtime_ns) for path in files if path.exists()]
    how = [
        start.train.model_dump_json(),
        start.epoch,
        asdict(start.recipe),
        start.threads,
        measured_on,
        seed,
    ]
    where = [
        torch_device(start.device).type,
        torch.__version__,
        card_text(start.dataset),
        begun,
        _code(),
    ]
    return hashlib.sha256(json.dumps([how, where]).encode() + weights.tobytes()).hexdigest()


@functools.lru_cache(maxsize=8)
def _sha256(path: Path, _written: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.cache
def _code() -> str:
    """sha256 of the modules that decide, when the process first asks: what it runs, not what is edited later."""
    files = [Path(module.__file__ or "") for module in DECIDING] + [Path(__file__)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
