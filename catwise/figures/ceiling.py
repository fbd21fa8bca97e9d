"""Draw the headroom and the spectrum after each epoch."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.ceiling.pca_rule import RULE
from catwise.figures.style import BLUE, GREY, ORANGE, Picture, styled

__all__ = ["ceiling"]


@styled
def ceiling(
    epochs: pd.DataFrame,
    verdict: str,
    gains: pd.DataFrame | None = None,
    small_gain: float | None = None,
) -> Picture:
    """Draw the four numbers of the check at each checkpoint, with 95 % intervals and nulls.

    ``verdict`` is the sentence of ``catwise.ceiling.verdict``. ``gains`` are what a new training
    would bring each class, if models were trained again, and ``small_gain`` (points) a ceiling.
    """
    panels = 2 if gains is None else 3
    figure = Figure(figsize=(5 * panels, 3.8), layout="constrained")
    left, right, *others = figure.subplots(1, panels)
    if gains is not None:
        _gains(others[0], gains, small_gain)
    _series(left, epochs, "headroom", "t*, on one validation set", null=True)
    _series(left, epochs, "crossfitted", "cross-fitted", second=True, null=True)
    _series(right, epochs, "first_component_ratio", "first component (paper)")
    _series(right, epochs, "smallest_share", "last share, uncentred", second=True)
    left.axhline(0, color="black", linewidth=0.8)
    left.set(ylabel="% of each class's influence mass", title="A  headroom")
    right.axhline(RULE, color=GREY, linestyle="--", label="the paper's rule: room above")
    right.set(ylabel="share of variance", title="B  spectrum", ylim=(0, None))
    for axes in (left, right):
        axes.legend(frameon=False, fontsize="small")
    more = (
        " C: the gain of each class if the model were trained anew with weights that should help"
        " every class, as calibrated by retraining, with 95 % intervals."
        if gains is not None
        else ""
    )
    return Picture(
        figure,
        None,
        "Is there room to help every class at once?",
        f"At the last checkpoint: {verdict}. A: the best joint improvement, measured on the"
        " validation samples that chose it (t*) and on others (cross-fitted). Lines on points are"
        " 95 % jackknife intervals. Pale bars hold the middle 95 % of the headroom when samples are"
        " dealt to classes at random, so that no class stands in another's way. B: the ratio that"
        f" the paper goes by, and the share that is 0 on a hyperplane through the origin.{more}",
        "Two line charts over epochs: headroom, and shares of the spectrum of the influence"
        f" vectors.{' Gains of each class.' if more else ''}",
    )


def _gains(axes: Axes, gains: pd.DataFrame, small_gain: float | None) -> None:
    """Draw what a new training would bring each class in points, the least first."""
    rows = gains[gains["quantity"] == "accuracy"].sort_values("value")
    error = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
    style = {"color": BLUE, "capsize": 4, "markeredgecolor": "black"}
    axes.errorbar(range(len(rows)), rows["value"], error, fmt="o", **style)
    axes.axhline(0, color="black", linewidth=0.8)
    if small_gain is not None:
        axes.axhline(small_gain, color=GREY, linestyle="--", label="a small gain")
        axes.legend(frameon=False, fontsize="small")
    axes.set_xticks(range(len(rows)), rows["class"], rotation=45 if len(rows) > 4 else 0)
    axes.set(ylabel="points of accuracy", title="C  what a new training would bring")


def _series(
    axes: Axes,
    epochs: pd.DataFrame,
    name: str,
    label: str,
    second: bool = False,
    null: bool = False,
) -> None:
    """Draw one number by epoch; headrooms, which have a null, in percent."""
    rows = epochs[epochs["figure"] == name]
    colour, marker = (BLUE, "o") if second else (ORANGE, "s")
    first, last = epochs["epoch"].min(), epochs["epoch"].max()
    width = max(last - first, 1)
    at = rows["epoch"] + (0.01 if second else -0.01) * width  # beside each other
    factor = 100 if null else 1
    if null:
        ends = (factor * rows["null_low"], factor * rows["null_high"])
        axes.vlines(at, *ends, color=colour, alpha=0.25, linewidth=7, label=f"{label}: null")
    value = factor * rows["value"]
    error = [value - factor * rows["low"], factor * rows["high"] - value]
    style = {"color": colour, "capsize": 4, "markeredgecolor": "black"}
    axes.errorbar(at, value, error, fmt=f"{marker}-", label=label, **style)
    axes.set_xticks(rows["epoch"], rows["epoch"])
    axes.set(xlabel="epoch", xlim=(first - 0.08 * width, last + 0.08 * width))
