"""The influence plane and the data it is about (Figures 1, 2, 5): arrays in, a Figure with its words out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.figures.style import BLUE, GREEN, ORANGE

__all__ = ["State", "regions"]


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


def size_label(rows: np.ndarray, flipped_n: np.ndarray) -> str:
    return f"{len(rows)} samples" + (
        f", {flipped_n[rows].sum()} flipped" if flipped_n.any() else ""
    )


def draw_samples(
    axes: Axes,
    xy_n2: np.ndarray,
    group_n: np.ndarray,
    flipped_n: np.ndarray,
    names: tuple[str, ...],
) -> None:
    """One colour and marker per group; a cross with a black edge where the label was flipped."""
    for group, (name, (colour, marker)) in enumerate(zip(names, GROUPS, strict=False)):
        style: dict[str, Any] = {
            "color": colour,
            "linewidth": 0.5,
            "s": 13,
            "zorder": 2 - group / 3,
        }
        points, crosses = (
            xy_n2[(group_n == group) & (flipped_n == flipped)] for flipped in (False, True)
        )
        axes.scatter(*points.T, marker=marker, label=name, **style)
        if len(crosses):
            style |= {"edgecolor": "black", "s": 32, "zorder": 3}
            axes.scatter(*crosses.T, marker="X", label=f"{name}, flipped", **style)


def plane_axes(axes: Axes, limit: float, classes: tuple[str, str]) -> None:
    """Axes through zero, and the line y = -x."""
    for line in (axes.axhline, axes.axvline):
        line(0, color="black", linewidth=0.8, zorder=0)
    axes.plot(
        [-limit, limit], [limit, -limit], "--", color=GREEN, linewidth=1.4, label="y = -x", zorder=0
    )
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), box_aspect=1)
    axes.set(xlabel=f"influence on {classes[0]}", ylabel=f"influence on {classes[1]}")


def sample_map(axes: Axes, x_n2: np.ndarray) -> None:
    """The frame of the samples, both axes of one scale, with room for a legend above them."""
    (left, low), (right, high) = x_n2.min(axis=0), x_n2.max(axis=0)
    margin = 0.05 * (right - left)
    axes.set(xlim=(left - margin, right + margin), ylim=(low - margin, high + 4 * margin))
    axes.set(
        xlabel="$x_1$",
        ylabel="$x_2$",
        box_aspect=(high - low + 5 * margin) / (right - left + 2 * margin),
    )


def accuracy_label(state: State, classes: tuple[str, str]) -> str:
    return ", ".join(
        f"{name} {100 * share:.1f} %" for name, share in zip(classes, state.accuracy_k, strict=True)
    )


def draw_boundary(axes: Axes, state: State, classes: tuple[str, str]) -> None:
    """The line w . x + b = 0, through its point nearest to 0; the legend tells the accuracies that it reaches."""
    w, b = state.boundary[:2], state.boundary[2]
    nearest = -b * w / (w @ w)
    along = np.array([-w[1], w[0]]) / np.linalg.norm(w)
    line = axes.axline(
        nearest, nearest + along, color="black", linewidth=1.6, label=accuracy_label(state, classes)
    )
    axes.legend(handles=[line], loc="upper center", framealpha=1)


def shared_legend(figure: Figure, *sources: Axes) -> None:
    """One entry per kind of mark below all panels; what differs between panels stays in theirs."""
    entries: dict[str, Any] = {}
    for axes in sources:
        handles, labels = axes.get_legend_handles_labels()
        entries |= {
            text: handle for handle, text in zip(handles, labels, strict=True) if "%" not in text
        }
    figure.legend(
        entries.values(),
        entries.keys(),
        loc="outside lower center",
        ncols=min(len(entries), int(figure.get_figwidth() / 1.7)),
        frameon=False,
    )
