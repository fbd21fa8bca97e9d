"""A model trained from the start as the ``train`` section says: what the experiments repeat on other samples."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from joblib import Parallel, delayed
from torch import Tensor, nn

from catwise import metrics, training
from stages.tensors import Split, new_model

__all__ = ["retrain", "retrained"]

Job = tuple[Any, int]  # rows (or a mask of them) to train on, and what to add to the seed


def retrain(train: Any, split: Split, rows: Any, num_classes: int, seed: int = 0) -> nn.Module:
    """The model after training on ``rows`` of the split alone; ``seed`` is added to that of the section."""
    x, y = (part[rows] for part in split)
    if train.model == "logistic":
        model = new_model(train, x, num_classes)
        training.fit_convex(model, x, y, train.l2)
        return model
    train = train.model_copy(update={"seed": train.seed + seed})
    model = new_model(train, x, num_classes)
    recipe = train.model_dump(include={"epochs", "batch_size", "learning_rate", "weight_decay", "seed"})
    for _ in training.train_epochs(model, x, y, **recipe):
        pass
    return model


def retrained(
    train: Any, threads: int, split: Split, measured_on: Split, num_classes: int, jobs: Iterable[Job]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Accuracy and loss of each class after each job, in order; one process per core, each with ``threads`` threads."""

    def measure(rows: Any, seed: int) -> tuple[Tensor, Tensor]:
        torch.set_num_threads(threads)
        return metrics.per_class(retrain(train, split, rows, num_classes, seed), *measured_on, num_classes)

    return Parallel(n_jobs=-1, return_as="generator")(delayed(measure)(*job) for job in jobs)
