"""Draw the rounds of iterated trimming (Figure 5) and their random control."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import t as student

from catwise.figures.scatter import (
    GROUPS,
    State,
    accuracy_label,
    draw_boundary,
    draw_samples,
    plane_axes,
    sample_map,
    shared_legend,
    size_label,
)
from catwise.figures.style import GREEN, GREY, Picture, styled

__all__ = ["trimming", "trimming_control"]


@styled
def trimming(
    x_n2: np.ndarray,
    y_n: np.ndarray,
    flipped_n: np.ndarray,
    states: list[State],
    classes: tuple[str, str],
) -> Picture:
    """Figure 5: for each round the data, what is removed, and the data afterwards."""
    following: list[State | None] = [*states[1:], None]  # None: max_rounds came before the next fit
    pairs = [pair for pair in zip(states, following, strict=True) if len(pair[0].removed)] or [
        (states[0], states[0])
    ]
    limit = 1.08 * max(np.abs(state.vectors).max() for state, _ in pairs)
    figure = Figure(figsize=(12, 1 + 3.1 * len(pairs)), layout="constrained")
    grid = figure.subplots(len(pairs), 3, squeeze=False, width_ratios=(1.5, 1, 1.5))
    for number, ((before, plane, result), (state, after)) in enumerate(
        zip(grid, pairs, strict=True), 1
    ):
        gone = np.isin(state.kept, state.removed)
        left = state.kept[~gone]
        for axes, rows in ((before, state.kept), (result, left)):
            sample_map(axes, x_n2)
            draw_samples(axes, x_n2[rows], y_n[rows], flipped_n[rows], classes)
        draw_boundary(before, state, classes)
        if after:
            draw_boundary(result, after, classes)
        plane_axes(plane, limit, classes)
        draw_samples(plane, state.vectors[~gone], y_n[left], flipped_n[left], classes)
        plane.scatter(
            *state.vectors[gone].T,
            c=GREEN,
            marker="v",
            s=30,
            edgecolor="black",
            label="removed",
            zorder=4,
        )
        before.set_title(f"round {number}: {size_label(state.kept, flipped_n)}")
        plane.set_title(f"to be removed: {gone.sum()}")
        result.set_title(f"after: {size_label(left, flipped_n)}{'' if after else '; not fitted'}")
    shared_legend(figure, *grid[0])
    removed = np.concatenate([state.removed for state in states])
    title = (
        f"Rounds of trimming: {len(pairs)}"
        if len(removed)
        else "Trimming: no sample harms both classes, none removed"
    )
    figure.suptitle(title)
    noise = (
        f", {flipped_n[removed].sum()} of the {flipped_n.sum()} flipped among them"
        if flipped_n.any()
        else ""
    )
    return Picture(
        figure,
        "Figure 5" if len(removed) else None,
        title,
        f"Each round removes the samples that harm both classes (triangles) and fits again: {len(removed)} of"
        f" {len(y_n)} removed{noise}. Accuracy on the test split: first {accuracy_label(states[0], classes)}; last"
        f" {accuracy_label(states[-1], classes)}.",
        "A row per round: the data with the boundary, the influence plane, and the data after removal.",
    )


@styled
def trimming_control(rounds: pd.DataFrame, classes: tuple[str, str]) -> Picture:
    """Accuracy after each round against removing as many samples at random: mean and its 95 % interval over seeds."""
    seeds = rounds.loc[rounds["arm"] == "random", "seed"].nunique()
    table = 100 * rounds.groupby(["arm", "class", "round"])["accuracy"].agg(["mean", "sem"])
    table["half"] = student.ppf(0.975, seeds - 1) * table["sem"]
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    words = []
    for name, (colour, _), axes in zip(
        classes, GROUPS, figure.subplots(1, 2, sharey=True), strict=False
    ):
        ours, control = table.loc["influence", name], table.loc["random", name]
        label = f"at random, {seeds} seeds"
        style = {
            "fmt": "s--",
            "color": GREY,
            "capsize": 4,
            "markersize": 8,
            "markerfacecolor": "white",
        }
        axes.errorbar(control.index, control["mean"], control["half"], label=label, **style)
        axes.plot(ours.index, ours["mean"], "o-", color=colour, label="by influence", zorder=3)
        axes.set(
            title=name, xlabel="rounds of removal", ylabel="test accuracy, %", xticks=ours.index
        )
        axes.legend(loc="best", frameon=False)
        last = f"{control['mean'].iloc[-1]:.1f} ± {control['half'].iloc[-1]:.1f} %"
        words.append(f"{name} {ours['mean'].iloc[-1]:.1f} %, at random {last}")
    return Picture(
        figure,
        None,
        "Trimming by influence against trimming at random",
        f"Accuracy on the test split after {rounds['round'].max()} rounds, {rounds['removed'].max()} samples removed:"
        f" {'; '.join(words)} (mean and 95 % interval of the mean over {seeds} seeds).",
        "Two line charts, one per class: accuracy over rounds, removal by influence and at random.",
    )
