"""Draw the removal experiment (Figures 3, 4, 6 and 7)."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from catwise.core.statistics import Estimate
from catwise.figures.labels import GROUPS, UNITS, VECTORS
from catwise.figures.style import BLUE, GREY, Picture, heat_map, styled

__all__ = ["removal"]

LETTERS = ("ABC", "DEF", "GHI")


@styled
def removal(
    changes: pd.DataFrame,
    correlations: pd.DataFrame,
    rankings: pd.DataFrame,
    metrics: dict[str, float],
    classes: tuple[str, ...],
    measure: str,
    paper: str | None,
) -> Picture:
    """Draw the influence of what was removed, the change that followed, and one by the other.

    A row of panels for each group: beneficial (A to C), detrimental (D to F) and, as a control,
    random (G to I). Tables and metrics (``summary``) are those of ``catwise.removal.effects``.
    """
    changes = changes.assign(removed=_removed(changes))
    mean, bounds, words = _means(changes, measure)
    rho = {
        ways: rows.set_index("group")
        for ways, rows in correlations[correlations["measure"] == measure].groupby(
            ["pairs", "trainings"]
        )
    }
    draws = list(changes.loc[changes["group"] == "random", "removed"].unique())
    targets = dict(zip(GROUPS, (list(classes), list(classes), draws), strict=True))
    heights = [max(1.2, 2.6 * len(names) / len(classes)) for names in targets.values()]  # inches
    around = 0.8 + 0.05 * max(map(len, classes))
    figure = Figure(figsize=(12, sum(heights) + 3 * around), layout="constrained")
    panels = figure.subplots(3, 3, height_ratios=heights)
    for row, group, letters in zip(panels, GROUPS, LETTERS, strict=True):
        points = mean.loc[group]
        for axes, column, letter in zip(row[:2], ("influence", "change"), letters, strict=False):
            grid = points[column].unstack().loc[targets[group], list(classes)]
            _heat(axes, grid, bounds[column], diagonal=group != "random")
            aim = "" if group == "random" else " for class"
            axes.set(xlabel="class measured", ylabel=f"removed: {group}{aim}")
            axes.set_title(f"{letter}  {words[column]}")
        _cloud(row[2], points, mean.loc["random"])
        interval = _with_interval(rho["all", "mean"].loc[group])
        row[2].set_title(f"{letters[2]}  Spearman's $\\rho$ = {interval}")
        row[2].set(xlabel=words["influence"], ylabel=words["change"])
    handles, labels = panels[0, 2].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return Picture(
        figure,
        paper,
        f"Influence of the removed samples and the change of {measure}",
        f"Blue: what was removed helped the class, or its {measure} rose; red: it harmed, or its"
        f" {measure} fell. Changes are means over {changes['seed'].nunique()} seeds; framed and"
        f" hatched: the class aimed at. {_readings(metrics, measure, len(classes))}"
        f" {_correlations(rho)}{_rankings(rankings[rankings['measure'] == measure])}",
        "Six heat maps, class removed for by class measured, and three scatter plots of influence"
        f" against {measure}.",
    )


def _removed(changes: pd.DataFrame) -> pd.Series:
    """Name each removal: the class aimed at, or the draw."""
    draws = "draw " + changes["draw"].astype("string")
    return changes["target"].where(changes["group"] != "random", draws)


def _means(changes: pd.DataFrame, measure: str) -> tuple[pd.DataFrame, pd.Series, dict[str, str]]:
    """Average influence and change over the seeds, in powers of ten that fit into cells.

    Return them with the ends of their colour scales and their names with power and unit.
    """
    factor, unit = UNITS[measure]
    changes = changes.assign(change=factor * changes[f"{measure}_change"])
    mean = changes.groupby(["group", "removed", "class"])[["influence", "change"]].mean()
    bounds = mean.drop(index="random", level="group").abs().quantile(0.95)
    powers = bounds.map(_power)
    scaled = {name: f", $10^{{{power}}}$" if power else "" for name, power in powers.items()}
    separator = "" if powers["change"] else ","
    words = {
        "influence": f"cumulative influence{scaled['influence']}",
        "change": f"{measure} change{scaled['change']}{separator} {unit}",
    }
    return mean / 10.0**powers, bounds / 10.0**powers, words


def _power(bound: float) -> int:
    """Return the power of ten, a multiple of 3, in which numbers up to ``bound`` are short."""
    short = bound == 0 or 0.1 <= bound < 1000
    return 0 if short else 3 * int(np.floor(np.log10(bound) / 3))


def _heat(axes: Axes, grid: pd.DataFrame, bound: float, diagonal: bool) -> None:
    """Draw a heat map with its numbers; where classes are aimed at, the diagonal is marked."""
    decimals = int(bound < 10) + int(bound < 1)
    size = 6.5 if len(grid.columns) > 6 else 8
    heat_map(axes, grid, bound or 1, decimals, size, extend="both")
    if diagonal:
        _mark_diagonal(axes, len(grid))


def _mark_diagonal(axes: Axes, size: int) -> None:
    """Frame and hatch the cells of the classes aimed at, and keep their numbers clear."""
    colours = axes.collections[0].get_facecolor()
    hatched: dict[str, Any] = {"edgecolor": "grey", "hatch": "/////", "linewidth": 0}
    framed: dict[str, Any] = {"edgecolor": "black", "linewidth": 2, "zorder": 4}
    for k in range(size):
        for style in (hatched, framed):
            axes.add_patch(Rectangle((k, k), 1, 1, fill=False, **style))
        cell = k * (size + 1)
        axes.texts[cell].set_bbox({"facecolor": colours[cell], "edgecolor": "none", "pad": 0.5})


def _cloud(axes: Axes, points: pd.DataFrame, control: pd.DataFrame) -> None:
    """Draw influence against change of each pair of target and class, before random removals."""
    for line in (axes.axhline, axes.axvline):
        line(0, color=GREY, linewidth=0.6, zorder=0)
    crosses: dict[str, Any] = {"c": GREY, "marker": "x", "s": 14, "linewidth": 0.7}
    axes.scatter(control["influence"], control["change"], label="random removal", **crosses)
    aimed = points.index.get_level_values("removed") == points.index.get_level_values("class")
    if not aimed.any():
        return
    for part, label, colour, marker in (
        (points[~aimed], "other classes", "white", "o"),
        (points[aimed], "class aimed at", BLUE, "D"),
    ):
        style: dict[str, Any] = {"c": colour, "marker": marker, "s": 26, "edgecolor": "black"}
        axes.scatter(part["influence"], part["change"], label=label, **style)


def _with_interval(row: pd.Series) -> str:
    """Write rho and its interval; there is none where nothing changed."""
    rho = Estimate(*row[["rho", "low", "high"]].astype(float))
    return "none" if np.isnan(rho.value) else f"{rho:.2f}"


def _correlations(rho: dict[Any, pd.DataFrame]) -> str:
    """Say how well influence ranks the changes, in each way to measure it."""
    mean, one, within = (
        ", ".join(_with_interval(rho[ways].loc[group]) for group in GROUPS)
        for ways in (("all", "mean"), ("all", "one"), ("within", "mean"))
    )
    counts = rho["all", "mean"]["counted"].loc[list(GROUPS)]
    counted = ", ".join("none" if np.isnan(count) else f"{count:.2f}" for count in counts)
    words = (
        "Spearman's rho is 1 where influence ranks all changes (paper: above 0.8). For beneficial,"
        f" detrimental and random removals it is {mean} (95 % jackknife over the targets); for one"
        f" training {one} (95 % over the seeds); ranked within each class measured {within}. When"
        f" the removed samples of the class are counted in place of influence: {counted}."
    )
    chance = rho["all", "mean"]["shuffled_high"].max()
    if np.isnan(chance):
        return words
    return (
        f"{words} Influences that are shuffled over the targets stay below {chance:.2f} in 97.5 %"
        " of draws. Random removals are no such control of rho, for influence can rank their small"
        " changes too."
    )


def _rankings(rankings: pd.DataFrame) -> str:
    """Say what rho is where other influence vectors rank the samples, beside the ceiling."""
    mean = rankings[(rankings["pairs"] == "all") & (rankings["trainings"] == "mean")]
    words = []
    for name, rows in mean.groupby("vectors", sort=False):
        groups = rows.set_index("group").loc[list(GROUPS)]
        rho = ", ".join(_with_interval(row) for _, row in groups.iterrows())
        tops = ", ".join("none" if np.isnan(top) else f"{top:.2f}" for top in groups["ceiling"])
        words.append(f"{VECTORS[str(name)]} {rho}, of {tops}")
    return (
        " By the influence that ranks the samples, of what the noise between seeds leaves to reach:"
        f" {'; '.join(words)}."
    )


def _readings(metrics: dict[str, float], measure: str, num_classes: int) -> str:
    """Say in how many classes the diagonal is as the paper reads it."""
    words = []
    for group in GROUPS[:2]:
        signs = metrics[f"net_signs_{measure}_{group}"]
        significant = metrics[f"net_significant_{measure}_{group}"]
        words.append(f"{signs} without their {group} samples ({significant} significantly)")
    return (
        f"Net of random removals, of {num_classes} classes these change as the paper says:"
        f" {' and '.join(words)}."
    )
