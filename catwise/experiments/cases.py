"""Decide which epoch is taken again, for which classes and how: the cases of the parameters."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from catwise.config import schema
from catwise.experiments.reweighted_epoch import Start
from catwise.pipeline.artifacts import training_recipe
from catwise.reweighting.targets import detrimental_epoch, fallen_classes, lowest_classes
from catwise.training.epochs import Recipe

__all__ = ["Case", "epoch_recipe", "resolve_cases", "within_budget"]

FEW = 2  # targets of `auto`: as many as the paper's Direct Improvement has


@dataclass(frozen=True)
class Case:
    """Hold a case of Table 1 with nothing left to decide.

    key             its kind, from the second of a kind on with a number; no epoch is in it, which
                    may be auto, so that two experiments are compared case by case
    start           the checkpoint, and how the epoch after it is trained
    targets         numbers of the classes
    compared_with   the epoch with which results are compared: that of the checkpoint, or the
                    original next one to correct a course
    section         the ``reweight`` section, within the budget of the case
    """

    key: str
    kind: str
    start: Start
    targets: list[int]
    compared_with: int
    learning_rate: float | None  # None: as trained
    section: schema.Reweight

    @property
    def row(self) -> dict[str, Any]:
        """Return the row of the case in the table of cases."""
        return {
            "case": self.key,
            "kind": self.kind,
            "epoch": self.start.epoch,
            "compared_with": self.compared_with,
            "learning_rate": self.learning_rate,
            "seeds": self.section.seeds,
        }


def resolve_cases(
    dataset: str, parameters: schema.DataSet, history: pd.DataFrame, counts_k: np.ndarray
) -> list[Case]:
    """Decide every case of the data set's section on validation B, where it has one.

    ``history`` is that of the training, ``counts_k`` the samples of each class in validation B.
    """
    section, cases = parameters.reweight, []
    kinds: list[str] = []
    for entry in section.cases if section else []:
        kinds.append(entry.kind)
        number = kinds.count(entry.kind)
        key = entry.kind if number == 1 else f"{entry.kind}_{number}"
        cases.append(_resolve(key, entry, dataset, parameters, history, counts_k))
    return cases


def _resolve(
    key: str,
    entry: schema.Case,
    dataset: str,
    parameters: schema.DataSet,
    history: pd.DataFrame,
    counts_k: np.ndarray,
) -> Case:
    """Decide the epoch, the targets and the recipe of one case.

    An epoch that is ``auto`` is the one after the learning rate's peak from which to the next the
    classes lose most accuracy.
    """
    train, section = parameters.train, parameters.reweight
    assert section is not None
    assert not isinstance(train, schema.Logistic)  # it has no epochs, so params.yaml no cases
    on_b = history[history["split"] == "validation_b"]
    accuracy_ek = on_b.pivot(index="epoch", columns="class", values="accuracy")
    accuracy_ek = accuracy_ek[list(on_b["class"].unique())]
    epoch = entry.epoch
    if epoch == "auto":
        after_peak = max(1, train.epochs // 5) + 1
        epoch = after_peak + detrimental_epoch(accuracy_ek.loc[after_peak:].to_numpy())
    recipe = epoch_recipe(entry.recipe, train)
    return Case(
        key=key,
        kind=entry.kind,
        start=Start(dataset, parameters.device, parameters.threads, train, epoch, recipe),
        targets=_targets(entry, epoch, accuracy_ek, counts_k),
        compared_with=epoch + 1 if entry.kind == "course_correction" else epoch,
        learning_rate=None if entry.recipe == "as_trained" else entry.recipe.learning_rate,
        section=within_budget(section, entry.budget),
    )


def within_budget(
    section: schema.Reweight, budget: schema.Budget | Literal["full"]
) -> schema.Reweight:
    """Return the section at the expense that a case gets."""
    if budget == "full":
        return section
    methods = {
        "searches": section.searches[: budget.searches],
        "directions": section.directions[: budget.directions],
    }
    return section.model_copy(update={**budget.model_dump(), **methods})


def _targets(
    entry: schema.Case, epoch: int, accuracy_ek: pd.DataFrame, counts_k: np.ndarray
) -> list[int]:
    """Decide the targets: those that are named, or what is ``auto`` for the kind.

    Direct Improvement takes the lowest classes. Course Correction takes the classes that fell
    significantly to the next epoch, and if none or all of them did, those that fell most.
    """
    if entry.targets != "auto":
        return sorted(list(accuracy_ek.columns).index(name) for name in entry.targets)
    before_k, few = accuracy_ek.loc[epoch].to_numpy(), min(FEW, len(counts_k) - 1)
    if entry.kind == "direct_improvement":
        return lowest_classes(before_k, few)
    after_k = accuracy_ek.loc[epoch + 1].to_numpy()
    fallen = fallen_classes(before_k, after_k, counts_k)
    return fallen if 0 < len(fallen) < len(counts_k) else lowest_classes(after_k - before_k, few)


def epoch_recipe(entry: schema.Steps | Literal["as_trained"], train: schema.Epochs) -> Recipe:
    """Return how the extra epoch is trained: as the training was, or at a constant rate."""
    recipe = training_recipe(train)
    if entry == "as_trained":
        return recipe
    return replace(recipe, schedule="constant", **entry.model_dump())
