"""Measure what an epoch with given weights does to every class, beside the same epoch without."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from catwise.core.spread import Spread
from catwise.experiments.cases import Case
from catwise.experiments.reweighted_epoch import Job, Measured, Weights, measure_epochs
from catwise.reweighting.table1 import Net, net_effect

__all__ = ["MEASURES", "EpochMeasurements"]

MEASURES = ("accuracy", "loss")
REPORTED = ("validation_b", "test")
FIRST_OTHER_SEED = 500  # of those that choices are made with, far from those that are reported


class EpochMeasurements:
    """Measure epochs of one case, and compare them with the control, an epoch of all ones.

    Seed 0 is that of the training: the searches use it, and so does the control whose end point is
    an anchor. Seeds 1 to ``seeds`` are those that are reported. Choices are made with as many
    others, because what a training owes to its seed shows on all splits.
    """

    def __init__(
        self,
        case: Case,
        history: pd.DataFrame,
        raw: pd.DataFrame,
        ones_n: np.ndarray,
        spread: Spread,
    ) -> None:
        self._case, self._history, self._raw = case, history, raw
        self._ones_n, self._spread = ones_n, spread
        self.seeds = range(1, case.section.seeds + 1)
        self._others = range(FIRST_OTHER_SEED, FIRST_OTHER_SEED + case.section.seeds)

    def measure(self, jobs: Sequence[Job], *splits: str) -> list[Measured]:
        """Measure each class on the splits, (k,), after an epoch with each job's weights."""
        return measure_epochs(self._case.start, jobs, splits, self._spread)

    def repeat(self, weights: Sequence[Weights]) -> list[Measured]:
        """Measure each of the weights under every reported seed: (s, k)."""
        return self._under(self.seeds, weights, REPORTED)

    def trials(self, weights: Sequence[Weights]) -> list[dict[str, np.ndarray]]:
        """Measure each of the weights on validation B under every seed for choices: (s, k)."""
        measured = self._under(self._others, weights, ("validation_b",))
        return [one["validation_b"] for one in measured]

    def _under(
        self, seeds: range, weights: Sequence[Weights], splits: tuple[str, ...]
    ) -> list[Measured]:
        jobs = [(one, seed) for one in weights for seed in seeds]
        measured, count = self.measure(jobs, *splits), len(seeds)
        return [stack(measured[at : at + count]) for at in range(0, len(measured), count)]

    @cached_property
    def control(self) -> Measured:
        """Return the epoch of all ones under every reported seed: (s, k)."""
        return self.repeat([self._ones_n])[0]

    @cached_property
    def trial_control(self) -> dict[str, np.ndarray]:
        """Return the epoch of all ones on validation B under every seed for choices: (s, k)."""
        return self.trials([self._ones_n])[0]

    @cached_property
    def plain_k(self) -> np.ndarray:
        """Return the accuracy on validation B after all ones under the training's seed: (k,)."""
        (measured,) = self.measure([(self._ones_n, 0)], "validation_b")
        return measured["validation_b"]["accuracy"]

    def net(self, measured: Measured, measure: str) -> np.ndarray:
        """Compute the gain on the test split beyond the control of the same seed: (s, k)."""
        gain_sk = measured["test"][measure] - self.control["test"][measure]
        return gain_sk if measure == "accuracy" else -gain_sk

    def effect(self, measured: Measured, measure: str) -> Net:
        """Compute the net effect on the test split, with its interval over the seeds."""
        net_sk = self.net(measured, measure)
        return net_effect(net_sk, np.zeros_like(net_sk))

    def at_epoch(self, split: str, epoch: int, measure: str = "accuracy") -> np.ndarray:
        """Look up each class in the history of the training: (k,)."""
        history = self._history
        rows = history[(history["split"] == split) & (history["epoch"] == epoch)]
        return rows[measure].to_numpy()

    def raw_before(self, measure: str) -> np.ndarray:
        """Look up the same on the test split as the training left it, not refreshed: (k,)."""
        if self._raw.empty:  # then nothing was refreshed
            return self.compared_with("test", measure)
        raw, epoch = self._raw, self._case.compared_with
        rows = raw[(raw["split"] == "test") & (raw["epoch"] == epoch)]
        return rows[measure].to_numpy()

    def compared_with(self, split: str, measure: str = "accuracy") -> np.ndarray:
        """Look up each class at the epoch with which results are compared: (k,)."""
        return self.at_epoch(split, self._case.compared_with, measure)


def stack(measured: list[Measured]) -> Measured:
    """Stack measurements under several seeds: (s, k) from s of (k,)."""
    return {
        split: {measure: np.stack([one[split][measure] for one in measured]) for measure in values}
        for split, values in measured[0].items()
    }
