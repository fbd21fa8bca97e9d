"""Draw what new weights were to gain and what they gained, over the classes of all cases."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.core.statistics import spearman
from catwise.figures.labels import ANSWERS, PATH
from catwise.figures.style import GREY, VISIBLE, Picture, styled

__all__ = ["case_gains"]

MARKERS = {"room to improve": "o", "at its ceiling": "s", "cannot tell": "^"}
LINEAR = 2.0  # points on either side of 0 that an axis shows in proportion
COLUMNS = 3
TICKS = (-50, -20, -5, -2, 0, 2, 5, 20, 50)
ENDS = ["predicted", "net", "low", "high"]


@styled
def case_gains(cases: Mapping[str, tuple[str, pd.DataFrame]]) -> Picture:
    """Draw predicted against realised gains in points of accuracy, a mark for a case and class.

    ``cases`` maps a data set to the answer of its verdict and to its table ``improve/classes``. One
    panel is of the path, where a step was accepted, the other of the first proposal at plain
    weights, whatever became of it.
    """
    lines = -(-len(cases) // COLUMNS)  # of the legend, at most
    figure = Figure(figsize=(10, 5.4 + 0.22 * lines), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    choices = {"Accepted path": _path, "First proposal, accepted or not": _first_proposal}
    words, tables, named = [], [], {}  # the last: of the legend, what has marks in a panel
    for axes, (title, choose) in zip(panels, choices.items(), strict=True):
        for number, (name, (answer, table)) in enumerate(cases.items()):
            rows, label = choose(table), f"{name}: {ANSWERS[answer]}"
            style = {"color": VISIBLE[number % len(VISIBLE)], "fmt": MARKERS[ANSWERS[answer]]}
            half = (rows["high"] - rows["low"]) / 2
            style |= {"elinewidth": 0.6, "markersize": 5, "alpha": 0.8, "label": label}
            if number >= len(VISIBLE):
                style["markerfacecolor"] = "white"  # the colours begin anew
            marks = axes.errorbar(rows["predicted"], rows["net"], half, **style)
            for bar in marks.lines[2]:
                bar.set_alpha(0.35)
            if len(rows):
                named[label] = marks
            tables.append(rows)
        words.append(f"{title}: {_agreement(pd.concat(tables[-len(cases) :]))}.")
        axes.set_title(title)
    _frame(panels, pd.concat(tables)[ENDS].to_numpy())
    style = {"loc": "outside lower center", "ncols": COLUMNS, "frameon": False}
    figure.legend(named.values(), named.keys(), **style)
    return Picture(
        figure,
        None,
        "What new weights were to gain, and what they gained",
        "Each mark is a class of a data set. Horizontal: the gain in accuracy that influence at"
        " plain weights predicts of new weights, times the points that a nat was worth on"
        " validation B. Vertical: what a new training with them gained on the test split over plain"
        " training of the same seeds, with its 95 % interval. On the line y = x gains are as"
        f" predicted. {' '.join(words)} From -{LINEAR:g} to {LINEAR:g} the axes are"
        " linear, beyond that logarithmic.",
        "Two scatter plots of realised over predicted gains of each class, with the line y = x.",
    )


def _path(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the path; none where no step was accepted."""
    rows = table[table["method"] == PATH]
    return rows[rows["predicted"].abs() > 0]


def _first_proposal(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the first proposal; none where nothing was predicted of it."""
    rows = table[table["proposed"]]
    return rows[rows["method"].isin(rows["method"].iloc[:1]) & rows["predicted"].notna()]


def _agreement(gains: pd.DataFrame) -> str:
    """Say how far predicted and realised gains agree."""
    if gains.empty:
        return "none"
    predicted, net = gains["predicted"], gains["net"]
    inside = int(((gains["low"] <= predicted) & (predicted <= gains["high"])).sum())
    words = f"the interval holds the prediction for {inside} of {len(gains)} marks"
    rho = float(spearman(predicted, net))
    return f"{words}, Spearman's rho is {rho:.2f}" if np.isfinite(rho) else words


def _frame(panels: Sequence[Axes], ends: np.ndarray) -> None:
    """Draw all axes in one scale, with the line y = x and lines through 0."""
    limits = (1.2 * ends.min(initial=-LINEAR), 1.2 * ends.max(initial=LINEAR))
    ticks = [tick for tick in TICKS if limits[0] < tick < limits[1]]
    labels = [f"{tick:+d}" if tick else "0" for tick in ticks]
    for axes in panels:
        axes.set_xscale("symlog", linthresh=LINEAR)
        axes.set_yscale("symlog", linthresh=LINEAR)
        axes.minorticks_off()
        axes.plot(limits, limits, color="black", linewidth=0.8, zorder=0)
        for line in (axes.axhline, axes.axvline):
            line(0, color=GREY, linewidth=0.5, zorder=0)
        axes.set(xticks=ticks, xticklabels=labels, yticks=ticks, yticklabels=labels)
        axes.set(xlim=limits, ylim=limits, box_aspect=1)
        axes.set_xlabel("predicted gain, points of accuracy")
    panels[0].set_ylabel("gain of a new training, points of accuracy")
