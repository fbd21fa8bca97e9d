"""Draw Table 1 with intervals: what reweighting an epoch gains beyond plain training."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.figures.by_class import class_axis, side_by_side
from catwise.figures.labels import UNITS, case_labels, method_labels
from catwise.figures.style import GREY, Picture, styled

__all__ = ["rivals", "table_one"]


def rivals(table: pd.DataFrame) -> dict[str, str]:
    """Choose the methods to show beside the control, at most six; return their labels by key.

    These are the refreshed statistics, the first and the last search, the first direction, the
    oracle, and the best seeds.
    """
    methods = table[~table["shuffled"]].drop_duplicates("method")
    keys = []
    for family, position in (
        ("refresh", 0),
        ("lp_ga", 0),
        ("lp_ga", -1),
        ("direction", 0),
        ("oracle", 0),
        ("best_seeds", 0),
    ):
        keys += list(methods.loc[methods["family"] == family, "method"])[position:][:1]
    labels = method_labels(methods)
    return {key: labels[key] for key in dict.fromkeys(keys)}


@styled
def table_one(cases: pd.DataFrame, table: pd.DataFrame, summary: pd.DataFrame) -> Picture:
    """Draw each class's gain beyond the all-ones control; a row per case, targets in red."""
    labels = case_labels(cases)
    figure = Figure(figsize=(12, 3.1 * len(labels)), layout="constrained")
    words = []
    methods = rivals(table)  # of all cases, so that each looks the same in all
    handles: dict[str, Any] = {}
    grid = figure.subplots(len(labels), 2, squeeze=False)
    for row, (case, label) in zip(grid, labels.items(), strict=True):
        in_case = table[table["case"] == case]
        for axes, measure in zip(row, UNITS, strict=True):
            _dots(axes, in_case[in_case["measure"] == measure], methods, measure)
        row[0].set_title(label, loc="left", fontweight="bold")
        words.append(f"{label}: {_counts(summary[summary['case'] == case], methods)}")
        drawn, names = row[0].get_legend_handles_labels()
        handles |= dict(zip(names, drawn, strict=True))
    entries = list(handles.values()), list(handles)
    figure.legend(*entries, loc="outside lower center", ncols=3, frameon=False)
    return Picture(
        figure,
        "Table 1",
        "What reweighting one epoch gains beyond plain training",
        "Test split, by class: the mean of the method over seeds, less that of all-ones weights"
        " with the same seeds, and its 95 % interval. Above 0 is better, in loss too; targets are"
        " red. Classes that are significantly better / worse in accuracy and in loss, each class by"
        f" itself. {'. '.join(words)}.",
        "Dot charts over the classes, accuracy and loss, a row per case: gains of each method with"
        " error bars.",
    )


def _dots(axes: Axes, table: pd.DataFrame, methods: dict[str, str], measure: str) -> None:
    """Draw the gains of each class by the methods, side by side."""
    factor, unit = UNITS[measure]
    classes = table.drop_duplicates("class")
    for key, offset, style in side_by_side(methods):
        rows = table[table["method"] == key]
        if rows.empty:  # not every case has every method
            continue
        gain, low, high = (factor * rows[name].to_numpy() for name in ("gain", "low", "high"))
        at = np.arange(len(classes)) + offset
        axes.errorbar(at, gain, [gain - low, high - gain], **style)
    axes.axhline(0, color=GREY, linewidth=1)
    class_axis(axes, classes)
    axes.set(ylabel=f"net gain in {measure}, {unit}")


def _counts(summary: pd.DataFrame, methods: dict[str, str]) -> str:
    """List how many classes each method makes significantly better and worse."""
    words = []
    for key, label in methods.items():
        rows = summary[summary["method"] == key].set_index("measure")
        if rows.empty:
            continue
        counts = [f"{rows.loc[name, 'better']}/{rows.loc[name, 'worse']}" for name in UNITS]
        words.append(f"{label} {' and '.join(counts)}")
    return "; ".join(words)
