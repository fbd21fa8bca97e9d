"""Draw how well influence vectors predict training again, and what that costs."""

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.figures.labels import COUNTED, kind_label
from catwise.figures.style import BLUE, GREY, ORANGE, VISIBLE, Picture, styled

__all__ = ["fidelity", "fidelity_cost", "fidelity_samples"]

DESIGNS = {"half": "random halves", "removal": "random removals of a tenth"}
FILLS = {"loss": "#cfe3f3", "accuracy": "#f7dfc0"}


@styled
def fidelity(
    summary: pd.DataFrame,
    scores: pd.DataFrame,
    differences: pd.DataFrame,
    flipped_label_auc: dict[str, float],
) -> Picture:
    """Draw the linear datamodeling score of each kind of P, by design and measure."""
    cases = list(summary.groupby(["design", "measure"], sort=False).groups)
    designs, measures = (list(dict.fromkeys(names)) for names in zip(*cases, strict=True))
    kinds = summary["kind"].nunique()
    size = (5.2 * len(designs), (0.9 + 0.27 * kinds) * len(measures) + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(measures), len(designs), squeeze=False, sharey=True)
    for letter, (design, measure) in zip("ABCD", cases, strict=False):
        axes = grid[measures.index(measure), designs.index(design)]
        own, of_classes = (table[_of(table, design, measure)] for table in (summary, scores))
        _bars(axes, own, of_classes, FILLS[measure])
        axes.set(title=f"{letter}  {measure}, {DESIGNS[design]}", xlim=(None, 1.02))
    for axes in grid[-1]:
        axes.set_xlabel("linear datamodeling score")
    auc = "".join(f" {kind_label(kind)} {value:.3f}" for kind, value in flipped_label_auc.items())
    return Picture(
        figure,
        None,
        "How well the influence vectors predict retraining, by kind",
        "Spearman's rho between the predicted and the actual loss or accuracy of a class after"
        " training on other subsets, averaged over their seeds. Bars: mean over the classes, with"
        " its 95 % jackknife interval over the subsets; circles: classes. Dashed: the ceiling that"
        " the noise between seeds sets to any prediction, where subsets were trained under several."
        f"{_leaders(summary, differences)}{_beside_counting(differences)}"
        + (f" AUC of flipped labels:{auc}." if auc else ""),
        "Bar charts of scores by kind of influence.",
    )


def _of(table: pd.DataFrame, design: str, measure: str) -> pd.Series:
    return (table["design"] == design) & (table["measure"] == measure)


def _bars(axes: Axes, summary: pd.DataFrame, scores: pd.DataFrame, fill: str) -> None:
    """Draw a bar with its interval for each kind, a circle for each class, and the ceiling."""
    labels = [kind_label(kind) for kind in summary["kind"]]
    at = np.arange(len(labels))
    mean, low, high = (summary[end].to_numpy() for end in ("lds", "low", "high"))
    axes.barh(at, mean, color=fill, edgecolor="black", linewidth=0.8)
    ends = [np.maximum(mean - low, 0), np.maximum(high - mean, 0)]
    axes.errorbar(mean, at, xerr=ends, fmt="none", color="black", capsize=3)
    style: dict[str, Any] = {"s": 8, "c": "white", "edgecolor": "black", "linewidth": 0.5}
    for number, kind in enumerate(summary["kind"]):
        own = scores.loc[scores["kind"] == kind, "lds"]
        axes.scatter(own, np.full(len(own), number + 0.3), **style)
    ceiling = summary["ceiling"].iloc[0]
    if np.isfinite(ceiling):
        axes.axvline(ceiling, color=GREY, linestyle="--")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(at, labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)


def _leaders(summary: pd.DataFrame, differences: pd.DataFrame) -> str:
    """Say which kind is first by design and measure, and how far it is ahead."""
    words = []
    for (design, measure), rows in summary.groupby(["design", "measure"], sort=False):
        if rows["lds"].isna().all():
            continue
        best = rows.loc[rows["lds"].idxmax()]
        text = f"{measure}, {DESIGNS[str(design)]}: {kind_label(best['kind'])} {best['lds']:.3f}"
        ahead = differences[_of(differences, str(design), str(measure))]
        ahead = ahead[ahead["first"] == best["kind"]].head(1)
        for row in ahead.to_dict("records"):
            other = kind_label(row["second"])
            text += f", ahead of {other} by {_interval(row)}"
        words.append(text)
    return f" First are: {'; '.join(words)}." if words else ""


def _beside_counting(differences: pd.DataFrame) -> str:
    """Say whether the last layer, or else ekfac, predicts accuracy better than counting labels."""
    rows = differences[(differences["second"] == COUNTED) & (differences["measure"] == "accuracy")]
    for kind in ("last_layer_runs", "last_layer", "ekfac"):
        own = rows[rows["first"] == kind]
        if len(own):
            by_design = [
                f"{_interval(row)} on {DESIGNS[row['design']]}" for row in own.to_dict("records")
            ]
            words = ", ".join(by_design)
            scores = f"the score of {kind_label(kind)} less that of counting labels"
            return f" In accuracy {scores} is {words}."
    return ""


def _interval(row: dict[str, Any]) -> str:
    return f"{row['difference']:.3f} (95 % {row['low']:.3f} to {row['high']:.3f})"


@styled
def fidelity_cost(summary: pd.DataFrame) -> Picture:
    """Draw the score of each kind of P against what it costs, for each design."""
    designs = list(summary["design"].unique())
    figure = Figure(figsize=(4.6 * len(designs) + 1.8, 4.2), layout="constrained")
    grid = figure.subplots(1, len(designs), squeeze=False, sharey=True)[0]
    for axes, design in zip(grid, designs, strict=True):
        for measure in summary["measure"].unique():
            rows = summary[_of(summary, design, measure)]
            _points(axes, rows, filled=measure == "loss")
            if np.isfinite(rows["ceiling"].iloc[0]):
                line = {"color": GREY, "linestyle": "--" if measure == "loss" else ":"}
                axes.axhline(rows["ceiling"].iloc[0], **line)
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(-0.2, 2 * summary["cost"].max())
        axes.set(xlabel="cost, trainings", title=DESIGNS[design])
    grid[0].set_ylabel("linear datamodeling score")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize="small")
    return Picture(
        figure,
        None,
        "How well each kind of influence predicts retraining, against what it costs",
        "Mean linear datamodeling score over the classes with its 95 % jackknife interval, of loss"
        " (filled) and of accuracy (white), against the passes over samples that the vectors need,"
        " their trainings included, in units of one training. Counting labels costs nothing. The"
        " ceiling that the noise between seeds sets is dashed for loss and dotted for accuracy.",
        "Scatter plot of scores over cost, for loss and accuracy.",
    )


def _points(axes: Axes, rows: pd.DataFrame, filled: bool) -> None:
    """Draw a point with its interval for each kind, in a colour and with a marker of its own."""
    marks = zip(cycle(VISIBLE), cycle("osD^v<>PX*hd"), strict=False)
    for row, (colour, marker) in zip(rows.to_dict("records"), marks, strict=False):
        ends = [[row["lds"] - row["low"]], [row["high"] - row["lds"]]]
        style: dict[str, Any] = {"color": colour, "capsize": 2, "elinewidth": 0.8}
        style["markerfacecolor"] = colour if filled else "white"
        style["label"] = kind_label(row["kind"]) if filled else None
        axes.errorbar([row["cost"]], [row["lds"]], ends, fmt=marker, **style)


@styled
def fidelity_samples(samples: pd.DataFrame) -> Picture:
    """Draw how the ranking of P depends on the pairs from which its factors are fitted."""
    figure = Figure(figsize=(5, 3.8), layout="constrained")
    words = _agreement(figure.subplots(), samples)
    return Picture(
        figure,
        None,
        "How many pairs the factors need",
        "EKFAC from drawn pairs of sample and label, against every label of every sample: rank"
        f" correlation of P. {words}",
        "Line chart of rank agreement over samples.",
    )


def _agreement(axes: Axes, samples: pd.DataFrame) -> str:
    """Draw how the ranking depends on the number of pairs drawn, and say it in words."""
    by_class = samples.groupby(["draw", "samples", "class"])["spearman"].mean()
    by_draw = by_class.groupby(["draw", "samples"]).agg(["mean", "min"])
    for draw, colour, marker in (("importance", BLUE, "o"), ("balanced", ORANGE, "s")):
        line = by_draw.loc[draw]
        axes.plot(line["mean"], f"{marker}-", color=colour, label=f"{draw}, mean over classes")
        label = f"{draw}, worst class"
        axes.plot(line["min"], f"{marker}--", color=colour, markerfacecolor="white", label=label)
    axes.set(xscale="log", xlabel="pairs drawn for the factors")
    axes.set(ylabel="Spearman's $\\rho$ with every label", title="ranking of P")
    axes.set_xticks(line.index, labels=line.index)
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize="small")
    importance, balanced = (by_draw.loc[draw, "mean"] for draw in ("importance", "balanced"))
    return (
        f"With as many pairs as samples (last point) rho is {importance.iloc[-1]:.3f} when pairs"
        f" are drawn by importance, and {balanced.iloc[-1]:.3f} with one label of each sample."
    )
