"""Draw the headroom and the spectrum after each epoch."""

import pandas as pd
from matplotlib.figure import Figure

from catwise.figures.style import BLUE, GREY, ORANGE, Picture, styled

__all__ = ["ceiling"]


@styled
def ceiling(epochs: pd.DataFrame, verdict: str) -> Picture:
    """The four figures of ``catwise.ceiling.verdict`` at each checkpoint, with 95 % intervals and nulls."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    drawn = (
        (left, "headroom", "t*, on one validation set", ORANGE, "s"),
        (left, "crossfitted", "cross-fitted", BLUE, "o"),
        (right, "first_component_ratio", "first component (paper)", ORANGE, "s"),
        (right, "smallest_share", "last share, uncentred", BLUE, "o"),
    )
    first, last = epochs["epoch"].min(), epochs["epoch"].max()
    wide = max(last - first, 1)
    for axes, name, label, colour, marker in drawn:
        rows = epochs[epochs["figure"] == name]
        at = rows["epoch"] + (0.01 if marker == "o" else -0.01) * wide
        if axes is left:
            ends = (100 * rows["null_low"], 100 * rows["null_high"])
            axes.vlines(at, *ends, color=colour, alpha=0.25, linewidth=7, label=f"{label}: null")
        factor = 100 if axes is left else 1
        value, low, high = (factor * rows[key] for key in ("value", "low", "high"))
        style = {"color": colour, "capsize": 4, "markeredgecolor": "black"}
        axes.errorbar(
            at, value, [value - low, high - value], fmt=f"{marker}-", label=label, **style
        )
        axes.set_xticks(rows["epoch"], rows["epoch"])
        axes.set(xlabel="epoch", xlim=(first - 0.08 * wide, last + 0.08 * wide))
    left.axhline(0, color="black", linewidth=0.8)
    left.set(ylabel="% of each class's influence mass", title="A  headroom")
    right.axhline(0.2, color=GREY, linestyle="--", label="the paper's rule: room above")
    right.set(ylabel="share of variance", title="B  spectrum", ylim=(0, None))
    for axes in (left, right):
        axes.legend(frameon=False, fontsize="small")
    return Picture(
        figure,
        None,
        "Is there room to help every class at once?",
        f"At the last checkpoint: {verdict}. A: the best joint improvement, as it looks on the validation samples that"
        " chose it (t*) and on others (cross-fitted); there is room where the interval of the latter lies above 0."
        " Lines on points: 95 % jackknife intervals; pale bars: the middle 95 % when samples are dealt to classes at"
        " random, so that none stands in another's way. B: the ratio that the paper goes by, and the share that is 0 on"
        " a hyperplane through the origin.",
        "Two line charts over epochs: headroom, and shares of the spectrum of the influence vectors.",
    )
