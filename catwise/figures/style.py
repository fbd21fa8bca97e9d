"""Hold what all figures share: a picture with its words, one style, colours, and stable bytes.

The colours are safe for the colour-blind. Markers, hatches or line styles repeat what they say, for
print in grey.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from catwise.core.errors import InputError
from catwise.core.statistics import require_finite

__all__ = [
    "BLUE",
    "COLOURS",
    "GREEN",
    "GREY",
    "HARM",
    "ORANGE",
    "SLANTED",
    "VISIBLE",
    "Picture",
    "check_vectors",
    "heat_map",
    "png",
    "styled",
]

COLOURS = sns.color_palette("colorblind").as_hex()
VISIBLE = COLOURS[:8] + COLOURS[9:]  # without yellow, which is lost on paper
BLUE, ORANGE, GREEN = COLOURS[:3]
GREY, HARM = "#8c8c8c", "#9e0142"  # a red so dark that nobody takes it for orange
SLANTED: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}  # long labels


@dataclass(frozen=True)
class Picture:
    """Hold a figure and the words that go with it.

    ``paper`` says where the paper has this figure, None if nowhere; ``alt`` describes the figure to
    those who do not see it.
    """

    figure: Figure
    paper: str | None
    title: str
    caption: str
    alt: str


def png(figure: Figure) -> bytes:
    """Render the figure, with the same bytes each time: fixed resolution, no time, no version.

    It has at most 256 colours. That takes a third of the space, and in a chart nobody sees a
    difference.
    """
    figure.set_dpi(120)
    canvas, buffer = FigureCanvasAgg(figure), BytesIO()
    canvas.draw()  # once; savefig would draw twice
    pixels = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    pixels.quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG")
    return buffer.getvalue()


def styled(draw: Callable[..., Picture]) -> Callable[..., Picture]:
    """Wrap ``draw`` in the style of all figures; matplotlib's settings are put back afterwards."""

    @wraps(draw)
    def styled(*args, **kwargs) -> Picture:  # type: ignore[no-untyped-def]
        with sns.axes_style("ticks"), sns.plotting_context("paper"):
            return draw(*args, **kwargs)

    return styled


def check_vectors(p_nk: np.ndarray, labels_n: np.ndarray, classes: tuple[str, ...]) -> None:
    """Raise InputError unless there is a finite influence of each sample on each class."""
    shape = (len(labels_n), len(classes))
    if p_nk.shape != shape:
        raise InputError(f"influence vectors: expected shape {shape}; got {p_nk.shape}")
    require_finite(p_nk, "influence vectors", ("sample", "class"))


def heat_map(
    axes: Axes,
    grid: pd.DataFrame,
    bound: float,
    decimals: int | None,
    size: float | None = None,
    **bar: Any,
) -> None:
    """Draw a table from -bound (red) to bound (blue), with its numbers unless ``decimals`` is None.

    ``size`` is that of the numbers, and ``bar`` are seaborn's options of the colour bar.
    """
    numbers: Any = False
    if decimals is not None:  # + 0: no -0
        numbers = grid.map(lambda value: f"{round(value, decimals) + 0.0:.{decimals}f}")
    # seaborn looks for labels that overlap, in a third of the time of a figure
    style = {"cmap": "vlag_r", "cbar_kws": bar, "xticklabels": False, "yticklabels": False}
    style["annot_kws"] = {"size": size, "in_layout": False}  # a number is inside of its cell
    sns.heatmap(grid, ax=axes, vmin=-bound, vmax=bound, annot=numbers, fmt="", **style)
    slanted = SLANTED if max(map(len, grid.columns)) > 2 else {}
    axes.set_xticks(np.arange(len(grid.columns)) + 0.5, list(grid.columns), **slanted)
    axes.set_yticks(np.arange(len(grid)) + 0.5, list(grid.index), rotation=0)
