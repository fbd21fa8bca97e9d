"""Draw what a new training with better weights gained: predicted against realised, and the path."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.core.statistics import spearman
from catwise.figures.labels import PATH, improvement_label
from catwise.figures.style import BLUE, GREY, HARM, Picture, styled

__all__ = ["improvement_path", "improvement_table", "predicted_gains"]

FARTHEST = 1.5  # losses are drawn as far as this times the largest gain


@styled
def predicted_gains(classes: pd.DataFrame) -> Picture:
    """Draw predicted against realised gain in points, a point for each class and new weights.

    ``classes`` is the table ``improve/classes``, with a prediction or more; what was not predicted
    is left out.
    """
    figure = Figure(figsize=(5.2, 4.4), layout="constrained")
    axes = figure.subplots()
    rows = classes[classes["proposed"] | (classes["method"] == PATH)]
    rows = rows[rows["predicted"].abs() > 0]
    half = (rows["high"] - rows["low"]) / 2
    bars = {"fmt": "o", "color": BLUE, "elinewidth": 0.6, "markersize": 4, "alpha": 0.8}
    axes.errorbar(rows["predicted"], rows["net"], half, **bars)
    both = rows[["predicted", "net"]].to_numpy()
    limits = [both.min() - 1, both.max() + 1]
    axes.plot(limits, limits, color=GREY, linewidth=0.8, zorder=0)
    words = f"{len(both)} points"
    rho = float(spearman(rows["predicted"], rows["net"]))
    if np.isfinite(rho):
        words += f", rank correlation {rho:.2f}"
    axes.axhline(0, color=GREY, linewidth=0.5)
    axes.axvline(0, color=GREY, linewidth=0.5)
    axes.set(
        xlabel="predicted gain, points of accuracy", ylabel="realised by a new training, points"
    )
    return Picture(
        figure,
        None,
        "Predicted and realised gains of a new training",
        "Each point is a class: what the influence vectors at plain weights predict of new weights,"
        " times the points that a nat was worth on validation B, and what a new training gained on"
        f" the test split over plain training of the same seeds, with its 95 % interval; {words}.",
        "Scatter of realised over predicted gains with the diagonal.",
    )


@styled
def improvement_path(steps: pd.DataFrame, classes: tuple[str, ...]) -> Picture:
    """Draw the accuracy of every class after each accepted round, with plain training's interval.

    ``steps`` is the table ``improve/steps``; round 0 is plain training.
    """
    columns = min(5, len(classes))
    rows = -(-len(classes) // columns)
    figure = Figure(figsize=(2.1 * columns, 0.6 + 1.7 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, name in zip(grid, classes, strict=False):
        of_class = steps[steps["class"] == name].sort_values("round")
        plain = of_class.iloc[0]
        axes.axhspan(plain["low"], plain["high"], color=GREY, alpha=0.3, linewidth=0)
        half = (of_class["high"] - of_class["low"]) / 2
        axes.errorbar(
            of_class["round"], of_class["accuracy"], half, fmt="o-", color=BLUE, capsize=2
        )
        axes.set_title(name)
        axes.set_xticks(sorted(steps["round"].unique()))
    for axes in grid[len(classes) :]:
        axes.remove()
    figure.supxlabel("accepted rounds")
    figure.supylabel("test accuracy, %")
    last = int(steps["round"].max())
    return Picture(
        figure,
        None,
        "The path to the ceiling",
        f"Accuracy of every class on the test split after each of {last} accepted rounds, with 95 %"
        " intervals over fresh seeds; the band is that of plain training.",
        "Small multiples, a panel per class: accuracy over rounds with a band.",
    )


@styled
def improvement_table(table: pd.DataFrame) -> Picture:
    """Draw the net gain of every method, mean and worst class: the table ``improve/table``."""
    shown = table[(table["method"] != "plain") & table["measure"].isin(["mean", "worst"])]
    methods = list(dict.fromkeys(zip(shown["method"], shown["proposed"], strict=True)))
    figure = Figure(figsize=(8, 1 + 0.26 * len(methods)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    words, beyond = {"mean": "mean of the classes", "worst": "worst class"}, False
    for axes, (measure, title) in zip(panels, words.items(), strict=True):
        rows = shown[shown["measure"] == measure].set_index(["method", "proposed"]).loc[methods]
        beyond |= _dots(axes, rows)
        axes.set(title=title, xlabel="net gain, points")
        axes.set_yticks(np.arange(len(methods)), [improvement_label(*method) for method in methods])
        axes.set_ylim(len(methods) - 0.4, -0.6)
    plain = table[table["method"] == "plain"].set_index("measure")["value"]
    return Picture(
        figure,
        None,
        "What new weights gain in a new training",
        f"Gains over plain training (mean {plain['mean']:.1f} %, worst class {plain['worst']:.1f}"
        f" %) on the test split, 95 % intervals paired over {shown['seeds'].max()} fresh seeds."
        + (" A triangle with its number lies beyond the axis." if beyond else ""),
        "Two dot plots with intervals, a row per method.",
    )


def _dots(axes: Axes, rows: pd.DataFrame) -> bool:
    """Draw gains with intervals; losses far larger than the gains are triangles at the edge.

    Tell whether there are such losses.
    """
    net, places = rows["net"].to_numpy(), np.arange(len(rows))
    left = -FARTHEST * max(rows["high"].max(), 1.0)
    inside = net > left
    half = (rows["high"] - rows["low"]).to_numpy()[inside] / 2
    axes.errorbar(net[inside], places[inside], xerr=half, fmt="o", color=BLUE, capsize=2)
    axes.axvline(0, color=GREY, linewidth=0.8)
    if not inside.all():
        axes.scatter(np.full((~inside).sum(), left), places[~inside], marker="<", color=HARM)
        axes.set_xlim(left=1.08 * left)
    for value, place in zip(net[~inside], places[~inside], strict=True):
        axes.annotate(f"  {value:.1f}", (left, place), va="center", color=HARM)
    return not inside.all()
