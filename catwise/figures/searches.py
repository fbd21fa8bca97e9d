"""Draw the genetic searches by generation."""

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from catwise.figures.by_class import LINES
from catwise.figures.labels import case_labels, method_label
from catwise.figures.style import Picture, styled

__all__ = ["searches"]

PANELS = {
    "fitness": "fitness: mean relative fall\nin accuracy of the other classes",
    "gain": "mean relative gain\nin accuracy of the targets",
    "diversity": "diversity: share of the weight\nthat two candidates do not share",
}


@styled
def searches(cases: pd.DataFrame, history: pd.DataFrame) -> Picture:
    """Draw best and mean fitness, the targets' gain, and the diversity of the weights."""
    labels = case_labels(cases[cases["case"].isin(history["case"])])
    figure = Figure(figsize=(12, 3 * len(labels)), layout="constrained")
    grid = figure.subplots(len(labels), 3, squeeze=False)
    runs = history.groupby(["method", "split"], sort=False).groups
    colours = dict(zip(runs, cycle(LINES), strict=False))
    entries: dict[str, Any] = {}
    for row, (case, label) in zip(grid, labels.items(), strict=True):
        in_case = history[history["case"] == case]
        for axes, key in zip(row, PANELS, strict=True):
            _panel(axes, in_case, key, colours)
        row[0].set_title(label, loc="left", fontweight="bold")
        handles, names = row[0].get_legend_handles_labels()
        entries |= dict(zip(names, handles, strict=True))
    style: dict[str, Any] = {"loc": "outside lower center", "ncols": 3, "frameon": False}
    figure.legend(entries.values(), entries.keys(), **style)
    last = history.groupby(["case", "method", "split"], sort=False).last()
    return Picture(
        figure,
        None,
        "The genetic search, by generation",
        "Left: the paper's fitness, which is the mean over the other classes of the accuracy that"
        " they lose, relative to before (0: none loses; no line: some target did not gain). Solid"
        " lines are the best of the generation, dashed lines the mean of those candidates for which"
        " it is finite. Middle: the mean gain of the targets, which breaks ties. Right: the share"
        " of the weight that two candidates do not have in common, in the last generation"
        f" {last['diversity'].min():.3f} to {last['diversity'].max():.3f}. Epochs trained per"
        f" search: {last['trained'].min()} to {last['trained'].max()}, of"
        f" {last['evaluations'].max()} candidates.",
        "Line charts over generations: fitness, gain of the targets, diversity of the weights; a"
        " line per search.",
    )


def _panel(
    axes: Axes, history: pd.DataFrame, key: str, colours: dict[tuple[str, str], str]
) -> None:
    """Draw one line per search, and the mean of its candidates where there is one."""
    runs = history.groupby(["method", "split"], sort=False)
    for run, rows in runs:
        colour = colours[run]
        label = method_label(rows.iloc[0])
        if rows["split"].iloc[0] == "test":
            label += ", one split"
        table = rows.set_index("generation").replace([np.inf, -np.inf], np.nan)
        if key == "diversity":
            axes.plot(table[key], color=colour, label=label)
        else:
            axes.plot(table[f"best_{key}"], color=colour, label=label)
            axes.plot(table[f"mean_{key}"], "--", color=colour, linewidth=0.8)
    last = history["generation"].max()
    axes.set(xlabel="generation", ylabel=PANELS[key], xlim=(-0.5, last + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
