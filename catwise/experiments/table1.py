"""Every method's weights for one case, and what an epoch with them does to each class on a split nobody chose by."""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from catwise.ceiling import verdict
from catwise.core.progress import progress
from catwise.experiments.anchored_influence import Anchors
from catwise.experiments.cases import Case
from catwise.experiments.reweighted_epoch import Job, Measured, taken
from catwise.experiments.workers import Spread
from catwise.reweighting import controls, joint_direction, pareto_lp_ga, table1
from catwise.reweighting.controls import shuffled
from catwise.reweighting.fitness import fitness, relative_change

__all__ = ["Arms"]

ELITE = 3  # of a search's candidates, measured anew under other seeds before one is chosen
LUCKY = 1000  # the seed from which the search over seeds counts, far from those that are reported
ORACLE = "oracle: no flipped label"
BOTH = ("validation_b", "test")
ANCHORED = (
    ("start", "damped"),
    ("end", "horizon"),
)  # the headroom as printed, and beyond plain training


class Arms:
    """Validation A gives P, validation B every choice, test the tables; only ``printed`` uses test for all.

    ``weights``: of each method. ``measured``: of each method, split to (s, 2, k), s the seeds, then accuracy and loss.
    Seed 0 is that of the training: the searches' and the control's whose end point is an anchor. Reported are others.
    """

    def __init__(
        self,
        case: Case,
        chosen: Any,
        anchors: Anchors,
        flipped_n: np.ndarray,
        history: pd.DataFrame,
        spread: Spread,
    ) -> None:
        self.case, self.chosen, self.anchors, self.flipped_n, self.spread = (
            case,
            chosen,
            anchors,
            flipped_n,
            spread,
        )
        self.history = history[history["epoch"].isin([case.start.epoch, case.reference])]
        self.labels_n = anchors.splits["train"][-1].cpu().numpy()
        self.ones_n = np.ones(len(self.labels_n))
        self.seeds = range(1, chosen.seeds + 1)
        self.weights: dict[str, np.ndarray] = {}
        self.measured: dict[str, Measured] = {}
        self.predicted: dict[str, np.ndarray] = {}  # fall of each class's mean loss, to first order
        self.searched: list[dict[str, Any]] = []
        self.printed: list[dict[str, Any]] = []
        self.curve: list[dict[str, Any]] = []

    def run(self, label: str) -> None:
        """``label``: of the progress that is shown."""
        self._add("all ones", self.ones_n)
        searches = [
            partial(self._search, option, place == 0)
            for place, option in enumerate(self.chosen.searches)
        ]
        directions = [
            partial(self._direction, option, place == 0)
            for place, option in enumerate(self.chosen.directions)
        ]
        steps: list[Callable[[], Any]] = [
            *searches,
            *directions,
            self._oracle,
            self._luck,
            self._print,
        ]
        names = [step() for step in progress(steps, label)]
        self.headline = {"search": names[0], "direction": names[len(searches)]}

    def _search(self, option: Any, shuffle: bool) -> str:
        """Algorithm 1 with fitness on validation B, and the trade-off curve of the same program without a search.

        A search anchored at the end compares with the all-ones epoch, as its P does.
        """
        name = f"LP-GA {option.rule} {option.program}, {option.anchor}"
        p_nk = self.anchors.vectors(option.anchor)
        before_k = self.reference("validation_b") if option.anchor == "start" else self._plain
        line = self._line(p_nk, option.rule, option.program)
        best = self._lp_ga(line, before_k, name, "validation_b")
        again = self._report(best)
        if option.anchor == "end":
            before_k = self._control["validation_b"][:, 0].mean(axis=0)

        def keys(place: int) -> tuple[float, ...]:
            change_k = relative_change(before_k, again[place]["validation_b"][:, 0].mean(axis=0))
            return tuple(fitness(change_k, self.case.targets))

        first = max(range(len(best)), key=keys)
        self._add(name, best[first], p_nk)
        if shuffle:
            self._add(f"shuffled {name}", shuffled(best[first], np.random.default_rng(0)))
        for gene, measured in self._swept(line):
            self.curve += self._points(name, gene, measured)
        return name

    def _direction(self, option: Any, shuffle: bool) -> str:
        """Of all sizes that with the best worst class in loss, net of the control, on validation B."""
        name = f"maximin {option.measure} {option.filter}, {option.anchor}"
        p_nk = self.anchors.vectors(option.anchor, option.filter, option.measure)
        weights = joint_direction.joint(p_nk, self.labels_n, self.chosen.sizes, self.chosen.w_max)
        worst = [
            self._net(found, "validation_b", 1).mean(axis=0).min()
            for found in self._report(weights)
        ]
        best = weights[int(np.argmax(worst))]
        self._add(name, best, p_nk if option.measure == "loss" else None)
        if shuffle:
            self._add(f"shuffled {name}", shuffled(best, np.random.default_rng(0), self.labels_n))
        return name

    def _oracle(self) -> None:
        if self.flipped_n.any():
            self._add(ORACLE, controls.drop(self.flipped_n))

    def _luck(self) -> None:
        """As many epochs of ones as a search has evaluations, under other seeds; the best few by its fitness on B."""
        budget = self.chosen.population + self.chosen.generations * (
            self.chosen.population * 3 // 4
        )
        seeds = range(LUCKY, LUCKY + budget)
        found = self._taken([(self.ones_n, seed) for seed in seeds], ("validation_b",))
        before_k = self.reference("validation_b")
        changes = (relative_change(before_k, measured["validation_b"][0]) for measured in found)
        fit = [tuple(fitness(change_k, self.case.targets)) for change_k in changes]
        best = sorted(range(budget), key=fit.__getitem__, reverse=True)[: len(self.seeds)]
        jobs = [(self.ones_n, seeds[place]) for place in best]
        self._keep("all ones, best seeds", self.ones_n, _stacked(self._taken(jobs, BOTH)))

    def _taken(self, jobs: list[Job], measured_on: tuple[str, ...]) -> list[Measured]:
        return taken(self.case.start, jobs, measured_on, self.spread)

    def _line(self, p_nk: np.ndarray, rule: Any, program: str) -> pareto_lp_ga.Linear:
        trust = self.chosen.trust if program == "quadratic" else None
        return pareto_lp_ga.Linear(
            p_nk, self.case.targets, rule, self.chosen.slack, trust, self.chosen.w_max
        )

    def _lp_ga(
        self, line: pareto_lp_ga.Linear, before_k: np.ndarray, name: str, split: str
    ) -> list[np.ndarray]:
        def accuracy(weights: list[np.ndarray]) -> list[np.ndarray]:
            found = self._taken([(w_n, 0) for w_n in weights], (split,))
            return [measured[split][0] for measured in found]

        size = {"generations": self.chosen.generations, "population": self.chosen.population}
        found = pareto_lp_ga.lp_ga(
            line, accuracy, before_k, seed=self.case.start.train.seed, keep=ELITE, **size
        )
        self.searched += [{"search": name} | row for row in found.history]
        return found.best

    def _swept(self, line: pareto_lp_ga.Linear) -> list[tuple[float, Measured]]:
        points = pareto_lp_ga.sweep(line, self.chosen.tradeoff)
        return [
            (gene, found)
            for (gene, _), found in zip(
                points, self._report([w_n for _, w_n in points]), strict=True
            )
        ]

    def _add(self, name: str, weights_n: np.ndarray, p_nk: np.ndarray | None = None) -> None:
        self._keep(name, weights_n, self._report([weights_n])[0])
        if p_nk is not None:
            counts_k = np.bincount(
                self.anchors.splits["validation_a"][-1].cpu(), minlength=p_nk.shape[1]
            )
            self.predicted[name] = (weights_n - 1) @ p_nk / counts_k

    def _keep(self, name: str, weights_n: np.ndarray, measured: Measured) -> None:
        self.weights[name], self.measured[name] = weights_n, measured

    def _report(self, weights: list[np.ndarray]) -> list[Measured]:
        """Of each of the weights, split to (s, 2, k), under the reported seeds."""
        found = self._taken([(w_n, seed) for w_n in weights for seed in self.seeds], BOTH)
        return [
            _stacked(found[at : at + len(self.seeds)])
            for at in range(0, len(found), len(self.seeds))
        ]

    def _net(self, measured: Measured, split: str, number: int) -> np.ndarray:
        """(s, k): what the method has beyond the control of the same seed; positive is better, of losses too."""
        return (-1) ** number * (measured[split][:, number] - self._control[split][:, number])

    def _effect(self, measured: Measured, number: int) -> table1.Net:
        return table1.net_effect(
            self._net(measured, "test", number), np.zeros_like(measured["test"][:, number])
        )

    @cached_property
    def _control(self) -> Measured:
        return self._report([self.ones_n])[0]

    @cached_property
    def _plain(self) -> np.ndarray:
        return self._taken([(self.ones_n, 0)], ("validation_b",))[0]["validation_b"][0]

    def reference(
        self, split: str, epoch: int | None = None, measure: str = "accuracy"
    ) -> np.ndarray:
        """Each class at the epoch that a result is compared with, or at another one, in the history of the training."""
        epoch = self.case.reference if epoch is None else epoch
        rows = self.history[(self.history["split"] == split) & (self.history["epoch"] == epoch)]
        return rows[measure].to_numpy()

    def tables(self, classes: list[str]) -> dict[str, list[dict[str, Any]]]:
        found = [
            row
            for name, measured in self.measured.items()
            for row in self._rows(name, measured, classes)
        ]
        points = [
            row
            for name, measured in self.measured.items()
            for row in self._points(name, None, measured)
        ]
        return {
            "room": self._room(classes),
            "table": found,
            "printed": [{**row, "class": classes[row["class"]]} for row in self.printed],
            "history": self.searched,
            "tradeoff": self.curve + points,
        }

    def _rows(self, name: str, measured: Measured, classes: list[str]) -> list[dict[str, Any]]:
        rows = []
        for number, measure in enumerate(("accuracy", "loss")):
            net = self._effect(measured, number)
            means = {
                "before": self.reference("test", measure=measure),
                "control": self._control["test"][:, number].mean(axis=0),
                "after": measured["test"][:, number].mean(axis=0),
                "predicted": self.predicted.get(name) if number else None,
            }
            rows += table1.long(
                {"method": name, "measure": measure}, classes, self.case.targets, means, net
            )
        return rows

    def _points(self, name: str, gene: float | None, measured: Measured) -> list[dict[str, Any]]:
        rows = []
        for number, measure in enumerate(("accuracy", "loss")):
            gain, worst = pareto_lp_ga.tradeoff(
                self._net(measured, "test", number), self.case.targets
            )
            rows.append(
                {
                    "method": name,
                    "gene": gene,
                    "measure": measure,
                    "target_gain": gain,
                    "worst_other": worst,
                }
            )
        return rows

    def _room(self, classes: list[str]) -> list[dict[str, Any]]:
        """Does the epoch have room for a joint improvement, and has it any beyond what plain training brings?"""
        rows = []
        for anchor, filter in ANCHORED:
            p_nkb = self.anchors.binned(anchor, filter)
            found, p_nk = verdict.check_ceiling(p_nkb), p_nkb.sum(axis=2)
            figures = {"headroom": found.headroom.value, "crossfitted": found.crossfitted.value}
            ends = {"low": found.crossfitted.low, "high": found.crossfitted.high}
            drift = float((np.abs(p_nk.sum(axis=0)) / np.abs(p_nk).sum(axis=0)).max())
            said = {"sum_over_mass": drift, "verdict": verdict.verdict(found, tuple(classes))}
            rows.append({"anchor": anchor, "filter": filter, **figures, **ends, **said})
        return rows

    def _print(self) -> None:
        """Table 1: influence, fitness and report on one split, test; one seed, no control. Ours beside it: all ones."""
        line = self._line(self.anchors.vectors("start", on="test"), "printed", "linear")
        before_k = self.reference("test")
        best = self._lp_ga(line, before_k, "as printed, one split", "test")[0]
        after_k, ones_k = (
            found["test"][0] for found in self._taken([(best, 0), (self.ones_n, 0)], ("test",))
        )
        start_k = self.reference("test", self.case.start.epoch)
        self.printed = [
            {
                "class": row.category,
                "target": row.target,
                "before": start_k[row.category],
                "original": row.before if self.case.reference > self.case.start.epoch else None,
                "all_ones": ones_k[row.category],
                "after": row.after,
                "change": row.change,
            }
            for row in table1.rows(before_k, after_k, self.case.targets)
        ]

    def summary(self) -> dict[str, Any]:
        """Of the first search and the first direction, net of the control: what the worst class gains, how many are
        significantly hurt, in accuracy and in loss; how well the weights find the flipped labels."""
        found: dict[str, Any] = {"case": self.case.name}
        for short, name in self.headline.items():
            for number, measure in enumerate(("accuracy", "loss")):
                net = self._effect(self.measured[name], number)
                found |= {
                    f"{short}.{measure}.worst": net.mean_k.min(),
                    f"{short}.{measure}.hurt": len(net.worse),
                }
            if self.flipped_n.any():
                found[f"{short}.flipped_auc"] = roc_auc_score(self.flipped_n, -self.weights[name])
        return found


def _stacked(found: list[Measured]) -> Measured:
    return {split: np.stack([measured[split] for measured in found]) for split in found[0]}
