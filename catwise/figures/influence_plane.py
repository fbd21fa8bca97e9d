"""Draw the influence plane (Figure 1)."""

import numpy as np
from matplotlib.figure import Figure

from catwise.core.errors import InputError
from catwise.figures.scatter import (
    PALE_BOX,
    draw_samples,
    plane_axes,
    regions,
    shared_legend,
    size_label,
)
from catwise.figures.style import Picture, check_vectors, styled

__all__ = ["influence_plane"]


@styled
def influence_plane(
    p_nk: np.ndarray,
    y_n: np.ndarray,
    flipped_n: np.ndarray,
    classes: tuple[str, ...],
    chosen: tuple[str, str],
) -> Picture:
    """Figure 1 on data. The scale is logarithmic beyond 1 % of the largest value, which leaves y = -x straight."""
    check_vectors(p_nk, y_n, classes)
    if len(set(chosen)) != 2 or not set(chosen) <= set(classes):
        raise InputError(
            f"figures.classes: expected two different ones of {', '.join(classes)}; got {list(chosen)}"
        )
    pair = [classes.index(name) for name in chosen]
    p_n2 = p_nk[:, pair]
    figure = Figure(figsize=(8, 8.4), layout="constrained")
    axes = figure.subplots()
    largest = np.abs(p_n2).max() or 1.0
    axes.set_xscale("symlog", linthresh=largest / 100)
    axes.set_yscale("symlog", linthresh=largest / 100)
    plane_axes(axes, 4 * largest, chosen)
    names = (f"label {chosen[0]}", f"label {chosen[1]}", "other label")
    group_n = np.select([y_n == pair[0], y_n == pair[1]], [0, 1], 2)
    draw_samples(axes, p_n2, group_n, flipped_n, names[: len(classes)])
    found = regions(p_n2, chosen)
    corners = (("left", "top"), ("right", "top"), ("left", "bottom"), ("right", "bottom"))
    for (name, mask), (ha, va) in zip(found.items(), corners, strict=True):
        place = (0.02 if ha == "left" else 0.98, 0.02 if va == "bottom" else 0.98)
        text = f"{name}\n{size_label(np.flatnonzero(mask), flipped_n)}"
        axes.annotate(
            text, place, xycoords="axes fraction", ha=ha, va=va, weight="bold", bbox=PALE_BOX
        )
    shared_legend(figure, axes)
    sizes = "; ".join(
        f"{name} {mask.sum()} ({100 * mask.mean():.1f} %)" for name, mask in found.items()
    )
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
