"""What reweighting an epoch came to: Table 1 with intervals, the searches, and the trade-off they move along."""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from catwise.pictures import COLOURS, GREY, Picture, styled

__all__ = ["searches", "shown", "table_one", "tradeoff"]

UNITS = {"accuracy": (100, "points"), "loss": (1, "nats")}
MARKERS = "osD^vPX*"
LINES = COLOURS[:3] + COLOURS[4:8]  # without red, which marks the targets


def shown(methods: list[str]) -> list[str]:
    """At most five rivals of the control: the first and the last search, the first direction, the oracle, and luck."""
    found = []
    for start, place in (("LP-GA", 0), ("LP-GA", -1), ("maximin", 0), ("oracle", 0), ("all ones, best", 0)):
        named = [name for name in methods if name.startswith(start)]
        found += [named[place]] if named and named[place] not in found else []
    return found


@styled
def table_one(table: pd.DataFrame) -> Picture:
    """Each class's gain beyond the all-ones control with its interval; a row per case, targets in red."""
    cases = list(table["case"].unique())
    figure = Figure(figsize=(12, 3.1 * len(cases)), layout="constrained")
    words = []
    for row, case in zip(figure.subplots(len(cases), 2, squeeze=False), cases, strict=True):
        mine = table[table["case"] == case]
        names = shown(list(mine["method"].unique()))
        for axes, measure in zip(row, UNITS, strict=True):
            _dots(axes, mine[mine["measure"] == measure], names, measure)
        row[0].set_title(case, loc="left", fontweight="bold")
        words.append(f"{case}: " + "; ".join(_counted(mine, name) for name in names))
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return Picture(
        figure,
        "Table 1",
        "What reweighting one epoch gains beyond plain training",
        "Test split, by class: the method's mean over seeds less that of all-ones weights with the same seeds, and its"
        " 95 % interval; above 0 is better, in loss too; targets in red. Classes significantly better / worse in"
        f" accuracy and in loss, each class by itself. {'. '.join(words)}.",
        "Dot charts over the classes, accuracy and loss, a row per case: gains of each method with error bars.",
    )


def _dots(axes: Axes, table: pd.DataFrame, names: list[str], measure: str) -> None:
    factor, unit = UNITS[measure]
    classes, offsets = list(table["class"].unique()), np.linspace(-0.3, 0.3, len(names))
    for name, offset, colour, marker in zip(names, offsets, cycle(LINES), cycle(MARKERS), strict=False):
        found = table[table["method"] == name]
        gain, low, high = (factor * found[key].to_numpy() for key in ("gain", "low", "high"))
        style = {"fmt": marker, "color": colour, "markersize": 4, "linewidth": 1}
        axes.errorbar(np.arange(len(classes)) + offset, gain, [gain - low, high - gain], label=name, **style)
    axes.axhline(0, color=GREY, linewidth=1)
    axes.set_xticks(np.arange(len(classes)), classes, rotation=30 if max(map(len, classes)) > 3 else 0)
    for label, target in zip(axes.get_xticklabels(), table.drop_duplicates("class")["target"], strict=True):
        if str(target) == "True":  # as text, where the column of another table of this name holds classes
            label.set(color=COLOURS[3], fontweight="bold")
    axes.set(xlabel="class", ylabel=f"net gain in {measure}, {unit}")


def _counted(table: pd.DataFrame, name: str) -> str:
    words = []
    for measure in UNITS:
        reading = table[(table["method"] == name) & (table["measure"] == measure)]["reading"]
        words.append(f"{(reading == 'better').sum()}/{(reading == 'worse').sum()}")
    return f"{name} {' and '.join(words)}"


@styled
def searches(history: pd.DataFrame) -> Picture:
    """Best and mean fitness, the targets' gain, and the diversity of the weights, by generation."""
    cases = list(history["case"].unique())
    figure = Figure(figsize=(12, 2.8 * len(cases)), layout="constrained")
    panels = (("fitness", "mean loss of the others"), ("gain", "mean gain of the targets"), ("diversity", "diversity"))
    for row, case in zip(figure.subplots(len(cases), 3, squeeze=False), cases, strict=True):
        mine = history[history["case"] == case]
        for axes, (key, label) in zip(row, panels, strict=True):
            for name, colour in zip(mine["search"].unique(), cycle(LINES), strict=False):
                found = mine[mine["search"] == name].set_index("generation").replace([np.inf, -np.inf], np.nan)
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
                axes.plot(factor * curve["target_gain"], factor * curve["worst_other"], ".-", color=colour, label=name)
                style = {"marker": "*", "s": 120, "color": colour, "edgecolor": "black", "linewidth": 0.6, "zorder": 3}
                axes.scatter(factor * searched["target_gain"], factor * searched["worst_other"], **style)
            others = [name for name in single["method"].unique() if name.startswith(("maximin", "oracle"))]
            for name, marker in zip(others, cycle(MARKERS[1:]), strict=False):
                point = single[single["method"] == name]
                style = {"marker": marker, "color": "white", "edgecolor": "black", "zorder": 2, "label": name}
                axes.scatter(factor * point["target_gain"], factor * point["worst_other"], **style)
            axes.axhline(0, color=GREY, linewidth=1)
            axes.axvline(0, color=GREY, linewidth=1)
            axes.set(xlabel=f"gain of the targets, {unit} of {measure}", ylabel=f"of the worst other class, {unit}")
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
