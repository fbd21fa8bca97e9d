"""Draw what was predicted against what came: by retraining on subsets, and by one more epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from catwise.ceiling.calibration import besides_counts, calibrate_from
from catwise.figures.style import GREY, VISIBLE, Picture, styled

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
            color=VISIBLE[number % len(VISIBLE)],
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
    subsets: Mapping[str, np.ndarray],
    classes: Sequence[str],
) -> Picture:
    """Draw a mark for each class and retrained subset: the gain as predicted and as realised.

    A panel beside it has the mixture of the classes that weights can raise least. ``subsets`` are
    the arrays of subsets.npz. Gains are relative to the mean of the class over the subsets that
    were drawn alike, and less what the number of its own samples in them explains.
    """
    found = calibrate_from(subsets, p_nk, labels_n, counts_k)
    slope, score, mixture = found.slope, found.rank_score, found.mixture.interval(0)
    arrays = (subsets[name] for name in ("kept_hn", "loss_hsk", "design_h"))
    x_hk, y_hk = besides_counts(p_nk, labels_n, counts_k, *arrays)
    figure = Figure(figsize=(9.6, 4.2), layout="constrained")
    each, joint = figure.subplots(1, 2)
    for k, name in enumerate(classes):
        style = {"color": VISIBLE[k % len(VISIBLE)], "marker": MARKERS[k % len(MARKERS)]}
        each.scatter(x_hk[:, k], y_hk[:, k], s=9, alpha=0.6, label=name, **style)
    joint.scatter(x_hk[:, -1], y_hk[:, -1], s=9, alpha=0.6, color="black")
    panels = ((each, slope, x_hk[:, :-1], "each class"), (joint, mixture, x_hk[:, -1], "mixture"))
    for axes, estimate, values, title in panels:
        ends = np.array([values.min(), values.max()])
        axes.plot(ends, estimate.value * ends, color="black", linewidth=1)
        axes.axhline(0, color=GREY, linewidth=1)
        axes.set_xlabel("predicted gain, nats")
        axes.set_title(title)
    each.set_ylabel("realised gain, nats")
    if len(classes) <= 10:
        each.legend(frameon=False, fontsize="small", ncols=2)
    return Picture(
        figure,
        None,
        "How much of a predicted gain comes true?",
        "Each mark is a model that was trained again on a random part of the samples. Horizontal:"
        " by how much influence says that a loss falls. Vertical: by how much it fell. Both are"
        " relative to the mean over the parts that were drawn alike, and less what the number of"
        " the class's own samples in a part explains. Left: each class. The line has the slope by"
        f" which predictions are calibrated, {slope.value:.2g} (95 % interval {slope.low:.2g} to"
        f" {slope.high:.2g}); the rank correlation is {score.value:.2g} ({score.low:.2g} to"
        f" {score.high:.2g}). Right: the mixture of all classes that weights can raise least, which"
        f" must come true where all are to gain at once; its slope is {mixture.value:.2g}"
        f" ({mixture.low:.2g} to {mixture.high:.2g}).",
        "Two scatter plots of predicted against realised gains, with lines.",
    )
