"""The influence plane and the data it is about (Figures 1, 2, 5): arrays in, a Figure with its words out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t as student

from catwise.errors import InputError
from catwise.pictures import BLUE, GREEN, GREY, HARM, ORANGE, Picture, check_vectors, styled

__all__ = ["State", "influence_plane", "regions", "synthetic", "trimming", "trimming_control"]

GROUPS = ((BLUE, "o"), (ORANGE, "s"), ("#bdbdbd", "^"))  # first class, second class, any other
PALE_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}


@dataclass(frozen=True)
class State:
    """The training set before a round of trimming: rows ``kept``, their ``vectors``, rows ``removed`` in this round.

    ``boundary`` = w1, w2, b of the line w . x + b = 0 fitted to the rows kept; ``accuracy_k`` on the test split.
    """

    kept: np.ndarray
    vectors: np.ndarray
    removed: np.ndarray
    boundary: np.ndarray
    accuracy_k: np.ndarray


def regions(p_n2: np.ndarray, classes: tuple[str, str]) -> dict[str, np.ndarray]:
    """The quadrants of the influence plane, as masks (n,): every sample is in one; zero counts as not positive."""
    first, second = p_n2.T > 0
    return {
        f"tradeoff: {classes[1]} gains": ~first & second,
        "joint positive": first & second,
        "joint negative": ~first & ~second,
        f"tradeoff: {classes[0]} gains": first & ~second,
    }


def _size(rows: np.ndarray, flipped_n: np.ndarray) -> str:
    return f"{len(rows)} samples" + (f", {flipped_n[rows].sum()} flipped" if flipped_n.any() else "")


def _samples(axes: Axes, xy_n2: np.ndarray, group_n: np.ndarray, flipped_n: np.ndarray, names: tuple[str, ...]) -> None:
    """One colour and marker per group; a cross with a black edge where the label was flipped."""
    for group, (name, (colour, marker)) in enumerate(zip(names, GROUPS, strict=False)):
        style: dict[str, Any] = {"color": colour, "linewidth": 0.5, "s": 13, "zorder": 2 - group / 3}
        points, crosses = (xy_n2[(group_n == group) & (flipped_n == flipped)] for flipped in (False, True))
        axes.scatter(*points.T, marker=marker, label=name, **style)
        if len(crosses):
            style |= {"edgecolor": "black", "s": 32, "zorder": 3}
            axes.scatter(*crosses.T, marker="X", label=f"{name}, flipped", **style)


def _plane(axes: Axes, limit: float, classes: tuple[str, str]) -> None:
    """Axes through zero, and the line y = -x."""
    for line in (axes.axhline, axes.axvline):
        line(0, color="black", linewidth=0.8, zorder=0)
    axes.plot([-limit, limit], [limit, -limit], "--", color=GREEN, linewidth=1.4, label="y = -x", zorder=0)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), box_aspect=1)
    axes.set(xlabel=f"influence on {classes[0]}", ylabel=f"influence on {classes[1]}")


def _map(axes: Axes, x_n2: np.ndarray) -> None:
    """The frame of the samples, both axes of one scale, with room for a legend above them."""
    (left, low), (right, high) = x_n2.min(axis=0), x_n2.max(axis=0)
    margin = 0.05 * (right - left)
    axes.set(xlim=(left - margin, right + margin), ylim=(low - margin, high + 4 * margin))
    axes.set(xlabel="$x_1$", ylabel="$x_2$", box_aspect=(high - low + 5 * margin) / (right - left + 2 * margin))


def _reached(state: State, classes: tuple[str, str]) -> str:
    return ", ".join(f"{name} {100 * share:.1f} %" for name, share in zip(classes, state.accuracy_k, strict=True))


def _boundary(axes: Axes, state: State, classes: tuple[str, str]) -> None:
    """The line w . x + b = 0, through its point nearest to 0; the legend tells the accuracies that it reaches."""
    w, b = state.boundary[:2], state.boundary[2]
    nearest = -b * w / (w @ w)
    along = np.array([-w[1], w[0]]) / np.linalg.norm(w)
    line = axes.axline(nearest, nearest + along, color="black", linewidth=1.6, label=_reached(state, classes))
    axes.legend(handles=[line], loc="upper center", framealpha=1)


def _shared_legend(figure: Figure, *sources: Axes) -> None:
    """One entry per kind of mark below all panels; what differs between panels stays in theirs."""
    entries: dict[str, Any] = {}
    for axes in sources:
        handles, labels = axes.get_legend_handles_labels()
        entries |= {text: handle for handle, text in zip(handles, labels, strict=True) if "%" not in text}
    figure.legend(
        entries.values(),
        entries.keys(),
        loc="outside lower center",
        ncols=min(len(entries), int(figure.get_figwidth() / 1.7)),
        frameon=False,
    )


@styled
def influence_plane(
    p_nk: np.ndarray, y_n: np.ndarray, flipped_n: np.ndarray, classes: tuple[str, ...], chosen: tuple[str, str]
) -> Picture:
    """Figure 1 on data. The scale is logarithmic beyond 1 % of the largest value, which leaves y = -x straight."""
    check_vectors(p_nk, y_n, classes)
    if len(set(chosen)) != 2 or not set(chosen) <= set(classes):
        raise InputError(f"figures.classes: expected two different ones of {', '.join(classes)}; came {list(chosen)}")
    pair = [classes.index(name) for name in chosen]
    p_n2 = p_nk[:, pair]
    figure = Figure(figsize=(8, 8.4), layout="constrained")
    axes = figure.subplots()
    largest = np.abs(p_n2).max() or 1.0
    axes.set_xscale("symlog", linthresh=largest / 100)
    axes.set_yscale("symlog", linthresh=largest / 100)
    _plane(axes, 4 * largest, chosen)
    names = (f"label {chosen[0]}", f"label {chosen[1]}", "other label")
    group_n = np.select([y_n == pair[0], y_n == pair[1]], [0, 1], 2)
    _samples(axes, p_n2, group_n, flipped_n, names[: len(classes)])
    found = regions(p_n2, chosen)
    corners = (("left", "top"), ("right", "top"), ("left", "bottom"), ("right", "bottom"))
    for (name, mask), (ha, va) in zip(found.items(), corners, strict=True):
        place = (0.02 if ha == "left" else 0.98, 0.02 if va == "bottom" else 0.98)
        text = f"{name}\n{_size(np.flatnonzero(mask), flipped_n)}"
        axes.annotate(text, place, xycoords="axes fraction", ha=ha, va=va, weight="bold", bbox=PALE_BOX)
    _shared_legend(figure, axes)
    sizes = "; ".join(f"{name} {mask.sum()} ({100 * mask.mean():.1f} %)" for name, mask in found.items())
    noise = f" Joint negative are {flipped_n[found['joint negative']].sum()} of the {flipped_n.sum()} flipped labels."
    return Picture(
        figure,
        "Figure 1",
        f"Influence of every training sample on {chosen[0]} and {chosen[1]}",
        f"{len(p_n2)} training samples; positive influence helps the class. {sizes}.{noise if flipped_n.any() else ''}"
        " At the paper's ceiling all lie close to the dashed line. Linear within 1 % of the largest value, then"
        " logarithmic.",
        f"Scatter plot of the influence on {chosen[0]} against the influence on {chosen[1]}, in four regions.",
    )


@styled
def synthetic(
    x_n2: np.ndarray,
    y_n: np.ndarray,
    flipped_n: np.ndarray,
    p_n2: np.ndarray,
    state: State,
    classes: tuple[str, str],
    paper: str,
) -> Picture:
    """Figure 2: the samples, their influence vectors, and the influence on each class painted on the samples."""
    check_vectors(p_n2, y_n, classes)
    figure = Figure(figsize=(10, 7.6), layout="constrained")
    (data, plane), maps = figure.subplots(2, 2)
    _map(data, x_n2)
    _samples(data, x_n2, y_n, flipped_n, classes)
    _boundary(data, state, classes)
    data.set_title("A  training data, colour: label given")
    _plane(plane, 1.08 * np.abs(p_n2).max(), classes)
    _samples(plane, p_n2, y_n, flipped_n, classes)
    plane.set_title("B  influence vectors")
    for k, axes in enumerate(maps):
        _map(axes, x_n2)
        size_n = np.abs(p_n2[:, k])
        alpha_n = np.clip(np.sqrt(size_n / (np.quantile(size_n, 0.98) or 1)), 0.12, 1)
        for sign, rows, colour, marker in (
            ("positive", p_n2[:, k] > 0, GROUPS[k][0], "o"),
            ("negative", p_n2[:, k] <= 0, HARM, "v"),
        ):
            axes.scatter(*x_n2[rows].T, c=colour, marker=marker, s=22, alpha=alpha_n[rows], linewidth=0)
            axes.scatter([], [], c=colour, marker=marker, s=22, label=f"{sign}: {rows.sum()}")  # opaque in the legend
        axes.set_title(f"C  influence on {classes[k]}; strong colour: large")
        axes.legend(loc="upper center", ncols=2, frameon=False)
    _shared_legend(figure, data, plane)
    first, second = p_n2.T.astype(np.float64)
    correlation = np.corrcoef(first, second)[0, 1].round(2) + 0.0  # no -0
    joint = regions(p_n2, classes)["joint negative"]
    noise = f", among them {flipped_n[joint].sum()} of the {flipped_n.sum()} flipped labels" if flipped_n.any() else ""
    return Picture(
        figure,
        paper,
        "Training samples and their influence on both classes",
        f"A: the boundary with its accuracy on the test split. B: {100 * (first * second < 0).mean():.1f} % of the"
        f" {len(y_n)} samples help one class and harm the other (correlation {correlation:.2f});"
        f" {joint.sum()} harm both{noise}. C: circles help the class, red triangles harm it.",
        "Four scatter plots: training data, influence plane, and the influence on each class painted on the data.",
    )


@styled
def trimming(
    x_n2: np.ndarray, y_n: np.ndarray, flipped_n: np.ndarray, states: list[State], classes: tuple[str, str]
) -> Picture:
    """Figure 5: for each round the data, what is removed, and the data afterwards."""
    following: list[State | None] = [*states[1:], None]  # None: max_rounds came before the next fit
    pairs = [pair for pair in zip(states, following, strict=True) if len(pair[0].removed)] or [(states[0], states[0])]
    limit = 1.08 * max(np.abs(state.vectors).max() for state, _ in pairs)
    figure = Figure(figsize=(12, 1 + 3.1 * len(pairs)), layout="constrained")
    grid = figure.subplots(len(pairs), 3, squeeze=False, width_ratios=(1.5, 1, 1.5))
    for number, ((before, plane, result), (state, after)) in enumerate(zip(grid, pairs, strict=True), 1):
        gone = np.isin(state.kept, state.removed)
        left = state.kept[~gone]
        for axes, rows in ((before, state.kept), (result, left)):
            _map(axes, x_n2)
            _samples(axes, x_n2[rows], y_n[rows], flipped_n[rows], classes)
        _boundary(before, state, classes)
        if after:
            _boundary(result, after, classes)
        _plane(plane, limit, classes)
        _samples(plane, state.vectors[~gone], y_n[left], flipped_n[left], classes)
        plane.scatter(*state.vectors[gone].T, c=GREEN, marker="v", s=30, edgecolor="black", label="removed", zorder=4)
        before.set_title(f"round {number}: {_size(state.kept, flipped_n)}")
        plane.set_title(f"to be removed: {gone.sum()}")
        result.set_title(f"after: {_size(left, flipped_n)}{'' if after else '; not fitted'}")
    _shared_legend(figure, *grid[0])
    removed = np.concatenate([state.removed for state in states])
    title = (
        f"Rounds of trimming: {len(pairs)}" if len(removed) else "Trimming: no sample harms both classes, none removed"
    )
    figure.suptitle(title)
    noise = f", {flipped_n[removed].sum()} of the {flipped_n.sum()} flipped among them" if flipped_n.any() else ""
    return Picture(
        figure,
        "Figure 5" if len(removed) else None,
        title,
        f"Each round removes the samples that harm both classes (triangles) and fits again: {len(removed)} of"
        f" {len(y_n)} removed{noise}. Accuracy on the test split: first {_reached(states[0], classes)}; last"
        f" {_reached(states[-1], classes)}.",
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
    for name, (colour, _), axes in zip(classes, GROUPS, figure.subplots(1, 2, sharey=True), strict=False):
        ours, control = table.loc["influence", name], table.loc["random", name]
        label = f"at random, {seeds} seeds"
        style = {"fmt": "s--", "color": GREY, "capsize": 4, "markersize": 8, "markerfacecolor": "white"}
        axes.errorbar(control.index, control["mean"], control["half"], label=label, **style)
        axes.plot(ours.index, ours["mean"], "o-", color=colour, label="by influence", zorder=3)
        axes.set(title=name, xlabel="rounds of removal", ylabel="test accuracy, %", xticks=ours.index)
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
