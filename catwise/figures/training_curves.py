"""Draw the accuracy and the loss of every class by epoch."""

from itertools import cycle
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from catwise.figures.style import VISIBLE, Picture, styled

__all__ = ["training_curves"]

STYLES = ("-", "--", ":", "-.")


@styled
def training_curves(history: pd.DataFrame, classes: tuple[str, ...]) -> Picture:
    """Draw accuracy and loss of every class on the test split after each epoch."""
    test = history[history["split"] == "test"]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    units = (("accuracy", 100, "%"), ("loss", 1, "nats"))
    words = []
    for axes, (measure, factor, unit) in zip(figure.subplots(1, 2), units, strict=True):
        table = test.pivot(index="epoch", columns="class", values=measure)
        curves = factor * table[list(classes)]
        final, mean = curves.iloc[-1], curves.mean(axis=1)
        worst = str(final.idxmin() if measure == "accuracy" else final.idxmax())
        _lines(axes, curves, worst, -45 if measure == "accuracy" else 45)
        axes.set(xlabel="epoch", ylabel=f"test {measure}, {unit}")
        axes.set_title(f"{measure} of every class")
        ends = f"worst: class {worst}, {final[worst]:.2f} {unit}"
        words.append(f"{measure} {mean.iloc[-1]:.2f} {unit} ({ends})")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, title="class", loc="outside right upper", frameon=False)
    return Picture(
        figure,
        None,
        "Accuracy and loss of every class during training",
        f"Test split. Mean over the classes after epoch {test['epoch'].max()}: {'; '.join(words)}.",
        "Two line charts over epochs, accuracy and loss: a line per class and a bold mean.",
    )


def _lines(axes: Axes, curves: pd.DataFrame, worst: str, below: int) -> None:
    """Draw a line per class and their mean, with an arrow to the worst class from ``below``."""
    for name, colour, style in zip(curves, cycle(VISIBLE), cycle(STYLES), strict=False):
        width = 2.2 if name == worst else 1
        axes.plot(curves[name], style, color=colour, linewidth=width, label=name)
    axes.plot(curves.mean(axis=1), color="black", linewidth=3.2, label="mean")
    arrow: dict[str, Any] = {"arrowstyle": "->", "edgecolor": "black", "shrinkB": 4}
    offset: dict[str, Any] = {"xytext": (-60, below), "textcoords": "offset points"}
    end = (curves.index[-1], curves[worst].iloc[-1])
    axes.annotate(f"worst: {worst}", end, arrowprops=arrow, **offset)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
