"""Which epoch is taken again, for which classes and how: a case of the parameters made definite."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from catwise.experiments.reweighted_epoch import Start
from catwise.pipeline.artifacts import training_recipe
from catwise.reweighting.targets import detrimental_epoch, dropped, lowest
from catwise.training.epochs import Recipe

__all__ = ["Case", "resolved"]

FEW = 2  # targets of `auto`, as many as the paper's Direct Improvement has


@dataclass(frozen=True)
class Case:
    """``reference``: the epoch that a result is compared with, e or, to correct a course, the original e + 1."""

    name: str
    start: Start
    targets: list[int]
    reference: int


def resolved(
    dataset: str,
    case: Any,
    train: Any,
    history: pd.DataFrame,
    counts_k: np.ndarray,
    device: str,
    threads: int,
) -> Case:
    """``auto`` is decided on validation B, of which ``counts_k`` are the samples per class.

    Course Correction: the epoch after the learning rate's peak from which to the next the classes lose most accuracy,
    and the classes that fell significantly; if none did, those that fell most. Direct Improvement: the lowest classes.
    """
    seen = history[history["split"] == "validation_b"]
    accuracy_ek = seen.pivot(index="epoch", columns="class", values="accuracy")[
        list(seen["class"].unique())
    ]
    epoch, few = case.epoch, min(FEW, len(counts_k) - 1)
    if epoch == "auto":
        calmer = max(1, train.epochs // 5) + 1
        epoch = calmer + detrimental_epoch(accuracy_ek.loc[calmer:].to_numpy())
    before_k = accuracy_ek.loc[epoch].to_numpy()
    corrects = case.kind == "course_correction"
    if case.targets != "auto":
        targets = sorted(list(accuracy_ek.columns).index(name) for name in case.targets)
    elif corrects:
        after_k = accuracy_ek.loc[epoch + 1].to_numpy()
        targets = dropped(before_k, after_k, counts_k) or lowest(after_k - before_k, few)
    else:
        targets = lowest(before_k, few)
    how = "as trained" if case.recipe == "as_trained" else f"rate {case.recipe.learning_rate:g}"
    name = f"{case.kind.replace('_', ' ')}, {epoch} to {epoch + 1}, {how}"
    start = Start(dataset, device, threads, train, epoch, steps(case.recipe, train))
    return Case(name, start, targets, epoch + corrects)


def steps(chosen: Any, train: Any) -> Recipe:
    if chosen == "as_trained":
        return training_recipe(train)
    return replace(training_recipe(train), schedule="constant", **chosen.model_dump())
