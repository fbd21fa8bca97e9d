"""Draw what the targets' gain costs the worst other class."""

from itertools import cycle

import pandas as pd
from matplotlib.figure import Figure

from catwise.figures.style import GREY, Picture, styled
from catwise.figures.table1 import LINES, MARKERS, UNITS

__all__ = ["tradeoff"]


@styled
def tradeoff(points: pd.DataFrame) -> Picture:
    """Gain of the targets against that of the worst other class as the thresholds move; methods are single points."""
    cases = list(points["case"].unique())
    figure = Figure(figsize=(12, 3.6 * len(cases)), layout="constrained")
    for row, case in zip(figure.subplots(len(cases), 2, squeeze=False), cases, strict=True):
        mine = points[points["case"] == case]
        for axes, (measure, (factor, unit)) in zip(row, UNITS.items(), strict=True):
            found = mine[mine["measure"] == measure]
            swept, single = found[found["gene"].notna()], found[found["gene"].isna()]
            for name, colour in zip(swept["method"].unique(), cycle(LINES), strict=False):
                curve, searched = swept[swept["method"] == name], single[single["method"] == name]
                axes.plot(
                    factor * curve["target_gain"],
                    factor * curve["worst_other"],
                    ".-",
                    color=colour,
                    label=name,
                )
                style = {
                    "marker": "*",
                    "s": 120,
                    "color": colour,
                    "edgecolor": "black",
                    "linewidth": 0.6,
                    "zorder": 3,
                }
                axes.scatter(
                    factor * searched["target_gain"], factor * searched["worst_other"], **style
                )
            others = [
                name for name in single["method"].unique() if name.startswith(("maximin", "oracle"))
            ]
            for name, marker in zip(others, cycle(MARKERS[1:]), strict=False):
                point = single[single["method"] == name]
                style = {
                    "marker": marker,
                    "color": "white",
                    "edgecolor": "black",
                    "zorder": 2,
                    "label": name,
                }
                axes.scatter(factor * point["target_gain"], factor * point["worst_other"], **style)
            axes.axhline(0, color=GREY, linewidth=1)
            axes.axvline(0, color=GREY, linewidth=1)
            axes.set(
                xlabel=f"gain of the targets, {unit} of {measure}",
                ylabel=f"of the worst other class, {unit}",
            )
        row[0].set_title(case, loc="left", fontweight="bold")
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return Picture(
        figure,
        None,
        "What the targets' gain costs the worst other class",
        "Test split, means over the seeds, net of all-ones weights. A line: the weights of one program as all its"
        " thresholds move together, without a search; star: what the search came to. White: the joint directions and,"
        " with planted noise, the oracle. Up and to the right is better for all.",
        "Scatter charts, a row per case: gain of the target classes against that of the worst other class.",
    )
