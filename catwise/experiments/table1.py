"""Find every method's weights for one case, and measure an epoch with them on untouched samples."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from catwise.ceiling.joint_direction import joint_weights
from catwise.config import schema
from catwise.core.progress import progress
from catwise.core.spread import Spread
from catwise.experiments.anchored_influence import AnchoredInfluence
from catwise.experiments.cases import Case
from catwise.experiments.epoch_measurements import EpochMeasurements, stack
from catwise.experiments.reweighted_epoch import Measured
from catwise.reweighting.candidates import CandidateProgram, sweep_thresholds
from catwise.reweighting.controls import kept_weights, shuffle_weights
from catwise.reweighting.fitness import fitness, relative_change
from catwise.reweighting.genetic_search import most_evaluations
from catwise.reweighting.pareto_lp_ga import pareto_lp_ga
from catwise.reweighting.table1 import (
    ALL_ONES,
    BEST_SEEDS,
    ORACLE,
    REFRESH,
    Method,
    Printed,
)

__all__ = ["ELITE", "Result", "Table1Experiment", "direction_method", "search_method"]

ELITE = 3  # candidates of a search that are measured anew under other seeds before one is chosen
FIRST_LUCKY_SEED = 1000  # of the search over seeds, far from those that are reported


@dataclass(frozen=True)
class Result:
    """Hold a method's weights and what epochs with them came to, (s, k) by split and measure.

    ``predicted_k`` is the fall of each class's mean loss to first order, where P is of the loss.
    """

    method: Method
    weights_n: np.ndarray
    measured: Measured
    predicted_k: np.ndarray | None = None


class Table1Experiment:
    """Run the methods of one case: P is from validation A, choices from B, results from test.

    Only the search as printed uses the test split for all three. Once ``run``, ``results`` holds
    the methods in the order of the tables, ``curve`` what the weights of moving thresholds came to,
    ``history`` the generations of the searches, and ``printed`` the accuracies of Table 1. Where
    no search is asked for there is neither of the last two, and no luckiest seed.
    """

    def __init__(
        self,
        case: Case,
        influence: AnchoredInfluence,
        flipped_n: np.ndarray,
        history: pd.DataFrame,
        raw: pd.DataFrame,
        spread: Spread,
    ) -> None:
        self.case, self.section = case, case.section
        self.influence, self.flipped_n = influence, flipped_n
        self.labels_n = influence.splits["train"][-1].cpu().numpy()
        self.ones_n = np.ones(len(self.labels_n))
        self._spread = spread
        self.epochs = EpochMeasurements(case, history, raw, self.ones_n, spread)
        self.results: list[Result] = []
        self.curve: list[tuple[Method, float, Measured]] = []
        self.history: list[dict[str, Any]] = []
        self.printed: Printed | None = None

    def run(self, label: str) -> None:
        """Run every method; ``label`` is that of the progress that is shown."""
        self._add(ALL_ONES, self.ones_n)
        if self.influence.has_batch_norm:
            (measured,) = self.epochs.repeat(["refresh"])
            self.results.append(Result(REFRESH, self.ones_n, measured))
        searches = [partial(self._search, option) for option in self.section.searches]
        directions = [partial(self._direction, option) for option in self.section.directions]
        methods: list[Callable[[], None]] = [*searches, *directions, self._oracle]
        if searches:
            methods += [self._best_seeds, self._as_printed]
        for run_method in progress(methods, label):
            run_method()

    @property
    def shown(self) -> list[Result]:
        """Return the first method and its shuffle, after the controls that need no weights."""
        section, results = self.section, {result.method: result for result in self.results}
        methods = [search_method(option) for option in section.searches[:1]]
        methods += [direction_method(option) for option in section.directions[:1]]
        keys = [REFRESH, ALL_ONES]
        for method in methods[:1]:
            keys += [method, replace(method, shuffled=1)]
        return [results[key] for key in keys if key in results]

    def _search(self, option: schema.Search) -> None:
        """Run Algorithm 1 with fitness on validation B, and sweep its thresholds without a search.

        A search that is not anchored at the start compares with the all-ones epoch, as its P does.
        The best few candidates are measured anew, as the best of many is partly the luckiest, and
        under seeds that are not reported, as the best of few is so too.
        """
        method, epochs = search_method(option), self.epochs
        p_nk = self._vectors(option.anchor)
        program = self._program(p_nk, option.rule, option.program)
        from_start = option.anchor == "start"
        before_k = epochs.compared_with("validation_b") if from_start else epochs.plain_k
        candidates = self._pareto_lp_ga(program, before_k, method, "validation_b")
        if not from_start:
            before_k = epochs.trial_control["accuracy"].mean(axis=0)
        best = self._fittest(before_k, epochs.trials(candidates))
        self._add(method, candidates[best], p_nk)
        if option == self.section.searches[0]:
            shuffled_n = shuffle_weights(candidates[best], np.random.default_rng(0))
            self._add(replace(method, shuffled=1), shuffled_n)
        genes, weights = zip(*sweep_thresholds(program, self.section.tradeoff), strict=True)
        for gene, measured in zip(genes, epochs.repeat(list(weights)), strict=True):
            self.curve.append((method, gene, measured))

    def _direction(self, option: schema.Direction) -> None:
        """Choose the step size whose worst class gains most, along the joint direction.

        The gain is in loss, net of the control, on validation B, under seeds that are not reported.
        """
        method, section, epochs = direction_method(option), self.section, self.epochs
        p_nk = self._vectors(option.anchor, option.filter, option.query)
        weights = [self._along(p_nk, option, size) for size in section.sizes]
        before_sk = epochs.trial_control["loss"]
        worst_gains = [
            (before_sk - measured["loss"]).mean(axis=0).min() for measured in epochs.trials(weights)
        ]
        best_n = weights[int(np.argmax(worst_gains))]
        self._add(method, best_n, p_nk if option.query == "loss" else None)
        if option == section.directions[0]:
            shuffled_n = shuffle_weights(best_n, np.random.default_rng(0), self.labels_n)
            self._add(replace(method, shuffled=1), shuffled_n)

    def _vectors(
        self, anchor: str, filter: str = "damped", query: str = "loss", at_n: Any = None
    ) -> np.ndarray:
        """Compute P (n, k) at an anchor; unrolled, with the weights ``at_n`` in place of ones."""
        if anchor != "unrolled":
            return self.influence.vectors(anchor, filter, query)
        weights_n = self.ones_n if at_n is None else at_n
        return self.influence.unrolled(self.section.unrolled, query, weights_n, self._spread)

    def _along(self, p_nk: np.ndarray, option: schema.Direction, size: float) -> np.ndarray:
        """Go along the joint direction; unrolled in equal steps, at each of which P is new."""
        again = self.section.unrolled.relinearise if option.anchor == "unrolled" else 0
        step = partial(
            joint_weights,
            labels_n=self.labels_n,
            size=size / (again + 1),
            w_max=self.section.w_max,
        )
        weights_n = step(p_nk)
        for _ in range(again):
            p_nk = self._vectors(option.anchor, option.filter, option.query, weights_n)
            weights_n = step(p_nk, start_n=weights_n)
        return weights_n

    def _oracle(self) -> None:
        if self.flipped_n.any():
            self._add(ORACLE, kept_weights(~self.flipped_n))

    def _best_seeds(self) -> None:
        """Train as many epochs of ones as a search has candidates, and report the fittest seeds.

        There are at least as many as are reported.
        """
        candidates = most_evaluations(self.section.generations, self.section.population)
        budget = max(candidates, len(self.epochs.seeds))
        jobs = [(self.ones_n, FIRST_LUCKY_SEED + number) for number in range(budget)]
        measured = self.epochs.measure(jobs, "validation_b")
        before_k = self.epochs.compared_with("validation_b")
        keys = [self._fitness(before_k, one["validation_b"]["accuracy"]) for one in measured]
        best = sorted(range(budget), key=keys.__getitem__, reverse=True)[: len(self.epochs.seeds)]
        measured = self.epochs.measure([jobs[number] for number in best], "validation_b", "test")
        self.results.append(Result(BEST_SEEDS, self.ones_n, stack(measured)))

    def _as_printed(self) -> None:
        """Run Algorithm 1 as printed: influence, fitness and report on the test split, one seed."""
        option = schema.Search(anchor="start", rule="printed", program="linear")
        p_nk = self.influence.vectors("start", split="test")
        program = self._program(p_nk, option.rule, option.program)
        before_k = self.epochs.compared_with("test")
        best_n = self._pareto_lp_ga(program, before_k, search_method(option), "test")[0]
        after, all_ones = self.epochs.measure([(best_n, 0), (self.ones_n, 0)], "test")
        case = self.case
        self.printed = Printed(
            before_k=self.epochs.at_epoch("test", case.start.epoch),
            original_k=before_k if case.compared_with > case.start.epoch else None,
            all_ones_k=all_ones["test"]["accuracy"],
            after_k=after["test"]["accuracy"],
        )

    def _program(self, p_nk: np.ndarray, rule: Any, program: str) -> CandidateProgram:
        section = self.section
        trust = section.trust if program == "quadratic" else None
        targets = self.case.targets
        return CandidateProgram(p_nk, targets, rule, section.slack, trust, section.w_max)

    def _pareto_lp_ga(
        self, program: CandidateProgram, before_k: np.ndarray, method: Method, split: str
    ) -> list[np.ndarray]:
        """Run Algorithm 1 with fitness on a split, log its generations, return the best few
        weights.
        """

        def train_one_epoch(weights: list[np.ndarray]) -> list[np.ndarray]:
            measured = self.epochs.measure([(weights_n, 0) for weights_n in weights], split)
            return [one[split]["accuracy"] for one in measured]

        search = pareto_lp_ga(
            program,
            train_one_epoch,
            before_k,
            generations=self.section.generations,
            population=self.section.population,
            seed=self.case.start.recipe.seed,
            keep=ELITE,
            merge=self.section.merge,
        )
        self.history += [{**method.columns, "split": split, **row} for row in search.history]
        return search.weights

    def _fittest(self, before_k: np.ndarray, measured: list[dict[str, np.ndarray]]) -> int:
        """Return the number of the candidate whose mean accuracy over the seeds is fittest."""
        keys = [self._fitness(before_k, one["accuracy"].mean(axis=0)) for one in measured]
        return max(range(len(keys)), key=keys.__getitem__)

    def _fitness(self, before_k: np.ndarray, after_k: np.ndarray) -> tuple[float, ...]:
        return tuple(fitness(relative_change(before_k, after_k), self.case.targets))

    def _add(self, method: Method, weights_n: np.ndarray, p_nk: np.ndarray | None = None) -> None:
        """Measure weights under the reported seeds, and predict their effect where P is given."""
        predicted_k = None
        if p_nk is not None:
            labels_m = self.influence.splits["validation_a"][-1].cpu()
            predicted_k = (weights_n - 1) @ p_nk / np.bincount(labels_m, minlength=p_nk.shape[1])
        (measured,) = self.epochs.repeat([weights_n])
        self.results.append(Result(method, weights_n, measured, predicted_k))


def search_method(option: schema.Search) -> Method:
    """Name the search that an option of the parameters asks for."""
    return Method("lp_ga", anchor=option.anchor, rule=option.rule, program=option.program)


def direction_method(option: schema.Direction) -> Method:
    """Name the joint direction that an option of the parameters asks for."""
    return Method("direction", anchor=option.anchor, filter=option.filter, query=option.query)
