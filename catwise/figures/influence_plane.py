"""Draw the influence plane (Figure 1)."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.core.errors import InputError
from catwise.figures.scatter import (
    PALE_BOX,
    draw_samples,
    logarithmic_plane,
    regions,
    shared_legend,
    size_label,
)
from catwise.figures.style import Picture, check_vectors, styled

__all__ = ["influence_plane"]


@styled
def influence_plane(
    p_nk: np.ndarray,
    labels_n: np.ndarray,
    flipped_n: np.ndarray,
    classes: tuple[str, ...],
    pair: tuple[str, ...],
    unit: str = "nats",
) -> Picture:
    """Draw the influence of every sample, in ``unit``, on the two classes of the pair.

    The scale is that of ``logarithmic_plane``.
    """
    check_vectors(p_nk, labels_n, classes)
    if len(pair) != 2 or len(set(pair)) != 2 or not set(pair) <= set(classes):
        known = ", ".join(classes)
        raise InputError(f"pair: expected two different ones of {known}; got {', '.join(pair)}")
    first, second = (classes.index(name) for name in pair)
    p_n2 = p_nk[:, [first, second]]
    figure = Figure(figsize=(8, 8.4), layout="constrained")
    axes = figure.subplots()
    logarithmic_plane(axes, p_n2, pair, unit)
    group_n = np.select([labels_n == first, labels_n == second], [0, 1], 2)
    others = "other label" if (group_n < 2).any() else "training sample"
    names = (f"label {pair[0]}", f"label {pair[1]}", others)
    draw_samples(axes, p_n2, group_n, flipped_n, names)
    masks = regions(p_n2, pair)
    _name_corners(axes, masks, flipped_n)
    shared_legend(figure, axes)
    sizes = [f"{name} {mask.sum()} ({100 * mask.mean():.1f} %)" for name, mask in masks.items()]
    noise = ""
    if flipped_n.any():
        joint = flipped_n[masks["joint negative"]].sum()
        noise = f" Of the {flipped_n.sum()} flipped labels {joint} are joint negative."
    return Picture(
        figure,
        "Figure 1",
        f"Influence of every training sample on {pair[0]} and {pair[1]}",
        f"{len(p_n2)} training samples; a positive influence helps the class. {'; '.join(sizes)}."
        f"{noise} At a ceiling all samples lie close to the dashed line. The scale is linear within"
        " about 1 % of the largest value and logarithmic beyond.",
        f"Scatter plot of the influence on {pair[0]} against the influence on {pair[1]}, in four"
        " regions.",
    )


def _name_corners(axes: Axes, masks: dict[str, np.ndarray], flipped_n: np.ndarray) -> None:
    """Write the name and the size of each region into its corner."""
    corners = (("left", "top"), ("right", "top"), ("left", "bottom"), ("right", "bottom"))
    for (name, mask), (ha, va) in zip(masks.items(), corners, strict=True):
        corner = (0.02 if ha == "left" else 0.98, 0.02 if va == "bottom" else 0.98)
        text = f"{name}\n{size_label(np.flatnonzero(mask), flipped_n)}"
        style: dict[str, Any] = {"ha": ha, "va": va, "weight": "bold", "bbox": PALE_BOX}
        axes.annotate(text, corner, xycoords="axes fraction", **style)
