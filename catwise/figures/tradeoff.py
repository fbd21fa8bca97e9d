"""Draw what the gain of the targets costs the worst other class."""

from itertools import cycle
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.figures.by_class import LINES, MARKERS
from catwise.figures.labels import UNITS, case_labels, method_labels
from catwise.figures.style import GREY, Picture, styled

__all__ = ["METHODS", "tradeoff"]

METHODS = ("lp_ga", "direction", "oracle")  # whose weights are made for what is drawn


@styled
def tradeoff(cases: pd.DataFrame, points: pd.DataFrame) -> Picture:
    """Draw the gain of the targets against that of the worst other class.

    There is a row for each case with one of the METHODS.
    """
    drawn = points[points["family"].isin(METHODS)]
    labels = {case: label for case, label in case_labels(cases).items() if case in {*drawn["case"]}}
    figure = Figure(figsize=(12, 3.6 * len(labels)), layout="constrained")
    grid = figure.subplots(len(labels), 2, squeeze=False)
    for row, (case, label) in zip(grid, labels.items(), strict=True):
        in_case = drawn[drawn["case"] == case]
        for axes, (measure, (factor, unit)) in zip(row, UNITS.items(), strict=True):
            scaled = in_case[in_case["measure"] == measure].copy()
            scaled[["target_gain", "worst_other"]] *= factor
            _panel(axes, scaled)
            axes.set_xlabel(f"gain of the targets, {unit} of {measure}")
            axes.set_ylabel(f"gain of the worst other class, {unit}")
        row[0].set_title(label, loc="left", fontweight="bold")
    handles = {
        name: handle
        for axes, _ in grid
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=3, frameon=False
    )
    return Picture(
        figure,
        None,
        "What the gain of the targets costs the worst other class",
        "Test split, means over the seeds, net of all-ones weights. A line shows the weights of one"
        " program as all its thresholds move together, without a search; the star on it shows what"
        " the search found. White marks are the joint directions and, with planted noise, the"
        " oracle. Up and to the right is better for all.",
        "Scatter charts, a row per case: gain of the target classes against that of the worst other"
        " class.",
    )


def _panel(axes: Axes, points: pd.DataFrame) -> None:
    """Draw a line and a star for each search, and a white mark for each method without one."""
    labels = method_labels(points)
    swept, single = points[points["gene"].notna()], points[points["gene"].isna()]
    star: dict[str, Any] = {"marker": "*", "s": 120, "edgecolor": "black", "linewidth": 0.6}
    for key, colour in zip(swept["method"].unique(), cycle(LINES), strict=False):
        curve, searched = swept[swept["method"] == key], single[single["method"] == key]
        x, y = curve["target_gain"], curve["worst_other"]
        axes.plot(x, y, ".-", color=colour, label=labels[key])
        axes.scatter(
            searched["target_gain"], searched["worst_other"], color=colour, zorder=3, **star
        )
    others = single[(single["family"] != "lp_ga") & ~single["shuffled"]]
    white: dict[str, Any] = {"color": "white", "edgecolor": "black", "zorder": 2}
    for key, marker in zip(others["method"].unique(), cycle(MARKERS[1:]), strict=False):
        point = others[others["method"] == key]
        x, y = point["target_gain"], point["worst_other"]
        axes.scatter(x, y, marker=marker, label=labels[key], **white)
    axes.axhline(0, color=GREY, linewidth=1)
    axes.axvline(0, color=GREY, linewidth=1)
