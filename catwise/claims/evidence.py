"""What a claim is judged by: the reports of a data set, figures with interval and n, and verdicts.

Intervals are of 95 %: Clopper and Pearson's of a share, Student's of a mean over seeds, the reports' own of the rest.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest
from scipy.stats import t as student

from catwise.claims.paper import SEARCH

__all__ = [
    "ABSENT",
    "HOLDS",
    "NOT",
    "PART",
    "Evidence",
    "Figure",
    "graded",
    "mean_over",
    "share",
    "size",
]

HOLDS, PART, NOT, ABSENT = "holds", "holds in part", "does not hold", "not run here"
FORMS = {  # factor, format of the value, format of the ends of its interval
    "plain": (1, "{:.2f}", "{:.2f}"),
    "share": (100, "{:.0f} %", "{:.0f}"),
    "points": (1, "{:+.1f} points", "{:+.1f}"),
    "percent": (1, "{:+.2f} %", "{:+.2f}"),
    "rate": (1, "{:.2f} %", "{:.2f}"),
    "count": (1, "{:.0f}", "{:.0f}"),
}


@dataclass(frozen=True)
class Figure:
    """A number with its 95 % interval, if it has one, and what it was measured on: ``n`` of ``of``."""

    what: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    of: str = ""
    form: str = "plain"
    head: bool = False  # whether it is among the few that say most

    def text(self) -> str:
        factor, first, other = FORMS[self.form]
        words = f"{self.what} {first.format(factor * self.value + 0.0)}"
        inner = []
        if self.low is not None and self.high is not None:
            inner.append(
                f"{other.format(factor * self.low + 0.0)} to {other.format(factor * self.high + 0.0)}"
            )
        inner += [f"{self.n:,} {self.of}"] if self.n is not None else []
        return f"{words} ({'; '.join(inner)})" if inner else words


@dataclass(frozen=True)
class Evidence:
    """The reports of one data set: ``stages`` holds by stage what its files hold; a stage that was not run is absent.

    ``size``: what it was run at; ``reduced``: whether that is less than the paper's.
    """

    dataset: str
    source: str
    classes: tuple[str, ...]
    size: str
    reduced: bool
    stages: dict[str, dict[str, Any]]


def share(what: str, hits: int, of: int, members: str, head: bool = False) -> Figure:
    interval = binomtest(hits, of).proportion_ci()
    return Figure(
        what, hits / of, float(interval.low), float(interval.high), of, members, "share", head
    )


def mean_over(what: str, values: np.ndarray, members: str, form: str, head: bool = False) -> Figure:
    """Mean and Student's interval; none of a single value."""
    count, mean = len(values), float(np.mean(values))
    if count < 2:
        return Figure(what, mean, None, None, count, members, form, head)
    half = float(student.ppf(0.975, count - 1) * np.std(values, ddof=1) / count**0.5)
    return Figure(what, mean, mean - half, mean + half, count, members, form, head)


def graded(holds: bool, part: bool) -> str:
    return HOLDS if holds else PART if part else NOT


def size(
    card: dict[str, Any], parameters: dict[str, Any], full: dict[str, Any] | None
) -> tuple[str, bool]:
    """What a data set was run at, and whether that is less than ``full``, the parameters of the paper's own size.

    ``full`` is None where the paper has no such data set. Table 2's search is part of it, where there is a search.
    """
    train, search = parameters["train"], parameters.get("reweight")
    width = "".join(f", {key} {train[key]}" for key in ("width", "layers") if key in train)
    words = [f"{sum(card['counts']['train']):,} training samples", train["model"] + width]
    words += [f"{train['epochs']} epochs"] if "epochs" in train else []
    words += (
        [f"search of {search['generations']} generations of {search['population']}"]
        if search
        else []
    )
    if full is None:
        return ", ".join([*words, "not in the paper"]), False
    pairs = [(parameters["prepare"].get("train"), full["prepare"].get("train"))]
    pairs += [(train.get(key), full["train"].get(key)) for key in ("model", "width", "epochs")]
    pairs += [(search[key], SEARCH[key]) for key in ("generations", "population")] if search else []
    return ", ".join(words), any(_less(came, printed) for came, printed in pairs)


def _less(came: Any, printed: Any) -> bool:
    if isinstance(came, int) and isinstance(printed, int):
        return came < printed
    return came != printed  # "all" of the samples, the name of a model
