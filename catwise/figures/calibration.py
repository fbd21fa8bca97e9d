"""Draw what was predicted against what came: by retraining on subsets, and by one more epoch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from catwise.ceiling.calibration import besides_counts
from catwise.core.statistics import Estimate
from catwise.figures.style import COLOURS, GREY, Picture, styled

__all__ = ["calibration", "retrained_gains"]

MARKERS = "osD^vP"


@styled
def calibration(benchmark: dict[str, Any], dataset: str) -> Picture:
    """Draw a mark for each epoch that was trained with other weights, by the share of flips."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    rows = benchmark["rows"]
    for number, share in enumerate(sorted({row["share"] for row in rows})):
        group = [row for row in rows if row["share"] == share]
        axes.scatter(
            [100 * row["headroom"] for row in group],
            [row["loss_worst"] for row in group],
            label=f"{100 * share:.0f} % flipped",
            marker=MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            edgecolor="black",
            linewidth=0.5,
        )
    axes.axhline(0, color=GREY, linewidth=1)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_xlabel("predicted: cross-fitted headroom, % of the influence mass")
    axes.set_ylabel("realised: net gain of the worst class, nats of loss")
    axes.legend(frameon=False)
    rho, low, high = benchmark["correlations"]["headroom, loss_worst"]
    accuracy_rho = benchmark["correlations"]["headroom, accuracy_worst"][0]
    return Picture(
        figure,
        None,
        "Predicted room against what it brought",
        f"Each mark is one epoch of a training on {dataset} with planted flips, taken again with"
        " weights that should raise every class. Horizontal: the headroom that was predicted."
        " Vertical: how much lower the test loss of the worst class then is than after the same"
        " epoch with all-ones weights; above 0, even the worst class gained. If the prediction is"
        f" good, the marks rise from left to right: Spearman's rho is {rho:.2f} (95 % interval"
        f" {low:.2f} to {high:.2f} over the trainings). With the gain in accuracy rho is"
        f" {accuracy_rho:.2f}: influence is about loss.",
        "Scatter plot of predicted headroom against the realised net gain of the worst class.",
    )


@styled
def retrained_gains(
    p_nk: np.ndarray,
    labels_n: np.ndarray,
    counts_k: np.ndarray,
    subsets: dict[str, np.ndarray],
    classes: Sequence[str],
    slope: Estimate,
    rank_score: Estimate,
) -> Picture:
    """Draw a mark for each class and retrained subset: the gain as predicted and as realised.

    ``subsets`` are the arrays of subsets.npz; ``slope`` and ``rank_score`` are those of the
    calibration. Gains are relative to the mean of the class over the subsets that were drawn alike,
    and less what the number of its own samples in them explains.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    arrays = (subsets[name] for name in ("kept_hn", "loss_hsk", "design_h"))
    x_hk, y_hk = besides_counts(p_nk, labels_n, counts_k, *arrays)
    for k, name in enumerate(classes):
        style = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]}
        axes.scatter(x_hk[:, k], y_hk[:, k], s=9, alpha=0.6, label=name, **style)
    ends = np.array([x_hk.min(), x_hk.max()])
    axes.plot(ends, slope.value * ends, color="black", linewidth=1)
    axes.axhline(0, color=GREY, linewidth=1)
    axes.set_xlabel("predicted gain, nats")
    axes.set_ylabel("realised gain, nats")
    if len(classes) <= 10:
        axes.legend(frameon=False, fontsize="small", ncols=2)
    return Picture(
        figure,
        None,
        "How much of a predicted gain comes true?",
        "Each mark is a class of a model that was trained again on a random part of the samples."
        " Horizontal: by how much influence says that its loss falls. Vertical: by how much it"
        " fell. Both are relative to the mean over the parts that were drawn alike, and less what"
        " the number of the class's own samples in a part explains. The line has"
        f" the slope by which predictions are calibrated, {slope.value:.2g} (95 % interval"
        f" {slope.low:.2g} to {slope.high:.2g}); the rank score is {rank_score.value:.2g}"
        f" ({rank_score.low:.2g} to {rank_score.high:.2g}).",
        "Scatter plot of predicted against realised gains of each class, with a line.",
    )
