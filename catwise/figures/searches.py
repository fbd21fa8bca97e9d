"""Draw the genetic searches by generation."""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from catwise.figures.style import Picture, styled
from catwise.figures.table1 import LINES

__all__ = ["searches"]


@styled
def searches(history: pd.DataFrame) -> Picture:
    """Best and mean fitness, the targets' gain, and the diversity of the weights, by generation."""
    cases = list(history["case"].unique())
    figure = Figure(figsize=(12, 2.8 * len(cases)), layout="constrained")
    panels = (
        ("fitness", "mean loss of the others"),
        ("gain", "mean gain of the targets"),
        ("diversity", "diversity"),
    )
    for row, case in zip(figure.subplots(len(cases), 3, squeeze=False), cases, strict=True):
        mine = history[history["case"] == case]
        for axes, (key, label) in zip(row, panels, strict=True):
            for name, colour in zip(mine["search"].unique(), cycle(LINES), strict=False):
                found = (
                    mine[mine["search"] == name]
                    .set_index("generation")
                    .replace([np.inf, -np.inf], np.nan)
                )
                if key == "diversity":
                    axes.plot(found[key], color=colour, label=name)
                    continue
                axes.plot(found[f"best_{key}"], color=colour, label=name)
                axes.plot(found[f"mean_{key}"], "--", color=colour, linewidth=0.8)
            axes.set(xlabel="generation", ylabel=label, xlim=(-0.5, mine["generation"].max() + 0.5))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        row[0].set_title(case, loc="left", fontweight="bold")
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    last = history.groupby(["case", "search"], sort=False).last()
    return Picture(
        figure,
        None,
        "The genetic search, by generation",
        "Left: the paper's fitness, the mean over the other classes of what they lose, relative to before (0: none"
        " loses; no line: some target did not gain). Lines: best of the generation, dashed: mean of those for which it"
        " is finite. Middle: the targets' mean gain, which breaks ties. Right: the share of the weight that two"
        f" candidates do not have in common, in the last generation {last['diversity'].min():.3f} to"
        f" {last['diversity'].max():.3f}. Epochs trained per search: {last['trained'].min()} to"
        f" {last['trained'].max()}, of {last['evaluations'].max()} candidates.",
        "Line charts over generations: fitness, gain of the targets, diversity of the weights; a line per search.",
    )
