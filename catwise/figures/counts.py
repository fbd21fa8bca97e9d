"""Draw where beneficial and detrimental samples come from (Figure 8)."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.figures.style import BLUE, SLANTED, Picture, check_vectors, styled
from catwise.influence.top_counts import top_counts

__all__ = ["counts"]

PALE = "#fbe3b9"


@styled
def counts(
    p_nk: np.ndarray, labels_n: np.ndarray, classes: tuple[str, ...], share: float = 0.1
) -> Picture:
    """Draw whose labels the samples bear that section 5.1 removes.

    Differs from the paper: Figure 8 counts samples by the sign of their influence. Nearly every
    P[i, k] has a sign, so signs alone say little; the caption gives that count too.
    """
    check_vectors(p_nk, labels_n, classes)
    counted = top_counts(p_nk, labels_n, share)
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    panels = zip(
        figure.subplots(1, 2, sharey=True), ("beneficial", "detrimental"), counted, strict=True
    )
    for axes, group, (own_k, other_k) in panels:
        _bars(axes, own_k, other_k, classes)
        axes.set(title=f"{group}; number: own class", xlabel="class", ylabel="training samples")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    own, _ = 100 * counted.sum(axis=2).T / counted.sum(axis=(1, 2))
    member_nk = labels_n[:, None] == np.arange(len(classes))
    signs = [100 * member_nk[mask].mean() for mask in (p_nk > 0, p_nk < 0)]
    return Picture(
        figure,
        "Figure 8",
        "Where beneficial and detrimental samples come from",
        f"For each class, the {100 * share:.0f} % of the training samples with the largest and with"
        " the smallest influence on it; a sample is of the own class if it bears that label."
        f" {own[0]:.0f} % of the beneficial and {own[1]:.0f} % of the detrimental samples are of"
        " the own class (paper: the beneficial mainly are, the detrimental are of others). Counted"
        f" by sign alone, {signs[0]:.0f} % and {signs[1]:.0f} % are.",
        "Two bar charts over the classes: samples of the own class and of other classes.",
    )


def _bars(axes: Axes, own_k: np.ndarray, other_k: np.ndarray, classes: tuple[str, ...]) -> None:
    """Stack the samples of other classes on those of the own class."""
    style: dict[str, Any] = {"edgecolor": "black", "linewidth": 0.8}
    axes.bar(classes, own_k, color=BLUE, label="own class", **style)
    style |= {"color": PALE, "hatch": "///"}
    bars = axes.bar(classes, other_k, bottom=own_k, label="other class", **style)
    axes.bar_label(bars, own_k, padding=2)
    axes.set_ylim(0, 1.15 * (own_k + other_k).max())
    if max(map(len, classes)) > 4:
        axes.set_xticks(range(len(classes)), classes, **SLANTED)
