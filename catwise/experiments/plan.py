"""Count the pieces of each long stage, and say how many hours are left on this machine.

A piece is what is kept as soon as it is done: an epoch of the training, a training of ``subsets``,
``improve`` or ``removal``, an epoch of ``reweight``.
"""

import math
import time
from dataclasses import dataclass
from typing import Any, get_args

import torch

from catwise.config.schema import (
    Baseline,
    DataSet,
    Epochs,
    Improve,
    Reweight,
    Sized,
    Subsets,
    TopShare,
)
from catwise.core.errors import InputError
from catwise.core.losses import Batch
from catwise.experiments.cases import within_budget
from catwise.experiments.table1 import ELITE
from catwise.fidelity.subsets import SHARE
from catwise.pipeline.artifacts import new_model, read_splits, training_recipe
from catwise.reweighting.genetic_search import most_evaluations
from catwise.training import epochs, evaluate

__all__ = [
    "Pieces",
    "Speed",
    "case_epochs",
    "extra_epochs",
    "hours_left",
    "most_trainings",
    "pieces",
    "time_steps",
    "whole_trainings",
]

STEPS = 3  # that are timed


@dataclass(frozen=True)
class Pieces:
    """Count the pieces of a stage, and the samples that one of them trains on and measures.

    ``at_most`` says that equal pieces are done once, and that the count does not know which are.
    """

    stage: str
    unit: str
    count: int
    trained: float
    measured: float
    at_most: bool = False


@dataclass(frozen=True)
class Speed:
    """Hold the seconds for a sample of a step of training, and of a pass that measures."""

    trained: float
    measured: float


def pieces(parameters: DataSet, counts: dict[str, int], num_classes: int) -> list[Pieces]:
    """Count the pieces of the stages that train, in their order; ``counts`` are samples by split.

    What P of several trainings costs (``influence.runs``, the exact one) is not counted.

    Raises InputError for logistic regression, which takes seconds and has no epochs to count.
    """
    train, n = parameters.train, counts["train"]
    if not isinstance(train, Epochs):
        raise InputError("train: expected a model that is trained by epochs; got logistic")
    recipe = training_recipe(train)
    refreshed = min(recipe.refresh * recipe.batch_size, n)
    everywhere = sum(counts.values()) + refreshed
    held_out = sum(counts.values()) - n
    stages = [Pieces("train", "epochs", train.epochs, n, everywhere + bool(refreshed) * held_out)]
    if parameters.reweight:
        measured = counts["validation_b"] + counts["test"] + refreshed
        count = extra_epochs(parameters.reweight)
        stages.append(Pieces("reweight", "epochs", count, n, measured, at_most=True))
    if subsets := parameters.subsets:
        count, whole = 1 + subsets.halves + subsets.removals, whole_trainings(subsets)
        trained, measured = train.epochs * n * whole / count, counts["validation_a"] + refreshed
        stages.append(Pieces("subsets", "trainings", subsets.seeds * count, trained, measured))
    if improve := parameters.improve:
        count, measured = most_trainings(improve), counts["test"] + refreshed
        trained = train.epochs * n
        stages.append(Pieces("improve", "trainings", count, trained, measured, at_most=True))
    removal = parameters.removal
    if isinstance(removal, TopShare):
        aimed = 2 * num_classes * len(removal.influence)
        count = removal.seeds * (1 + aimed + removal.controls)
        trained = train.epochs * n * (1 - removal.share)
        stages.append(Pieces("removal", "trainings", count, trained, counts["test"] + refreshed))
    return stages


def whole_trainings(section: Subsets) -> float:
    """Count what the subsets of one seed cost, with all samples once, in trainings on all samples.

    Where samples that are left out are gone, a training is so much shorter.
    """
    count = 1 + section.halves + section.removals
    gone = section.halves / 2 + SHARE * section.removals
    return count - gone if section.left_out == "rows" else count


def extra_epochs(section: Reweight | None) -> int:
    """Count the epochs that all cases train at most.

    They may be fewer: candidates of a search may mean the same weights, which are trained once.
    """
    if not section:
        return 0
    return sum(case_epochs(within_budget(section, case.budget)) for case in section.cases)


def case_epochs(section: Any) -> int:
    """Count the epochs of one case: its searches, and each of its weights under every seed.

    The refresh of batch norm counts as one. Epochs that are unrolled are not counted.
    """
    search = most_evaluations(section.generations, section.population)
    count = len(section.searches)
    tried = count * ELITE + len(section.directions) * len(section.sizes)
    weights = 6 + tried + count * (1 + section.tradeoff) + len(section.directions)
    return (count + 2 if count else 0) * search + section.seeds * weights


def most_trainings(section: Improve) -> int:
    """Count the trainings of the stage ``improve``, should it go all rounds and do none twice."""
    names = get_args(Baseline) if section.baselines == "all" else section.baselines
    of_p = {*get_args(Sized), "drop_harmful"}  # that are made of every kind of P
    sizes = [
        (len(section.sizes) if name in get_args(Sized) else 1)
        * (len(section.influence) if name in of_p else 1)
        for name in section.proposals
    ]
    search = most_evaluations(section.generations, section.population)
    search_trainings = {"lp_ga": 1 + search, "class_search": search}
    search_trainings |= {"best_seed": section.best_of * section.fresh}
    search_trainings |= dict.fromkeys(("lowest_margins", "cleanlab"), section.folds)
    proposed = sum(sizes)
    path = section.seeds + section.rounds * (section.runs + proposed * section.seeds)
    methods = proposed + len(names) + len(("plain", "path", "shuffled", "oracle"))
    searched = sum(search_trainings.get(name, 0) for name in {*section.proposals, *names})
    return path + searched + (methods + section.rounds) * section.fresh


def time_steps(dataset: str, parameters: DataSet) -> Speed:
    """Time a few steps of the training and a pass over as many samples, once they are warm."""
    train = parameters.train
    assert isinstance(train, Epochs)
    recipe, batch = training_recipe(train), read_splits(dataset, parameters.device)[0]["train"]
    part = tuple(values[: STEPS * recipe.batch_size] for values in batch)
    model = new_model(dataset, train, part)
    optimizer = epochs.new_optimizer(model, recipe)
    ends = []
    for epoch in (1, 2):
        begin = _now(part)
        epochs.train_epoch(model, optimizer, part, recipe, epoch)
        middle = _now(part)
        evaluate.logits(model, part, recipe)
        ends.append((middle - begin, _now(part) - middle))
    trained, measured = ends[-1]
    n = len(part[-1])
    steps = max(1, n // recipe.batch_size) * min(recipe.batch_size, n)
    return Speed(trained / steps, measured / n)


def _now(part: Batch) -> float:
    """Return the time at which all work on the device of a batch is done."""
    if part[-1].is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter()


def hours_left(piece: Pieces, done: int, seconds: list[float], speed: Speed, workers: int) -> float:
    """Compute the hours that the pieces left take; ``seconds`` are those of pieces done.

    Without any, a piece takes what its samples take at ``speed``. The epochs of the training come
    one after the other, whatever the number of workers.
    """
    known = [value for value in seconds if math.isfinite(value)]
    each = piece.trained * speed.trained + piece.measured * speed.measured
    if known:
        each = sum(known) / len(known)
    return each * max(piece.count - done, 0) / (1 if piece.stage == "train" else workers) / 3600
