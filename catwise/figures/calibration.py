"""Draw the gains that influence predicts for retrained subsets against those that came."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from catwise.ceiling.calibration import besides_counts, calibrate_from
from catwise.figures.style import GREY, VISIBLE, Picture, styled

__all__ = ["retrained_gains"]

MARKERS = "osD^vP"


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
