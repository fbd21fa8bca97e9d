"""The removal experiment in pictures (Figures 3, 4, 6 and 7): heat maps of classes by classes, and scatter plots."""

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from catwise.figures.style import BLUE, GREY, Picture, styled

__all__ = ["removal"]

UNITS = {"accuracy": (100, "points"), "loss": (1, "nats")}
GROUPS = ("beneficial", "detrimental", "random")


@styled
def removal(
    changed: pd.DataFrame,
    correlated: pd.DataFrame,
    own: pd.DataFrame,
    classes: tuple[str, ...],
    measure: str,
    paper: str | None,
) -> Picture:
    """Cumulative influence of what was removed, the change after training again, and one by the other.

    A row of panels for each group: beneficial (A to C), detrimental (D to F) and, as a control, random (G to I). The
    tables are those of ``catwise.removal.effects``: ``changes``, ``correlations`` and ``diagonal``.
    """
    mean, bounds, words = _means(changed, measure)
    cases = correlated[correlated["measure"] == measure].groupby(["pairs", "trainings"])
    rho = {case: rows.set_index("group") for case, rows in cases}
    draws = list(changed.loc[changed["group"] == "random", "target"].unique())
    targets = dict(zip(GROUPS, (list(classes), list(classes), draws), strict=True))
    heights = [
        max(1.2, 2.6 * len(names) / len(classes)) for names in targets.values()
    ]  # in inches, of the cells
    words_around = 0.8 + 0.05 * max(map(len, classes))
    figure = Figure(figsize=(12, sum(heights) + 3 * words_around), layout="constrained")
    panels = figure.subplots(3, 3, height_ratios=heights)
    for (predicted, actual, cloud), group, letters in zip(
        panels, GROUPS, ("ABC", "DEF", "GHI"), strict=True
    ):
        points = mean.loc[group]
        for axes, column, letter in (
            (predicted, "influence", letters[0]),
            (actual, "change", letters[1]),
        ):
            _heat(axes, points[column].unstack().loc[targets[group], list(classes)], bounds[column])
            axes.set(
                xlabel="class measured",
                ylabel=f"removed: {group}{' for class' * (group != 'random')}",
            )
            axes.set_title(f"{letter}  {words[column]}")
        _cloud(cloud, points, mean.loc["random"])
        cloud.set_title(
            f"{letters[2]}  Spearman's $\\rho$ = {_told(rho['all', 'mean'].loc[group])}"
        )
        cloud.set(xlabel=words["influence"], ylabel=words["change"])
    handles, labels = panels[0, 2].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return Picture(
        figure,
        paper,
        f"Influence of the removed samples and the change of {measure}",
        f"Changes are means over {changed['seed'].nunique()} seeds; framed and hatched: the class aimed at."
        f" Net of random removals, of {len(classes)} classes change significantly as the paper says:"
        f" {_readings(own, measure)}. {_correlations(rho)}",
        f"Six heat maps, class removed for by class measured, and three scatter plots of influence against {measure}.",
    )


def _means(changed: pd.DataFrame, measure: str) -> tuple[pd.DataFrame, pd.Series, dict[str, str]]:
    """Influence and change over the seeds, the ends of their colour scales, and their names with power and unit."""
    factor, unit = UNITS[measure]
    changed = changed.assign(change=factor * changed[f"{measure}_change"])
    mean = changed.groupby(["group", "target", "class"])[["influence", "change"]].mean()
    bounds = mean.drop(index="random", level="group").abs().quantile(0.95)
    powers = bounds.map(_power)
    scaled = {name: f", $10^{{{power}}}$" if power else "" for name, power in powers.items()}
    words = {
        "influence": f"cumulative influence{scaled['influence']}",
        "change": f"{measure} change{scaled['change']} {unit}"
        if powers["change"]
        else f"{measure} change, {unit}",
    }
    return mean / 10.0**powers, bounds / 10.0**powers, words


def _power(bound: float) -> int:
    """The power of ten, a multiple of 3, in which numbers up to ``bound`` have few characters; 0 where they have."""
    return 0 if bound == 0 or 0.1 <= bound < 1000 else 3 * int(np.floor(np.log10(bound) / 3))


def _heat(axes: Axes, grid: pd.DataFrame, bound: float) -> None:
    """A heat map with its numbers; the diagonal, the class aimed at, is framed and hatched, the numbers left clear."""
    decimals = int(bound < 10) + int(bound < 1)
    numbers = grid.map(lambda value: f"{round(value, decimals) + 0.0:.{decimals}f}")  # + 0: no -0
    font = {"size": 6.5 if len(grid.columns) > 6 else 8}
    style = {"cmap": "vlag", "cbar_kws": {"extend": "both"}, "annot_kws": font}
    sns.heatmap(grid, ax=axes, vmin=-bound or -1, vmax=bound or 1, annot=numbers, fmt="", **style)
    slanted: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    slanted = slanted if max(map(len, grid.columns)) > 2 else {}
    axes.set_xticks(axes.get_xticks(), list(grid.columns), **slanted)
    axes.set_yticks(axes.get_yticks(), list(grid.index), rotation=0)
    if list(grid.index) != list(grid.columns):  # random draws aim at no class
        return
    colours = axes.collections[0].get_facecolor()
    for k in range(len(grid)):
        axes.add_patch(
            Rectangle((k, k), 1, 1, fill=False, edgecolor="grey", hatch="/////", linewidth=0)
        )
        axes.add_patch(
            Rectangle((k, k), 1, 1, fill=False, edgecolor="black", linewidth=2, zorder=4)
        )
        cell = k * (len(grid) + 1)
        axes.texts[cell].set_bbox({"facecolor": colours[cell], "edgecolor": "none", "pad": 0.5})


def _cloud(axes: Axes, points: pd.DataFrame, control: pd.DataFrame) -> None:
    """Influence against change of each pair of target and class, before the random removals."""
    for line in (axes.axhline, axes.axvline):
        line(0, color=GREY, linewidth=0.6, zorder=0)
    crosses: dict[str, Any] = {"c": GREY, "marker": "x", "s": 14, "linewidth": 0.7}
    axes.scatter(control["influence"], control["change"], label="random removal", **crosses)
    aimed = points.index.get_level_values("target") == points.index.get_level_values("class")
    if not aimed.any():
        return
    for part, label, colour, marker in (
        (points[~aimed], "other classes", "white", "o"),
        (points[aimed], "class aimed at", BLUE, "D"),
    ):
        style: dict[str, Any] = {"c": colour, "marker": marker, "s": 26, "edgecolor": "black"}
        axes.scatter(part["influence"], part["change"], label=label, **style)


def _told(row: pd.Series) -> str:
    """rho and its interval; not there where nothing changed."""
    rho, low, high = row[["rho", "low", "high"]].astype(float).round(2) + 0.0  # no -0
    return "none" if np.isnan(rho) else f"{rho:.2f} ({low:.2f} to {high:.2f})"


def _number(rho: float) -> str:
    return "none" if np.isnan(rho) else f"{rho:.2f}"


def _correlations(rho: dict[Any, pd.DataFrame]) -> str:
    one, mean, within = (
        ", ".join(_told(rho[case].loc[group]) for group in GROUPS)
        for case in (("all", "one"), ("all", "mean"), ("within", "mean"))
    )
    counted = ", ".join(_number(rho["all", "mean"].loc[group, "counted"]) for group in GROUPS)
    chance = rho["all", "mean"]["shuffled_high"].max()
    words = (
        "Spearman's rho, 1 where influence ranks all changes (paper: above 0.8), for beneficial, detrimental and random"
        f" removals: {mean} (95 % bootstrap over the targets); of one training {one} (over the seeds); ranked within"
        f" each class measured {within}. Counting the removed samples of the class in place of influence: {counted}."
    )
    if np.isnan(chance):
        return words
    return (
        f"{words} Influences shuffled over the targets stay below {chance:.2f} in 97.5 % of draws; random removals are"
        " no such control of rho, for influence can rank their small changes too."
    )


def _readings(own: pd.DataFrame, measure: str) -> str:
    """How many classes change as the paper reads the diagonal."""
    readings = own[own["measure"] == measure].groupby("group")["net_reading"]
    found = {group: values.value_counts() for group, values in readings}
    return " and ".join(
        f"{found[group].get('as the paper says', 0)} without their {group} samples"
        f" ({found[group].get('against', 0)} the other way)"
        for group in GROUPS[:2]
    )
