"""Draw what a gain in the mean costs the class that pays most: the Pareto frontier of methods."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from catwise.figures.labels import PATH, improvement_label
from catwise.figures.style import BLUE, GREY, ORANGE, Picture, styled

__all__ = ["frontier", "price_of_gains"]

PLAIN, ORACLE = "plain", "oracle"  # the oracle knows the planted noise: it is no competitor
KEYS = ["method", "proposed"]
BESIDE = 0.5  # how far beyond the frontier a mark is still shown, as a share of its extent


@styled
def price_of_gains(table: pd.DataFrame, classes: pd.DataFrame) -> Picture:
    """Draw the mean gain of each method over what the class that loses most loses, in points.

    ``table`` and ``classes`` are the tables ``improve/table`` and ``improve/classes``. Plain
    training is the point (0, 0). Marks far below or beside the frontier are counted, not drawn.
    """
    mean = table[table["measure"] == "mean"].set_index(KEYS)[["net", "low", "high"]]
    loss = -classes.groupby(KEYS)["net"].min().rename("loss")
    points = mean.join(loss).reset_index()
    points = points[~points["method"].str.endswith("_shuffled")]
    best = frontier(points[points["method"] != ORACLE])
    near = points["loss"] <= (1 + BESIDE) * best["loss"].max() + 1
    near &= points["net"] >= -BESIDE * best["net"].max() - 1
    figure = Figure(figsize=(8.4, 4.2), layout="constrained")
    axes = figure.subplots()
    _marks(axes, points[near])
    axes.step(best["loss"], best["net"], where="post", color=GREY, linewidth=1, zorder=0)
    axes.axhline(0, color=GREY, linewidth=0.5)
    names = []
    for number, row in enumerate(best.itertuples(), start=1):
        end = (float(row.loss), float(row.net))
        axes.annotate(str(number), end, xytext=(5, 3), textcoords="offset points", fontsize=8)
        names.append(f"{number}  {improvement_label(str(row.method), bool(row.proposed))}")
    lines = [Line2D([], [], linestyle="none") for _ in names]
    title = "the frontier"
    figure.legend(lines, names, title=title, loc="outside right upper", handlelength=0)
    axes.set(
        xlabel="loss of the class that loses most, points of accuracy",
        ylabel="gain in the mean of the classes, points",
    )
    axes.legend(loc="best")
    far = int((~near).sum())
    return Picture(
        figure,
        None,
        "What a gain in the mean costs",
        "Each mark is a new training with other weights, on the test split, net of plain training"
        " of the same seeds, with the 95 % interval of the mean. Up is better in the mean, left is"
        " cheaper for the class that pays. The line is the frontier: nothing measured gains more"
        " at the same price. The parameter `improve.allowed_loss` says how far to the right the"
        f" path may go.{f' Far off, and not shown: {far}.' if far else ''}",
        "Scatter of the mean gain over the largest loss of a class, with the Pareto frontier.",
    )


def frontier(points: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that gain more than every row with the same ``loss`` or a smaller one.

    >>> rows = pd.DataFrame({"loss": [0.0, 3.0, 4.0], "net": [0.0, 2.0, 1.0]})
    >>> frontier(rows)["loss"].tolist()
    [0.0, 3.0]
    """
    ordered = points.sort_values(["loss", "net"], ascending=[True, False])
    before = ordered["net"].cummax().shift(fill_value=-np.inf)
    return ordered[ordered["net"] > before]


def _marks(axes: Axes, points: pd.DataFrame) -> None:
    """Draw the methods by their kind, with the interval of the mean."""
    ours = points["proposed"] | (points["method"] == PATH)
    others = ~ours & ~points["method"].isin([PLAIN, ORACLE])
    kinds = {
        "proposal or path": (ours, "o", BLUE),
        "baseline": (others, "s", ORANGE),
        "plain training": (points["method"] == PLAIN, "D", "black"),
        "oracle": (points["method"] == ORACLE, "*", GREY),
    }
    for label, (mask, marker, colour) in kinds.items():
        rows = points[mask]
        if len(rows):
            half = (rows["high"] - rows["low"]) / 2
            style = {"fmt": marker, "color": colour, "elinewidth": 0.6, "markersize": 5}
            axes.errorbar(rows["loss"], rows["net"], half, label=label, **style)
