"""Draw where beneficial and detrimental samples come from (Figure 8)."""

import numpy as np
from matplotlib.figure import Figure

from catwise.figures.style import BLUE, Picture, check_vectors, styled
from catwise.influence.top_counts import top_counts

__all__ = ["counts"]


@styled
def counts(
    p_nk: np.ndarray, y_n: np.ndarray, classes: tuple[str, ...], share: float = 0.1
) -> Picture:
    """Figure 8 for the samples that section 5.1 removes: nearly every P[i, k] has a sign, so signs alone say little."""
    check_vectors(p_nk, y_n, classes)
    found = top_counts(p_nk, y_n, share)
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    groups = ("beneficial", "detrimental")
    for axes, group, (own_k, other_k) in zip(
        figure.subplots(1, 2, sharey=True), groups, found, strict=True
    ):
        style = {"edgecolor": "black", "linewidth": 0.8}
        axes.bar(classes, own_k, color=BLUE, label="own class", **style)
        bars = axes.bar(
            classes,
            other_k,
            bottom=own_k,
            color="#fbe3b9",
            hatch="///",
            label="other class",
            **style,
        )
        axes.bar_label(bars, own_k, padding=2)
        top = 1.15 * (own_k + other_k).max()
        axes.set(
            title=f"{group}; number: own class",
            xlabel="class",
            ylabel="training samples",
            ylim=(0, top),
        )
        if max(map(len, classes)) > 4:
            axes.set_xticks(
                range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor"
            )
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    own, _ = 100 * found.sum(axis=2).T / found.sum(axis=(1, 2))
    member_nk = y_n[:, None] == np.arange(len(classes))
    signs = [100 * member_nk[mask].mean() for mask in (p_nk > 0, p_nk < 0)]
    return Picture(
        figure,
        "Figure 8",
        "Where beneficial and detrimental samples come from",
        f"The {100 * share:.0f} % of the training samples with the largest and the smallest influence on each class;"
        f" own: the label given is that class. Of the beneficial {own[0]:.0f} %, of the detrimental {own[1]:.0f} % are"
        " of the own class (paper: beneficial mainly from their category, detrimental from others)."
        f" Counted by sign alone, {signs[0]:.0f} % and {signs[1]:.0f} % are.",
        "Two bar charts over the classes: samples of the own class and of other classes.",
    )
