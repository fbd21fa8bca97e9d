"""Draw what more weight on one class does to another."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from catwise.figures.style import Picture, check_vectors, heat_map, styled

__all__ = ["class_matrix", "class_shares"]

MOST_NUMBERS = 12  # classes; with more the numbers do not fit into their cells


def class_shares(p_nk: np.ndarray, labels_n: np.ndarray, num_labels: int) -> np.ndarray:
    """Compute sum_{i of label j} P[i, k] / sum_i |P[i, k]|: (labels, k).

    It is the share of its influence mass by which class k gains, to first order, per unit of weight
    that is put on every sample of label j; negative: class k loses. Rows of labels without samples
    are 0.

    >>> class_shares(np.array([[3.0, -1.0], [-1.0, 1.0]]), np.array([0, 1]), 2)
    array([[ 0.75, -0.5 ],
           [-0.25,  0.5 ]])
    """
    member_nj = labels_n[:, None] == np.arange(num_labels)
    return member_nj.T.astype(float) @ p_nk / np.maximum(np.abs(p_nk).sum(axis=0), 1e-300)


@styled
def class_matrix(
    p_nk: np.ndarray, labels_n: np.ndarray, labels: tuple[str, ...], classes: tuple[str, ...]
) -> Picture:
    """Draw a row for each label that gets more weight and a column for each class measured.

    Differs from the paper, which has no such figure.
    """
    check_vectors(p_nk, labels_n, classes)
    percent = 100 * class_shares(p_nk, labels_n, len(labels))
    bound = float(np.abs(percent).max()) or 1.0
    height, width = (min(max(1.5 + 0.55 * count, 3.2), 12) for count in percent.shape)
    figure = Figure(figsize=(width + 1.8, height), layout="constrained")
    axes = figure.subplots()
    decimals = None if max(percent.shape) > MOST_NUMBERS else int(bound < 10)
    grid = pd.DataFrame(percent, labels, classes)
    heat_map(axes, grid, bound, decimals, label="% of the influence mass")
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
