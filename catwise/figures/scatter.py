"""Draw the influence plane and the samples that it is about: the parts of Figures 1, 2 and 5."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.figures.style import BLUE, GREEN, ORANGE

if TYPE_CHECKING:
    from catwise.pipeline.records import TrimmingState

__all__ = [
    "GROUPS",
    "PALE_BOX",
    "accuracy_label",
    "draw_boundary",
    "draw_samples",
    "logarithmic_plane",
    "plane_axes",
    "regions",
    "sample_map",
    "shared_legend",
    "size_label",
]

GROUPS = ((BLUE, "o"), (ORANGE, "s"), ("#bdbdbd", "^"))  # first class, second class, any other
PALE_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}


def regions(p_n2: np.ndarray, classes: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Return the four quadrants of the influence plane as masks (n,), by name.

    Every sample is in one of them; an influence of zero counts as not positive.
    """
    first, second = p_n2.T > 0
    return {
        f"tradeoff: {classes[1]} gains": ~first & second,
        "joint positive": first & second,
        "joint negative": ~first & ~second,
        f"tradeoff: {classes[0]} gains": first & ~second,
    }


def size_label(rows: np.ndarray, flipped_n: np.ndarray) -> str:
    """Say how many samples there are and, if any label is flipped at all, how many of them are."""
    size = f"{len(rows)} samples"
    return f"{size}, {flipped_n[rows].sum()} flipped" if flipped_n.any() else size


def draw_samples(
    axes: Axes,
    xy_n2: np.ndarray,
    group_n: np.ndarray,
    flipped_n: np.ndarray,
    names: tuple[str, ...],
) -> None:
    """Draw one colour and marker per group; flipped labels are crosses with a black edge.

    A group without samples is left out.
    """
    for group, (name, (colour, marker)) in enumerate(zip(names, GROUPS, strict=False)):
        style: dict[str, Any] = {"color": colour, "linewidth": 0.5, "s": 13}
        points, crosses = (
            xy_n2[(group_n == group) & (flipped_n == flipped)] for flipped in (False, True)
        )
        if (group_n == group).any():
            axes.scatter(*points.T, marker=marker, label=name, zorder=2 - group / 3, **style)
        if len(crosses):
            style |= {"edgecolor": "black", "s": 32, "zorder": 3}
            axes.scatter(*crosses.T, marker="X", label=f"{name}, flipped", **style)


def plane_axes(axes: Axes, limit: float, classes: tuple[str, ...], scale: str = "") -> None:
    """Draw axes through zero, named with their ``scale``, and the line y = -x."""
    for line in (axes.axhline, axes.axvline):
        line(0, color="black", linewidth=0.8, zorder=0)
    style = {"color": GREEN, "linewidth": 1.4, "zorder": 0}
    axes.plot([-limit, limit], [limit, -limit], "--", label="y = -x", **style)
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), box_aspect=1)
    first, second = (f"influence on {name}{scale}" for name in classes[:2])
    axes.set(xlabel=first, ylabel=second)


def logarithmic_plane(
    axes: Axes, p_n2: np.ndarray, classes: tuple[str, ...], unit: str = "nats"
) -> None:
    """Draw the axes of ``plane_axes``, in ``unit``, in a scale that is logarithmic but near 0.

    It begins at a power of ten near a hundredth of the largest influence, so that no number stands
    between it and 0. It leaves y = -x straight.
    """
    largest = np.abs(p_n2).max() or 1.0
    for set_scale in (axes.set_xscale, axes.set_yscale):
        set_scale("symlog", linthresh=10.0 ** np.floor(np.log10(largest / 30)))
    plane_axes(axes, 4 * largest, classes, f", {unit} (symlog scale)")


def sample_map(axes: Axes, x_n2: np.ndarray) -> None:
    """Set the frame of the samples: both axes of one scale, with space for a legend above."""
    (left, low), (right, high) = x_n2.min(axis=0), x_n2.max(axis=0)
    margin = 0.05 * (right - left)
    axes.set(xlim=(left - margin, right + margin), ylim=(low - margin, high + 4 * margin))
    axes.set(xlabel="$x_1$", ylabel="$x_2$")
    axes.set_box_aspect((high - low + 5 * margin) / (right - left + 2 * margin))


def accuracy_label(state: "TrimmingState", classes: tuple[str, ...]) -> str:
    """List the accuracy of each class."""
    return ", ".join(
        f"{name} {100 * share:.1f} %" for name, share in zip(classes, state.accuracy_k, strict=True)
    )


def draw_boundary(axes: Axes, state: "TrimmingState", classes: tuple[str, ...]) -> None:
    """Draw the line w . x + b = 0, with the accuracies that it reaches in the legend."""
    w, b = state.boundary[:2], state.boundary[2]
    nearest = -b * w / (w @ w)  # to 0
    along = np.array([-w[1], w[0]]) / np.linalg.norm(w)
    style: dict[str, Any] = {"color": "black", "linewidth": 1.6}
    label = accuracy_label(state, classes)
    line = axes.axline(nearest, nearest + along, label=label, **style)
    axes.legend(handles=[line], loc="upper center", framealpha=1)


def shared_legend(figure: Figure, *sources: Axes) -> None:
    """Draw one entry per kind of mark below all panels; shares (in %) stay in their own panels."""
    entries: dict[str, Any] = {}
    for axes in sources:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            if "%" not in label:
                entries[label] = handle
    columns = min(len(entries), int(figure.get_figwidth() / 1.7))
    style: dict[str, Any] = {"loc": "outside lower center", "ncols": columns, "frameon": False}
    figure.legend(entries.values(), entries.keys(), **style)
