"""Draw methods side by side over the classes, whose targets are red."""

from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from catwise.figures.style import COLOURS

__all__ = ["LINES", "MARKERS", "class_axis", "side_by_side"]

MARKERS = "osD^vPX*"
LINES = COLOURS[:3] + COLOURS[4:8]  # without red, which marks the targets
LONG = 3  # letters of a name beyond which names slant


def class_axis(axes: Axes, classes: pd.DataFrame) -> None:
    """Name the classes along the axis, by the columns ``class`` and ``target``."""
    slant = 30 if max(map(len, classes["class"])) > LONG else 0
    axes.set_xticks(np.arange(len(classes)), classes["class"], rotation=slant)
    for tick, target in zip(axes.get_xticklabels(), classes["target"], strict=True):
        if target:
            tick.set(color=COLOURS[3], fontweight="bold")
    axes.set(xlabel="class")


def side_by_side(methods: Mapping[str, str]) -> Iterator[tuple[str, float, dict[str, Any]]]:
    """Yield key, offset along the axis and style of each method, given their names by key."""
    offsets = np.linspace(-0.3, 0.3, len(methods))
    marks = zip(methods.items(), offsets, cycle(LINES), cycle(MARKERS), strict=False)
    for (key, label), offset, colour, marker in marks:
        style = {"fmt": marker, "color": colour, "markersize": 4, "linewidth": 1, "label": label}
        yield key, float(offset), style
