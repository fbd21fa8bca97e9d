"""Hold what a claim is judged by: the results of a data set, measurements and verdicts.

Intervals are of 95 %: Clopper and Pearson's of a share, Student's of a mean over seeds, and those
of the reports for the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binomtest

from catwise.claims.paper import SEARCH
from catwise.core.statistics import student_half_width

if TYPE_CHECKING:
    from catwise.pipeline.results import Results

__all__ = [
    "ABSENT",
    "BESIDE",
    "HOLDS",
    "NOT",
    "PART",
    "VERDICTS",
    "Evidence",
    "Measurement",
    "confirmed",
    "graded",
    "mean_over",
    "no_class_falls",
    "path_gains",
    "repeats",
    "share",
    "size",
]

HOLDS, PART, NOT, ABSENT = "holds", "holds in part", "does not hold", "not run here"
BESIDE = "not applicable"
VERDICTS = (HOLDS, PART, NOT, BESIDE, ABSENT)
FORMS = {  # factor, format of the value, format of the ends of its interval
    "plain": (1, "{:.2f}", "{:.2f}"),
    "share": (100, "{:.0f} %", "{:.0f}"),
    "points": (1, "{:+.1f} points", "{:+.1f}"),
    "percent": (1, "{:+.2f} %", "{:+.2f}"),
    "rate": (1, "{:.2f} %", "{:.2f}"),
    "count": (1, "{:.0f}", "{:.0f}"),
}


@dataclass(frozen=True)
class Measurement:
    """Hold a number, its 95 % interval if it has one, and what it was measured on: ``n`` of ``of``.

    ``what`` names it in words, ``form`` is a key of ``FORMS``, and ``head`` marks the few that say
    most.
    """

    what: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    of: str = ""
    form: str = "plain"
    head: bool = False

    def text(self) -> str:
        """Write the measurement in words.

        >>> Measurement("rho", 0.5, 0.4, 0.6, 3, "seeds").text()
        'rho 0.50 (0.40 to 0.60; 3 seeds)'
        """
        factor, first, other = FORMS[self.form]
        words = f"{self.what} {first.format(factor * self.value + 0.0)}"
        details = []
        if self.low is not None and self.high is not None:
            low, high = factor * self.low + 0.0, factor * self.high + 0.0
            details.append(f"{other.format(low)} to {other.format(high)}")
        if self.n is not None:
            details.append(f"{self.n:,} {self.of.removesuffix('s') if self.n == 1 else self.of}")
        return f"{words} ({'; '.join(details)})" if details else words


@dataclass(frozen=True)
class Evidence:
    """Hold the results of a data set, the size it was run at, and whether the paper's is larger."""

    results: "Results"
    size: str
    reduced: bool


def share(what: str, hits: int, of: int, members: str, head: bool = False) -> Measurement:
    """Measure the share ``hits / of`` with Clopper and Pearson's interval."""
    interval = binomtest(hits, of).proportion_ci()
    low, high = float(interval.low), float(interval.high)
    return Measurement(what, hits / of, low, high, of, members, "share", head)


def mean_over(
    what: str, values: np.ndarray, members: str, form: str, head: bool = False
) -> Measurement:
    """Measure the mean of the values with Student's interval; a single value has none."""
    count, mean = len(values), float(np.mean(values))
    if count < 2:
        return Measurement(what, mean, None, None, count, members, form, head)
    half = float(student_half_width(values))
    return Measurement(what, mean, mean - half, mean + half, count, members, form, head)


def repeats(results: "Results") -> bool:
    """Tell whether seeds decide something in a training, so that a gain over them has noise."""
    return bool(results.parameters["train"]["model"] != "logistic")


def path_gains(metrics: Mapping[str, Any]) -> bool:
    """Tell of the metrics of ``improve`` whether the path gains, in the mean or the worst class."""
    return bool(max(metrics["mean_net_low"], metrics["worst_net_low"]) > 0)


def no_class_falls(metrics: Mapping[str, Any]) -> bool:
    """Tell of the metrics of ``improve`` whether no class falls, at a level that all share."""
    return bool(metrics["classes_fall"] == 0)


def confirmed(answer: str, metrics: Mapping[str, Any]) -> bool:
    """Tell of the metrics of ``improve`` whether new trainings confirm a verdict.

    Room, which is said of every class, is confirmed by a path that gains significantly while no
    class falls significantly, a ceiling where neither the path nor other weights do so.
    """
    if answer == "room":
        return path_gains(metrics) and no_class_falls(metrics)
    return not (path_gains(metrics) or metrics["others_gain"])


def graded(holds: bool, part: bool) -> str:
    """Choose the verdict: the claim holds, else it holds in part, else it does not hold."""
    if holds:
        return HOLDS
    return PART if part else NOT


def size(results: "Results", full: dict[str, Any] | None) -> tuple[str, bool]:
    """Describe the size that a data set was run at; say whether it is less than the paper's.

    ``full`` holds the parameters of the paper's own size; None where the paper has no such data
    set. Where there is a search, its size is compared with Table 2.
    """
    train = results.parameters["train"]
    search = results.parameters.get("reweight")
    width = "".join(f", {key} {train[key]}" for key in ("width", "layers") if key in train)
    words = [f"{sum(results.card.counts['train']):,} training samples", train["model"] + width]
    if "epochs" in train:
        words.append(f"{train['epochs']} epochs")
    if search:
        words.append(f"search of {search['generations']} generations of {search['population']}")
    pairs: list[tuple[Any, Any]] = []
    if full is None:
        words.append("not in the paper")
    else:
        pairs += [(results.parameters["prepare"].get("train"), full["prepare"].get("train"))]
        pairs += [(train.get(key), full["train"].get(key)) for key in ("model", "width", "epochs")]
    if search:
        pairs += [(search[key], SEARCH[key]) for key in ("generations", "population")]
    return ", ".join(words), any(_less(here, paper) for here, paper in pairs)


def _less(here: Any, paper: Any) -> bool:
    """Compare two numbers; "all" of the samples and the names of models can only differ."""
    if isinstance(here, int) and isinstance(paper, int):
        return here < paper
    return here != paper
