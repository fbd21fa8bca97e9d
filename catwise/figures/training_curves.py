"""What is counted and measured: Figure 8, training curves, fidelity, ceiling, benchmark."""

from itertools import cycle

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from catwise.figures.style import COLOURS, Picture, styled

__all__ = ["training_curves"]


@styled
def training_curves(history: pd.DataFrame, classes: tuple[str, ...]) -> Picture:
    """Accuracy and loss of every class on the test split after each epoch."""
    test = history[history["split"] == "test"]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    lines = COLOURS[:8] + COLOURS[9:]  # without yellow, which is lost on paper
    words = []
    kinds = (("accuracy", 100, "%"), ("loss", 1, "nats"))
    for axes, (measure, factor, unit) in zip(figure.subplots(1, 2), kinds, strict=True):
        curves = factor * test.pivot(index="epoch", columns="class", values=measure)[list(classes)]
        final, mean = curves.iloc[-1], curves.mean(axis=1)
        worst, below = (final.idxmin(), -1) if measure == "accuracy" else (final.idxmax(), 1)
        for name, colour, style in zip(
            classes, cycle(lines), cycle(("-", "--", ":", "-.")), strict=False
        ):
            axes.plot(
                curves[name], style, color=colour, linewidth=2.2 if name == worst else 1, label=name
            )
        axes.plot(mean, color="black", linewidth=3.2, label="mean")
        arrow = {"arrowstyle": "->", "edgecolor": "black", "shrinkB": 4}
        offset = {"xytext": (-60, 45 * below), "textcoords": "offset points"}
        axes.annotate(
            f"worst: {worst}", (curves.index[-1], final[worst]), arrowprops=arrow, **offset
        )
        axes.set(
            xlabel="epoch", ylabel=f"test {measure}, {unit}", title=f"{measure} of every class"
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        words.append(
            f"{measure} {mean.iloc[-1]:.2f} {unit} (worst: class {worst}, {final[worst]:.2f} {unit})"
        )
    figure.legend(
        *axes.get_legend_handles_labels(), title="class", loc="outside right upper", frameon=False
    )
    return Picture(
        figure,
        None,
        "Accuracy and loss of every class during training",
        f"Test split, after epoch {curves.index[-1]}, mean over the classes: {'; '.join(words)}.",
        "Two line charts over epochs, accuracy and loss: a line per class and a bold mean.",
    )
