"""Hold a verdict (room, a ceiling, or why nothing can be told), and say it in words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Literal

import numpy as np

from catwise.core.statistics import Estimate

__all__ = ["Answer", "Verdict"]

Answer = Literal[
    "room", "ceiling", "too_few_samples", "not_predictive", "not_confirmed", "low_coverage"
]
LARGE_FACTOR = 100  # more samples than that nobody will get
COVERED = 0.5  # of the trained parameters; influence on fewer shows no ceiling
SUBSETS = "retrained subsets"
OF_THE_MASS = "of the most that weights from 0 to 2 could change it"


@dataclass(frozen=True)
class Verdict:
    """Hold the answer and what it rests on.

    crossfitted     the cross-fitted headroom, a share of the influence mass
    blocking        the two classes most in each other's way, and the exchange rate
    worst           the class that gains least, and its gain in nats (``loss``) and in points of
                    accuracy (``points``); None without retrainings, like the rest
    unsure          the class that sets the low end of ``loss``, where it is another one
    small_gain      what counts as a small gain, in points
    slope           realised on predicted gains over the retrained subsets, and their Spearman's
    rank_score      rho; the number of a class's own samples is held fixed in both
    joint           what the mixture of classes that weights can raise least would gain, in nats
    wrong           classes that change against their prediction
    factor          how many times as many ``more`` would settle it, where the answer waits for them
    coverage        the share of the trained parameters that influence covers; None if not known
    absent          classes without a training sample
    trial_class     the class that gained least in trainings with the weights of a verdict of room
    trial_gain      what it gained there, in nats; both None where there were no such trainings
    """

    answer: Answer
    crossfitted: Estimate
    blocking: tuple[str, str]
    exchange_rate: float
    worst: str | None = None
    unsure: str | None = None
    loss: Estimate | None = None
    points: Estimate | None = None
    small_gain: float | None = None
    slope: Estimate | None = None
    rank_score: Estimate | None = None
    joint: Estimate | None = None
    wrong: tuple[str, ...] = ()
    factor: float | None = None
    more: Literal["validation samples", "retrained subsets"] = "validation samples"
    coverage: float | None = None
    absent: tuple[str, ...] = ()
    trial_class: str | None = None
    trial_gain: float | None = None

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Verdict":
        """Return the verdict that ``dataclasses.asdict`` made a record of."""
        estimates = {
            name: Estimate(**record[name])
            for name in ("crossfitted", "loss", "points", "slope", "rank_score", "joint")
            if record[name] is not None
        }
        tuples = {name: tuple(record[name]) for name in ("blocking", "wrong", "absent")}
        return cls(**{**record, **estimates, **tuples})

    def within(self, coverage: float, absent: tuple[str, ...]) -> "Verdict":
        """Return the verdict with what limits it; of a small part of a model it shows no ceiling.

        >>> estimate = Estimate(0.0, 0.0, 0.01)
        >>> Verdict("ceiling", estimate, ("cat", "dog"), 1.0).within(0.03, ()).sentence
        'cannot tell: influence covers 3 % of the trained parameters, too few to show a ceiling'
        """
        hidden = self.answer == "ceiling" and coverage < COVERED
        answer: Answer = "low_coverage" if hidden else self.answer
        return replace(self, answer=answer, coverage=coverage, absent=absent)

    def after_training(self, classes: Sequence[str], gain_k: np.ndarray) -> "Verdict":
        """Return a verdict of room, after trainings with its weights gave each class ``gain_k``.

        P speaks of small steps, and random halves of steps in all directions. What all classes
        should gain is one far step in one direction, in which P may fail where it predicts halves.
        Gains are in nats.

        >>> verdict = Verdict("room", Estimate(0.1, 0.05, 0.2), ("cat", "dog"), 1.0)
        >>> verdict = verdict.after_training(["cat", "dog"], np.array([0.02, -0.01]))
        >>> verdict.answer, verdict.trial_class, verdict.trial_gain
        ('not_confirmed', 'dog', -0.01)
        """
        k = int(gain_k.argmin())
        answer: Answer = "room" if gain_k[k] > 0 else "not_confirmed"
        return replace(self, answer=answer, trial_class=classes[k], trial_gain=float(gain_k[k]))

    def __str__(self) -> str:
        return self.sentence

    @property
    def calibrated(self) -> bool:
        """Tell whether retrainings were at hand."""
        return self.slope is not None

    @property
    def predicts_each(self) -> bool:
        """Tell whether influence was shown to predict what each class gains, if not all at once."""
        if self.slope is None or self.rank_score is None:
            return False
        return self.slope.low > 0 and self.rank_score.low > 0 and not self.wrong

    @property
    def sentence(self) -> str:
        """Say the answer in words, with its interval."""
        if self.answer == "low_coverage":
            return (
                f"cannot tell: influence covers {self._covered} % of the trained parameters, too"
                " few to show a ceiling"
            )
        if self.answer == "not_confirmed":
            assert self.trial_gain is not None
            return (
                "cannot tell: influence predicts that every class gains, but in trainings with such"
                f" weights class {self.trial_class} lost {-self.trial_gain:.2g} nats"
            )
        slope, score = self.slope, self.rank_score
        if slope is None or score is None or self.loss is None or self.points is None:
            return self._of_the_mass
        low_end = f", the low end that of class {self.unsure}" if self.unsure else ""
        gain = (
            f"{self.loss.value:.2g} nats ({_ends(self.loss)}{low_end}); the smallest gain in"
            f" accuracy is {_short(self.points.value)} points ({_ends(self.points)})"
        )
        if self.answer == "not_predictive":
            wrong = f"; against their prediction change {', '.join(self.wrong)}"
            if self.predicts_each:
                return self._not_joint
            return (
                "cannot tell: influence does not predict retraining here, apart from the effect of"
                f" how many samples of a class are left; slope {slope.value:.2g} ({_ends(slope)}),"
                f" rank correlation {score.value:.2g} ({_ends(score, limit=1)})"
                f"{wrong if self.wrong else ''}"
            )
        if self.answer == "room":
            sentence = f"room: every class can gain at once, class {self.worst} least, with {gain}"
            if self.points.high < 0:
                sentence += "; decided in loss, the accuracy of a class falls"
            elif self.points.low <= 0:
                sentence += "; decided in loss, accuracy may stay as it is"
            if self.trial_gain is not None:
                sentence += (
                    f"; in trainings with such weights class {self.trial_class} gained least,"
                    f" {self.trial_gain:.2g} nats"
                )
            return sentence
        if self.answer == "ceiling":
            return (
                f"at its ceiling: no room of {self.small_gain:g} points is shown;"
                f" class {self.worst} gains least, with {gain}; {self._blocked}"
            )
        return f"cannot tell: too few {self.more}; class {self.worst} gains least, with {gain}"

    @property
    def scope(self) -> str:
        """Say what the verdict does not speak of."""
        checked = "" if self.calibrated else ", and not checked by retraining"
        limit = " that leave each class its share" if self.calibrated else ""
        words = (
            f"The verdict is about other weights for these samples{limit}{checked}; new samples,"
            " another model or longer training may still help."
        )
        if self._covered != "100":
            words += f" It speaks of {self._covered} % of the trained parameters and of no others."
        if self.absent:
            names = " or ".join(self.absent)
            words += f" No training sample has the label {names}: weights cannot make up for that."
        return words

    @property
    def remedy(self) -> str:
        """Say what would settle the question."""
        return self.remedy_with(SUBSETS)

    def remedy_with(self, subsets: str) -> str:
        """Say what would settle the question, with the reader's words for retrained subsets."""
        more = subsets if self.more == SUBSETS else self.more
        if self.answer == "low_coverage":
            return (
                "It takes a model of layers that influence covers; embeddings are covered with"
                " embeddings=True."
            )
        if self.answer == "not_predictive":
            if self.predicts_each and self.factor is not None and self.factor <= LARGE_FACTOR:
                return (
                    f"About {max(self.factor, 1.1):.2g} times as many {subsets} would show"
                    " it, if the gain of the mixture is what it seems."
                )
            return f"More {subsets} may settle it."
        if self.answer == "not_confirmed":
            return "Weights nearer to 1 may gain; `improve` judges them by new trainings."
        if self.answer == "too_few_samples":
            if self.factor is None or self.factor > LARGE_FACTOR:
                return f"Even {LARGE_FACTOR} times as many {more} may not settle it."
            return f"About {max(self.factor, 1.1):.2g} times as many {more} would settle it."
        if not self.calibrated:
            return "Retraining on random halves would check it."
        if self.answer == "room":
            return "A training with the weights, measured on other samples, settles it."
        return "It is settled for these samples and this model."

    @property
    def text(self) -> str:
        """Write all three sentences."""
        return self.text_with(SUBSETS)

    def text_with(self, subsets: str) -> str:
        """Write all three sentences, with the reader's words for retrained subsets."""
        first = f"{self.sentence[0].upper()}{self.sentence[1:]}."
        return f"{first} {self.scope} {self.remedy_with(subsets)}"

    @property
    def _covered(self) -> str:
        return "100" if self.coverage is None else f"{100 * self.coverage:.3g}"

    @property
    def _not_joint(self) -> str:
        assert self.joint is not None
        return (
            "cannot tell: influence predicts what each class gains, but not that all gain at once;"
            f" a mixture of them gains {self.joint.value:.2g} nats ({_ends(self.joint)})"
        )

    @property
    def _blocked(self) -> str:
        first, second = self.blocking
        return (
            f"if {second} alone gains 1 % of its influence mass, {first} loses at least"
            f" {self.exchange_rate:.2g} % of its own"
        )

    @property
    def _of_the_mass(self) -> str:
        gain = self.crossfitted
        shares = np.clip([gain.value, gain.low, gain.high], -1, 1)  # no share is larger
        value, low, high = (f"{100 * share:.3g}" for share in shares)
        could = "other weights could lower the loss of every class at once, by"
        if self.answer == "room":
            interval = f"95 % interval {low} to {high} %"
            return f"room: {could} about {value} % {OF_THE_MASS} ({interval})"
        if self.answer == "ceiling":
            return (
                "at its ceiling: no weights are shown that lower the loss of every class at once;"
                f" with the best that these samples show, one class gains {value} % {OF_THE_MASS}"
                f" (95 % interval {low} to {high} %) and no class less; {self._blocked}"
            )
        return (
            f"cannot tell: too few validation samples; {could} {low} to {high} % {OF_THE_MASS}"
            " (95 % interval)"
        )


def _ends(estimate: Estimate, limit: float = inf) -> str:
    """Write the interval, as far as values can go."""
    low, high = max(estimate.low, -limit), min(estimate.high, limit)
    return f"95 % {_short(low)} to {_short(high)}"


def _short(value: float) -> str:
    """Write two digits, and 100 as it is."""
    return f"{float(f'{value:.2g}'):g}"
