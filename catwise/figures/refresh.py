"""Draw what refreshed statistics of batch norm do to every class, beside weights and controls."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.core.statistics import student_half_width
from catwise.figures.by_class import class_axis, side_by_side
from catwise.figures.labels import case_labels, method_labels
from catwise.figures.style import Picture, styled

__all__ = ["refresh"]


@styled
def refresh(cases: pd.DataFrame, table: pd.DataFrame) -> Picture:
    """Draw the accuracy of each class before and after each method; a row per case."""
    table = table[table["measure"] == "accuracy"]
    labels = case_labels(cases[cases["case"].isin(table["case"])])
    figure = Figure(figsize=(12, 3.4 * len(labels)), layout="constrained")
    words = []
    grid = figure.subplots(len(labels), 1, squeeze=False)[:, 0]
    for axes, (case, label) in zip(grid, labels.items(), strict=True):
        in_case = table[table["case"] == case]
        _panel(axes, in_case)
        axes.set_title(label, loc="left", fontweight="bold")
        words.append(f"{label}: {_means(in_case)}")
    handles, names = axes.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    return Picture(
        figure,
        "Table 1",
        "What refreshed statistics of batch norm do without a step",
        "Test accuracy of each class: the mean over the seeds and its 95 % interval. Before is the"
        " epoch that Table 1 compares with, measured with the running statistics that the training"
        " left. Refreshed: these statistics taken again over training batches, no step. Targets"
        f" are red. Mean change of the targets and of all classes, points: {'. '.join(words)}.",
        "Dot charts over the classes, a row per case: accuracy before, refreshed, and after an"
        " epoch with all-ones weights, with the weights of a method, and with these shuffled.",
    )


def _panel(axes: Axes, table: pd.DataFrame) -> None:
    classes = table.drop_duplicates("class")
    at = np.arange(len(classes))
    axes.hlines(classes["before"], at - 0.4, at + 0.4, color="black", label="before")
    for key, offset, style in side_by_side(method_labels(table)):
        rows = table[table["method"] == key]
        after_sk = rows.pivot(index="seed", columns="class", values="after")[classes["class"]]
        mean_k, half_k = after_sk.mean().to_numpy(), student_half_width(after_sk.to_numpy())
        axes.errorbar(at + offset, mean_k, half_k, **style)
    class_axis(axes, classes)
    axes.set(ylabel="test accuracy", ylim=(-0.04, 1.04))


def _means(table: pd.DataFrame) -> str:
    """List the mean change of the targets and of all classes under each method, in points."""
    words = []
    for key, label in method_labels(table).items():
        rows = table[table["method"] == key]
        change = 100 * (rows["after"] - rows["before"])
        words.append(f"{label} {change[rows['target']].mean():+.1f} and {change.mean():+.1f}")
    return "; ".join(words)
