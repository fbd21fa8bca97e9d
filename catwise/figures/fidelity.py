"""Draw how well influence vectors predict retraining."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.figures.style import BLUE, ORANGE, Picture, styled

__all__ = ["fidelity"]

AHEAD = "best - next"  # the entry of ``lds`` that is no kind of curvature


@styled
def fidelity(
    lds: dict[str, list[float]],
    flipped_label_auc: dict[str, float],
    scores: pd.DataFrame,
    samples: pd.DataFrame,
) -> Picture:
    """Draw the linear datamodeling score of each kind of curvature, with mean, low and high.

    ``samples``, which may be empty, says how the ranking depends on the samples of the factors.
    """
    panels = 1 if samples.empty else 2
    figure = Figure(figsize=(5 * panels, 3.8), layout="constrained")
    grid = figure.subplots(1, panels, squeeze=False)[0]
    kinds = [kind for kind in lds if kind != AHEAD]
    _bars(grid[0], {kind: lds[kind] for kind in kinds}, scores)
    curve = "" if samples.empty else _agreement(grid[1], samples)
    best = max(kinds, key=lambda kind: lds[kind][0])
    ahead = ""
    if AHEAD in lds:
        mean, low, high = lds[AHEAD]
        ahead = f", ahead of the next by {mean:.3f} (95 % {low:.3f} to {high:.3f})"
    auc = "".join(f" {kind} {value:.3f}" for kind, value in flipped_label_auc.items())
    noise = f" AUC of flipped labels:{auc}." if auc else ""
    return Picture(
        figure,
        None,
        "How well the influence vectors predict retraining, by kind of curvature",
        "A: Spearman's rho between the predicted and the actual loss of a class after training on"
        " random halves. Bars: mean over the classes, with its 95 % bootstrap interval over the"
        f" halves; circles: classes. First is {best}{ahead}.{noise}{curve}",
        "Bar chart of scores by kind of curvature"
        + (", line chart of rank agreement over samples." if curve else "."),
    )


def _bars(axes: Axes, lds: dict[str, list[float]], scores: pd.DataFrame) -> None:
    """Draw a bar with its interval for each kind of curvature, and a circle for each class."""
    mean, low, high = np.array(list(lds.values())).T
    axes.bar(list(lds), mean, color="#cfe3f3", edgecolor="black", linewidth=0.8)
    axes.errorbar(list(lds), mean, [mean - low, high - mean], fmt="none", color="black", capsize=5)
    style: dict[str, Any] = {
        "marker": "o",
        "s": 9,
        "c": "white",
        "edgecolor": "black",
        "linewidth": 0.6,
    }
    for number, kind in enumerate(lds):
        rho = scores.loc[scores["kind"] == kind, "lds"]
        axes.scatter(np.full(len(rho), number + 0.25), rho, **style)
    axes.set(ylabel="linear datamodeling score", title="A  predicts retraining on halves")


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
    axes.set(ylabel="Spearman's $\\rho$ with every label", title="B  ranking of P")
    axes.set_xticks(line.index, labels=line.index)
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize="small")
    importance, balanced = (by_draw.loc[draw, "mean"] for draw in ("importance", "balanced"))
    return (
        " B: EKFAC from drawn pairs of sample and label, against every label of every sample. With"
        f" as many pairs as samples (last point) rho is {importance.iloc[-1]:.3f} when pairs are"
        f" drawn by importance, and {balanced.iloc[-1]:.3f} with one label of each sample."
    )
