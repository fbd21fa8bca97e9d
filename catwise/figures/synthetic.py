"""Draw a synthetic data set and its influence vectors (Figure 2)."""

import numpy as np
from matplotlib.figure import Figure

from catwise.figures.scatter import (
    GROUPS,
    State,
    draw_boundary,
    draw_samples,
    plane_axes,
    regions,
    sample_map,
    shared_legend,
)
from catwise.figures.style import HARM, Picture, check_vectors, styled

__all__ = ["synthetic"]


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
    sample_map(data, x_n2)
    draw_samples(data, x_n2, y_n, flipped_n, classes)
    draw_boundary(data, state, classes)
    data.set_title("A  training data, colour: label given")
    plane_axes(plane, 1.08 * np.abs(p_n2).max(), classes)
    draw_samples(plane, p_n2, y_n, flipped_n, classes)
    plane.set_title("B  influence vectors")
    for k, axes in enumerate(maps):
        sample_map(axes, x_n2)
        size_n = np.abs(p_n2[:, k])
        alpha_n = np.clip(np.sqrt(size_n / (np.quantile(size_n, 0.98) or 1)), 0.12, 1)
        for sign, rows, colour, marker in (
            ("positive", p_n2[:, k] > 0, GROUPS[k][0], "o"),
            ("negative", p_n2[:, k] <= 0, HARM, "v"),
        ):
            axes.scatter(
                *x_n2[rows].T, c=colour, marker=marker, s=22, alpha=alpha_n[rows], linewidth=0
            )
            axes.scatter(
                [], [], c=colour, marker=marker, s=22, label=f"{sign}: {rows.sum()}"
            )  # opaque in the legend
        axes.set_title(f"C  influence on {classes[k]}; strong colour: large")
        axes.legend(loc="upper center", ncols=2, frameon=False)
    shared_legend(figure, data, plane)
    first, second = p_n2.T.astype(np.float64)
    correlation = np.corrcoef(first, second)[0, 1].round(2) + 0.0  # no -0
    joint = regions(p_n2, classes)["joint negative"]
    noise = (
        f", among them {flipped_n[joint].sum()} of the {flipped_n.sum()} flipped labels"
        if flipped_n.any()
        else ""
    )
    return Picture(
        figure,
        paper,
        "Training samples and their influence on both classes",
        f"A: the boundary with its accuracy on the test split. B: {100 * (first * second < 0).mean():.1f} % of the"
        f" {len(y_n)} samples help one class and harm the other (correlation {correlation:.2f});"
        f" {joint.sum()} harm both{noise}. C: circles help the class, red triangles harm it.",
        "Four scatter plots: training data, influence plane, and the influence on each class painted on the data.",
    )
