"""Decide on validation B whether new weights are better than those before, with all its noise.

Both sides are trained with the same seeds and judged on the same samples, so the difference

    d_sm = [model s with the new weights is right on m] - [model s with the old ones is right on m]

is paired twice. The gain of class k is its mean over seeds and over the samples of the class. It is
noisy in two ways: other seeds, and other validation samples. The variance of each is taken from the
means over the other, and the two are added, which counts what both share twice and so errs on the
side of no gain:

    v_k = var_m(mean_s d_sm) / m_k + var_s(mean_m d_sm) / s

The best of many trials is partly the luckiest. So the choice itself is judged, by cross-fitting:
seeds and samples are halved, in each of the four cells stand the answers of the trial that is
chosen in the opposite cell, which shares neither seed nor sample with it, and the gain of these
answers is that of a choice made elsewhere. It needs no correction for the number of trials. What is
judged so is the way of choosing: the quarters may choose other trials than the one that is taken,
which therefore has to gain significantly by itself as well. A single trial is not chosen, and its
own gain is enough.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from catwise.core.errors import InputError
from catwise.core.statistics import Estimate

__all__ = ["Gain", "Rule", "accepted", "gain"]

BETTER = "another gains more"
POINTS = 100  # of accuracy, in a share of right answers of 1


@dataclass(frozen=True)
class Gain:
    """Hold what new weights do on validation samples, in shares of right answers.

    mean     of the mean class accuracy
    worst    of the accuracy of the worst class, its number chosen for either side, over all seeds
    class_k  of each class, with the ends ``low_k`` and ``high_k``
    """

    mean: Estimate
    worst: Estimate
    class_k: np.ndarray
    low_k: np.ndarray
    high_k: np.ndarray

    def __str__(self) -> str:
        """Say the gain of mean and worst class in points of accuracy."""
        mean, worst, low, lowest = (
            f"{round(POINTS * value, 9) + 0.0:+.2g}"  # 0 where it is but rounding, and never -0
            for value in (self.mean.value, self.worst.value, self.mean.low, self.worst.low)
        )
        return (
            f"{mean} points in the mean (95 %: at least {low}),"
            f" {worst} in the worst class (at least {lowest})"
        )

    @property
    def better(self) -> np.ndarray:
        """Number the classes that gain significantly."""
        return np.flatnonzero(self.low_k > 0)

    @property
    def worse(self) -> np.ndarray:
        """Number the classes that lose significantly."""
        return np.flatnonzero(self.high_k < 0)


def gain(
    right_sm: np.ndarray, before_sm: np.ndarray, labels_m: np.ndarray, level: float = 0.05
) -> Gain:
    """Compute the gain of right answers over those ``before``, with intervals.

    Both are (s, m), a row for each seed, in the same order. The intervals of the classes are of
    1 - ``level``; the lower ends of mean and worst are one-sided at ``level``, each by itself. The
    variance errs on the safe side by so much that a choice without effect is accepted in about
    ``level`` of all cases although either of the two is enough (tested); where the seed decides
    nothing in a training, there is less of that, and it is somewhat more often. Student's t has the
    degrees of freedom of Welch and Satterthwaite. The worst class of each side is the one of lowest
    accuracy over all of its seeds.

    Raises InputError for fewer than two seeds, and for a class with fewer than two samples.
    """
    right_sm, before_sm = np.asarray(right_sm, float), np.asarray(before_sm, float)
    if right_sm.shape != before_sm.shape or len(right_sm) < 2:
        raise InputError(
            "seeds: expected the same two or more on both sides;"
            f" got {right_sm.shape} and {before_sm.shape}"
        )
    sizes_k = np.bincount(labels_m)
    if sizes_k.min() < 2:
        raise InputError(
            "validation B: expected two samples or more of every class;"
            f" got {sizes_k.min()} of class {sizes_k.argmin()}"
        )
    return _gain(right_sm, before_sm, labels_m, level)


def _gain(right_sm: np.ndarray, before_sm: np.ndarray, labels_m: np.ndarray, level: float) -> Gain:
    """Compute the gain; of one seed, or of one sample of a class, the noise is not known."""
    members = [np.flatnonzero(labels_m == k) for k in np.unique(labels_m)]
    changes = [_Change((right_sm - before_sm)[:, rows]) for rows in members]
    of_class = [change.estimate(1 - level / 2) for change in changes]
    new, old = (_lowest(values_sm, members) for values_sm in (right_sm, before_sm))
    if new == old:
        worst = changes[new]
    else:
        worst = _Change(right_sm[:, members[new]]) - _Change(before_sm[:, members[old]])
    return Gain(
        _mean(changes).estimate(1 - level),
        worst.estimate(1 - level),
        np.array([one.value for one in of_class]),
        np.array([one.low for one in of_class]),
        np.array([one.high for one in of_class]),
    )


def accepted(gain: Gain) -> bool:
    """Tell whether the mean or the worst class gains significantly while neither of them falls.

    What a class may lose is asked of the ``Rule``.
    """
    falls = min(gain.mean.value, gain.worst.value) < 0
    return (gain.mean.low > 0 or gain.worst.low > 0) and not falls


@dataclass(frozen=True)
class Rule:
    """Choose among trials by their right answers (s, m), beside those ``before``.

    labels_m      the classes of the samples of validation B
    plain_sm      the answers of plain training, those before where it is left out: what a class may
                  lose is counted from them, so that many small losses do not add up over the rounds
    level         that of the intervals
    allowed_loss  how many points of accuracy a class that loses significantly may lose at most
    classes       the names of the classes, their numbers where left out
    """

    labels_m: np.ndarray
    plain_sm: np.ndarray | None = None
    level: float = 0.05
    allowed_loss: float = 0.0
    classes: Sequence[str] | None = None

    def gain(self, right_sm: np.ndarray, before_sm: np.ndarray) -> Gain:
        """Compute the gain of right answers over those before."""
        return gain(right_sm, before_sm, self.labels_m, self.level)

    def refusals(self, trials: Sequence[np.ndarray], before_sm: np.ndarray) -> list[str]:
        """Say why a round does not take each trial; of the one that it takes, nothing.

        It takes the ``choice`` among the trials, where both its own gain and that of the
        ``crossfitted_choice`` are accepted. Of a single trial there is no choice to be judged.
        """
        best = self.choice(trials, before_sm)
        reasons = []
        for number, right_sm in enumerate(trials):
            step = self._step(right_sm, before_sm)
            reason = self._objection(right_sm, step)
            if not (reason or accepted(step)):
                reason = "no sure gain, neither in the mean nor in the worst class"
            reasons.append(reason or (BETTER if number != best else ""))
        if best is not None and not reasons[best] and len(trials) > 1:
            judged = self.gain(self.crossfitted_choice(trials, before_sm), before_sm)
            if not accepted(judged):
                reasons[best] = f"not confirmed by cross-fitting the choice: {judged}"
                other = "the choice among the proposals is not confirmed by cross-fitting"
                reasons = [other if reason == BETTER else reason for reason in reasons]
        return reasons

    def choice(self, trials: Sequence[np.ndarray], before_sm: np.ndarray) -> int | None:
        """Number the trial with the largest sum of both gains, mean and worst; None without one.

        Neither of the two may fall, and no class may lose more than is allowed. One seed is enough.
        """
        numbers, worth = [], []
        for number, right_sm in enumerate(trials):
            step = self._step(right_sm, before_sm)
            if not self._objection(right_sm, step):
                numbers.append(number)
                worth.append(step.mean.value + step.worst.value)
        return numbers[int(np.argmax(worth))] if numbers else None

    def crossfitted_choice(self, trials: Sequence[np.ndarray], before_sm: np.ndarray) -> np.ndarray:
        """Return the answers (s, m) of the ``choice`` in the opposite quarter, or those before.

        A half of the samples holds every second one of each class.
        """
        labels_m = self.labels_m
        plain_sm = before_sm if self.plain_sm is None else self.plain_sm
        rank_m = np.empty(len(labels_m), dtype=int)
        for k in np.unique(labels_m):
            rank_m[labels_m == k] = np.arange((labels_m == k).sum())
        half_m, half_s = rank_m % 2, np.arange(len(before_sm)) % 2
        choice_sm = before_sm.copy()
        for seeds in (0, 1):
            for samples in (0, 1):
                rest = np.ix_(half_s != seeds, half_m != samples)
                there = replace(self, labels_m=labels_m[half_m != samples], plain_sm=plain_sm[rest])
                number = there.choice([right_sm[rest] for right_sm in trials], before_sm[rest])
                if number is not None:
                    cell = np.ix_(half_s == seeds, half_m == samples)
                    choice_sm[cell] = trials[number][cell]
        return choice_sm

    def _step(self, right_sm: np.ndarray, before_sm: np.ndarray) -> Gain:
        """Compute the gain, of one seed too."""
        return _gain(right_sm, np.asarray(before_sm, float), self.labels_m, self.level)

    def _objection(self, right_sm: np.ndarray, step: Gain) -> str:
        """Say what forbids to choose a trial, whatever it gains; nothing where it is allowed."""
        for what, estimate in (("mean", step.mean), ("worst class", step.worst)):
            if estimate.value < 0:
                return f"the {what} falls"
        net = step if self.plain_sm is None else self._step(right_sm, self.plain_sm)
        losses_k = np.where(net.high_k < 0, -POINTS * net.class_k, 0.0)
        k = int(losses_k.argmax())
        if losses_k[k] <= self.allowed_loss:
            return ""
        name = k if self.classes is None else self.classes[k]
        least = -POINTS * net.high_k[k]
        return f"class {name} loses {losses_k[k]:.2g} points (at least {least:.2g})"


class _Change:
    """Hold the mean of values (s, m) by seed, and the variances that samples and seeds give it."""

    def __init__(self, values_sm: np.ndarray) -> None:
        self.mean_s = values_sm.mean(axis=1)
        self.freedom = max(values_sm.shape[1] - 1, 1)
        self.samples = float(values_sm.mean(axis=0).var() / self.freedom)

    def __sub__(self, other: "_Change") -> "_Change":
        """Return the difference to other samples of the same seeds."""
        difference = copy(self)
        difference.mean_s = self.mean_s - other.mean_s
        difference.samples = self.samples + other.samples
        difference.freedom = self.freedom + other.freedom
        return difference

    def estimate(self, quantile: float) -> Estimate:
        """Return the mean with Student's interval from -t to t at this quantile."""
        freedom = max(len(self.mean_s) - 1, 1)
        seeds = float(self.mean_s.var() / freedom)
        variance, value = self.samples + seeds, float(self.mean_s.mean())
        if variance == 0:
            return Estimate(value, value, value)
        parts = self.samples**2 / self.freedom + seeds**2 / freedom
        margin = float(stdtrit(variance**2 / parts, quantile)) * variance**0.5
        return Estimate(value, value - margin, value + margin)


def _mean(changes: list[_Change]) -> _Change:
    """Return the mean over classes."""
    mean = copy(changes[0])
    mean.mean_s = np.mean([change.mean_s for change in changes], axis=0)
    mean.samples = sum(change.samples for change in changes) / len(changes) ** 2
    mean.freedom = sum(change.freedom for change in changes)
    return mean


def _lowest(values_sm: np.ndarray, members: list[np.ndarray]) -> int:
    """Return the class with the lowest share of right answers."""
    return int(np.argmin([values_sm[:, rows].mean() for rows in members]))
