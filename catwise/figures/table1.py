"""What reweighting an epoch came to: Table 1 with intervals, the searches, and the trade-off they move along."""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.figures.style import COLOURS, GREY, Picture, styled

__all__ = ["shown", "table_one"]


UNITS = {"accuracy": (100, "points"), "loss": (1, "nats")}


MARKERS = "osD^vPX*"


LINES = COLOURS[:3] + COLOURS[4:8]  # without red, which marks the targets


def shown(methods: list[str]) -> list[str]:
    """At most five rivals of the control: the first and the last search, the first direction, the oracle, and luck."""
    found = []
    for start, place in (
        ("LP-GA", 0),
        ("LP-GA", -1),
        ("maximin", 0),
        ("oracle", 0),
        ("all ones, best", 0),
    ):
        named = [name for name in methods if name.startswith(start)]
        found += [named[place]] if named and named[place] not in found else []
    return found


@styled
def table_one(table: pd.DataFrame) -> Picture:
    """Each class's gain beyond the all-ones control with its interval; a row per case, targets in red."""
    cases = list(table["case"].unique())
    figure = Figure(figsize=(12, 3.1 * len(cases)), layout="constrained")
    words = []
    for row, case in zip(figure.subplots(len(cases), 2, squeeze=False), cases, strict=True):
        mine = table[table["case"] == case]
        names = shown(list(mine["method"].unique()))
        for axes, measure in zip(row, UNITS, strict=True):
            _dots(axes, mine[mine["measure"] == measure], names, measure)
        row[0].set_title(case, loc="left", fontweight="bold")
        words.append(f"{case}: " + "; ".join(_counted(mine, name) for name in names))
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return Picture(
        figure,
        "Table 1",
        "What reweighting one epoch gains beyond plain training",
        "Test split, by class: the method's mean over seeds less that of all-ones weights with the same seeds, and its"
        " 95 % interval; above 0 is better, in loss too; targets in red. Classes significantly better / worse in"
        f" accuracy and in loss, each class by itself. {'. '.join(words)}.",
        "Dot charts over the classes, accuracy and loss, a row per case: gains of each method with error bars.",
    )


def _dots(axes: Axes, table: pd.DataFrame, names: list[str], measure: str) -> None:
    factor, unit = UNITS[measure]
    classes, offsets = list(table["class"].unique()), np.linspace(-0.3, 0.3, len(names))
    for name, offset, colour, marker in zip(
        names, offsets, cycle(LINES), cycle(MARKERS), strict=False
    ):
        found = table[table["method"] == name]
        gain, low, high = (factor * found[key].to_numpy() for key in ("gain", "low", "high"))
        style = {"fmt": marker, "color": colour, "markersize": 4, "linewidth": 1}
        axes.errorbar(
            np.arange(len(classes)) + offset, gain, [gain - low, high - gain], label=name, **style
        )
    axes.axhline(0, color=GREY, linewidth=1)
    axes.set_xticks(
        np.arange(len(classes)), classes, rotation=30 if max(map(len, classes)) > 3 else 0
    )
    for label, target in zip(
        axes.get_xticklabels(), table.drop_duplicates("class")["target"], strict=True
    ):
        if (
            str(target) == "True"
        ):  # as text, where the column of another table of this name holds classes
            label.set(color=COLOURS[3], fontweight="bold")
    axes.set(xlabel="class", ylabel=f"net gain in {measure}, {unit}")


def _counted(table: pd.DataFrame, name: str) -> str:
    words = []
    for measure in UNITS:
        reading = table[(table["method"] == name) & (table["measure"] == measure)]["reading"]
        words.append(f"{(reading == 'better').sum()}/{(reading == 'worse').sum()}")
    return f"{name} {' and '.join(words)}"
