"""Draw how well influence vectors predict retraining."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.figures.style import BLUE, ORANGE, Picture, styled

__all__ = ["fidelity"]


@styled
def fidelity(found: dict[str, Any], scores: pd.DataFrame, samples: pd.DataFrame) -> Picture:
    """The linear datamodeling score of each kind of curvature, and how the ranking depends on the factors' samples."""
    panels = 1 if samples.empty else 2
    figure = Figure(figsize=(5 * panels, 3.8), layout="constrained")
    bars, *others = np.atleast_1d(figure.subplots(1, panels))
    kinds = [name for name in found["lds"] if name != "best - next"]
    mean, low, high = np.array([found["lds"][kind] for kind in kinds]).T
    bars.bar(kinds, mean, color="#cfe3f3", edgecolor="black", linewidth=0.8)
    bars.errorbar(kinds, mean, [mean - low, high - mean], fmt="none", color="black", capsize=5)
    for place, kind in enumerate(kinds):
        rho = scores.loc[scores["kind"] == kind, "lds"]
        bars.scatter(
            np.full(len(rho), place + 0.25),
            rho,
            marker="o",
            s=9,
            c="white",
            edgecolor="black",
            linewidth=0.6,
        )
    bars.set(ylabel="linear datamodeling score", title="A  predicts retraining on halves")
    words = "".join(_agreement(axes, samples) for axes in others)
    best, *_ = sorted(kinds, key=lambda kind: -found["lds"][kind][0])
    auc = "".join(f" {kind} {value:.3f}" for kind, value in found["flipped_label_auc"].items())
    paired = found["lds"].get("best - next")
    ahead = (
        f", ahead of the next by {paired[0]:.3f} (95 % {paired[1]:.3f} to {paired[2]:.3f})"
        if paired
        else ""
    )
    return Picture(
        figure,
        None,
        "How well the influence vectors predict retraining, by kind of curvature",
        f"A: Spearman's rho between predicted and actual loss of a class after training on random halves; bars: mean"
        f" over the classes with its 95 % bootstrap interval over the halves, circles: classes. First is {best}{ahead}."
        f"{f' AUC of flipped labels:{auc}.' if auc else ''}{words}",
        f"Bar chart of scores by kind of curvature{', line chart of rank agreement over samples' * len(others)}.",
    )


def _agreement(axes: Axes, samples: pd.DataFrame) -> str:
    """How the ranking depends on the number of pairs drawn, and the words about it."""
    by_class = samples.groupby(["draw", "samples", "class"])["spearman"].mean()
    by_draw = by_class.groupby(["draw", "samples"]).agg(["mean", "min"])
    for draw, colour, marker in (("importance", BLUE, "o"), ("balanced", ORANGE, "s")):
        line = by_draw.loc[draw]
        axes.plot(line["mean"], f"{marker}-", color=colour, label=f"{draw}, mean over classes")
        axes.plot(
            line["min"],
            f"{marker}--",
            color=colour,
            markerfacecolor="white",
            label=f"{draw}, worst class",
        )
    axes.set(
        xscale="log",
        xlabel="pairs drawn for the factors",
        ylabel="Spearman's $\\rho$ with every label",
    )
    axes.set(title="B  ranking of P")
    axes.set_xticks(line.index, labels=line.index)
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize="small")
    return (
        " B: EKFAC from drawn pairs of sample and label against every label of every sample; with as many pairs as"
        f" samples (last point) rho is {by_draw.loc['importance', 'mean'].iloc[-1]:.3f} by importance,"
        f" {by_draw.loc['balanced', 'mean'].iloc[-1]:.3f} for one label of each sample."
    )
