"""Draw a synthetic data set and its influence vectors (Figure 2)."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.figures.scatter import (
    GROUPS,
    draw_boundary,
    draw_samples,
    plane_axes,
    regions,
    sample_map,
    shared_legend,
)
from catwise.figures.style import HARM, Picture, check_vectors, styled

if TYPE_CHECKING:
    from catwise.pipeline.records import TrimmingState

__all__ = ["synthetic"]


@styled
def synthetic(
    x_n2: np.ndarray,
    labels_n: np.ndarray,
    flipped_n: np.ndarray,
    p_n2: np.ndarray,
    state: "TrimmingState",
    classes: tuple[str, ...],
    paper: str,
) -> Picture:
    """Draw the samples, their influence vectors, and the influence painted on the samples."""
    check_vectors(p_n2, labels_n, classes)
    figure = Figure(figsize=(10, 7.6), layout="constrained")
    (data, plane), maps = figure.subplots(2, 2)
    sample_map(data, x_n2)
    draw_samples(data, x_n2, labels_n, flipped_n, classes)
    draw_boundary(data, state, classes)
    data.set_title("A  training data, colour: label given")
    plane_axes(plane, 1.08 * np.abs(p_n2).max(), classes)
    draw_samples(plane, p_n2, labels_n, flipped_n, classes)
    plane.set_title("B  influence vectors")
    for k, axes in enumerate(maps):
        _painted(axes, x_n2, p_n2[:, k], GROUPS[k][0])
        axes.set_title(f"C  influence on {classes[k]}; strong colour: large")
    shared_legend(figure, data, plane)
    return Picture(
        figure,
        paper,
        "Training samples and their influence on both classes",
        "A: the boundary, with its accuracy on the test split. B:"
        f" {_tradeoffs(p_n2, flipped_n, classes)} C: circles help the class, red triangles harm"
        " it.",
        "Four scatter plots: training data, influence plane, and the influence on each class"
        " painted on the data.",
    )


def _painted(axes: Axes, x_n2: np.ndarray, p_n: np.ndarray, colour: str) -> None:
    """Paint the influence on one class on the samples, the stronger the larger it is."""
    sample_map(axes, x_n2)
    size_n = np.abs(p_n)
    alpha_n = np.clip(np.sqrt(size_n / (np.quantile(size_n, 0.98) or 1)), 0.12, 1)
    for sign, mask_n, hue, marker in (
        ("positive", p_n > 0, colour, "o"),
        ("negative", p_n <= 0, HARM, "v"),
    ):
        style: dict[str, Any] = {"c": hue, "marker": marker, "s": 22}
        axes.scatter(*x_n2[mask_n].T, alpha=alpha_n[mask_n], linewidth=0, **style)
        axes.scatter([], [], label=f"{sign}: {mask_n.sum()}", **style)  # opaque in the legend
    axes.legend(loc="upper center", ncols=2, frameon=False)


def _tradeoffs(p_n2: np.ndarray, flipped_n: np.ndarray, classes: tuple[str, ...]) -> str:
    """Say how many samples trade one class for the other, and how many harm both."""
    first, second = p_n2.T.astype(np.float64)
    correlation = np.corrcoef(first, second)[0, 1].round(2) + 0.0  # no -0
    joint = regions(p_n2, classes)["joint negative"]
    noise = ""
    if flipped_n.any():
        noise = f", among them {flipped_n[joint].sum()} of the {flipped_n.sum()} flipped labels"
    return (
        f"{100 * (first * second < 0).mean():.1f} % of the {len(p_n2)} samples help one class and"
        f" harm the other (correlation {correlation:.2f}); {joint.sum()} harm both{noise}."
    )
