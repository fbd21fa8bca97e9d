"""Draw what more weight on one class does to another."""

from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from catwise.core.errors import InputError
from catwise.figures.style import UNLABELLED, Picture, styled

__all__ = ["class_matrix", "class_shares"]

MOST_NUMBERS = 12  # classes; with more the numbers do not fit into their cells


def class_shares(p_nk: np.ndarray, y_n: np.ndarray, num_labels: int) -> np.ndarray:
    """Compute sum_{i of label j} P[i, k] / sum_i |P[i, k]|: (labels, k).

    It is the share of its influence mass by which class k gains, to first order, per unit of weight
    that is put on every sample of label j; negative: class k loses. Rows of labels without samples
    are 0.

    >>> class_shares(np.array([[3.0, -1.0], [-1.0, 1.0]]), np.array([0, 1]), 2)
    array([[ 0.75, -0.5 ],
           [-0.25,  0.5 ]])
    """
    member_nj = y_n[:, None] == np.arange(num_labels)
    return member_nj.T.astype(float) @ p_nk / np.maximum(np.abs(p_nk).sum(axis=0), 1e-300)


@styled
def class_matrix(
    p_nk: np.ndarray, y_n: np.ndarray, labels: tuple[str, ...], classes: tuple[str, ...]
) -> Picture:
    """Draw a row for each label that gets more weight and a column for each class measured.

    Differs from the paper, which has no such figure.
    """
    if p_nk.shape != (len(y_n), len(classes)):
        shape = (len(y_n), len(classes))
        raise InputError(f"influence vectors: expected shape {shape}; got {p_nk.shape}")
    percent = 100 * class_shares(p_nk, y_n, len(labels))
    bound = float(np.abs(percent).max()) or 1.0
    height, width = (min(max(1.5 + 0.55 * count, 3.2), 12) for count in percent.shape)
    figure = Figure(figsize=(width + 1.8, height), layout="constrained")
    axes = figure.subplots()
    numbers: Any = False
    if max(percent.shape) <= MOST_NUMBERS:
        decimals = 0 if bound >= 10 else 1
        numbers = np.vectorize(lambda value: f"{round(value, decimals) + 0.0:.{decimals}f}")(
            percent
        )
    style: dict[str, Any] = {"cmap": "vlag_r", "cbar_kws": {"label": "% of the influence mass"}}
    style |= UNLABELLED
    style["annot_kws"] = {"in_layout": False}  # a number is inside of its cell
    sns.heatmap(percent, ax=axes, vmin=-bound, vmax=bound, annot=numbers, fmt="", **style)
    slanted: dict[str, Any] = {"rotation": 0}
    if max(map(len, classes)) > 2:
        slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(np.arange(len(classes)) + 0.5, list(classes), **slanted)
    axes.set_yticks(np.arange(len(labels)) + 0.5, list(labels), rotation=0)
    axes.set(xlabel="class measured", ylabel="class whose samples weigh more")
    return Picture(
        figure,
        None,
        "What more weight on one class does to another",
        "Row: the label whose training samples all get more weight. Column: the class whose loss on"
        " held-out samples is measured. Blue and positive: the class gains; red and negative: it"
        " loses. The unit is the influence mass of the measured class, per unit of weight.",
        "Heat map of the influence of the samples of each label on each class.",
    )
