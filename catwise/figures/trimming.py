"""Draw the rounds of iterated trimming (Figure 5) and their random control."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.core.statistics import student_half_width
from catwise.figures.scatter import (
    GROUPS,
    accuracy_label,
    draw_boundary,
    draw_samples,
    plane_axes,
    sample_map,
    shared_legend,
    size_label,
)
from catwise.figures.style import GREEN, GREY, Picture, styled

if TYPE_CHECKING:
    from catwise.pipeline.records import TrimmingState

__all__ = ["trimming", "trimming_control"]


@styled
def trimming(
    x_n2: np.ndarray,
    labels_n: np.ndarray,
    flipped_n: np.ndarray,
    states: "list[TrimmingState]",
    classes: tuple[str, ...],
) -> Picture:
    """Draw for each round the data, what it removes, and the data afterwards."""
    following = [*states[1:], None]  # None: the limit of rounds came before the next fit
    rounds = [pair for pair in zip(states, following, strict=True) if len(pair[0].removed)]
    rounds = rounds or [(states[0], states[0])]
    limit = 1.08 * max(np.abs(state.vectors).max() for state, _ in rounds)
    figure = Figure(figsize=(12, 1 + 3.1 * len(rounds)), layout="constrained")
    grid = figure.subplots(len(rounds), 3, squeeze=False, width_ratios=(1.5, 1, 1.5))
    for number, (row, (state, after)) in enumerate(zip(grid, rounds, strict=True), 1):
        before, plane, result = row
        gone = np.isin(state.kept, state.removed)
        left = state.kept[~gone]
        for axes, rows in ((before, state.kept), (result, left)):
            sample_map(axes, x_n2)
            draw_samples(axes, x_n2[rows], labels_n[rows], flipped_n[rows], classes)
        draw_boundary(before, state, classes)
        if after:
            draw_boundary(result, after, classes)
        plane_axes(plane, limit, classes)
        draw_samples(plane, state.vectors[~gone], labels_n[left], flipped_n[left], classes)
        style = {"c": GREEN, "marker": "v", "s": 30, "edgecolor": "black", "zorder": 4}
        plane.scatter(*state.vectors[gone].T, label="removed", **style)
        before.set_title(f"round {number}: {size_label(state.kept, flipped_n)}")
        plane.set_title(f"to be removed: {gone.sum()}")
        result.set_title(f"after: {size_label(left, flipped_n)}{'' if after else '; not fitted'}")
    shared_legend(figure, *grid[0])
    return _described(figure, states, flipped_n, classes, len(rounds))


def _described(
    figure: Figure,
    states: "list[TrimmingState]",
    flipped_n: np.ndarray,
    classes: tuple[str, ...],
    rounds: int,
) -> Picture:
    removed = np.concatenate([state.removed for state in states])
    title = f"Rounds of trimming: {rounds}"
    if not len(removed):
        title = "Trimming: no sample harms both classes, none removed"
    figure.suptitle(title)
    noise = ""
    if flipped_n.any():
        noise = f", {flipped_n[removed].sum()} of the {flipped_n.sum()} flipped among them"
    return Picture(
        figure,
        "Figure 5" if len(removed) else None,
        title,
        "Each round removes the samples that harm both classes (triangles) and fits again:"
        f" {len(removed)} of {len(flipped_n)} samples are removed{noise}. Accuracy on the test"
        f" split: at first {accuracy_label(states[0], classes)}; at last"
        f" {accuracy_label(states[-1], classes)}.",
        "A row per round: the data with the boundary, the influence plane, and the data after"
        " removal.",
    )


@styled
def trimming_control(rounds: pd.DataFrame, classes: tuple[str, ...]) -> Picture:
    """Draw the accuracy after each round beside that of removing as many samples at random."""
    seeds = rounds.loc[rounds["arm"] == "random", "seed"].nunique()
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    words = []
    panels = figure.subplots(1, 2, sharey=True)
    for name, (colour, _), axes in zip(classes, GROUPS, panels, strict=False):
        of_class = rounds[rounds["class"] == name].assign(accuracy=100 * rounds["accuracy"])
        words.append(f"{name} {_control_lines(axes, of_class, colour, seeds)}")
        axes.set(title=name, xlabel="rounds of removal", ylabel="test accuracy, %")
        axes.legend(loc="best", frameon=False)
    return Picture(
        figure,
        None,
        "Trimming by influence against trimming at random",
        f"Accuracy on the test split after {rounds['round'].max()} rounds, with"
        f" {rounds['removed'].max()} samples removed: {'; '.join(words)} (mean and 95 % interval of"
        f" the mean over {seeds} seeds).",
        "Two line charts, one per class: accuracy over rounds, removal by influence and at random.",
    )


def _control_lines(axes: Axes, of_class: pd.DataFrame, colour: str, seeds: int) -> str:
    """Draw both lines of one class, and say where they end."""
    influence = of_class[of_class["arm"] == "influence"].set_index("round")["accuracy"]
    random = of_class[of_class["arm"] == "random"].groupby("round")["accuracy"]
    mean, half = random.mean(), random.agg(student_half_width)
    style: dict[str, Any] = {
        "color": GREY,
        "capsize": 4,
        "markersize": 8,
        "markerfacecolor": "white",
    }
    axes.errorbar(mean.index, mean, half, fmt="s--", label=f"at random, {seeds} seeds", **style)
    axes.plot(influence.index, influence, "o-", color=colour, label="by influence", zorder=3)
    axes.set_xticks(influence.index)
    last = f"{mean.iloc[-1]:.1f} ± {half.iloc[-1]:.1f} %"
    return f"{influence.iloc[-1]:.1f} %, at random {last}"
