"""What all figures share: a picture with its words, one style, colours, and the same bytes each time.

Colours are safe for the colour-blind, and markers, hatches or line styles repeat what they say, for print in grey.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from io import BytesIO

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from catwise.core.errors import InputError

__all__ = [
    "BLUE",
    "COLOURS",
    "GREEN",
    "GREY",
    "HARM",
    "ORANGE",
    "Picture",
    "check_vectors",
    "png",
    "styled",
]

COLOURS = sns.color_palette("colorblind").as_hex()
BLUE, ORANGE, GREEN = COLOURS[:3]
GREY, HARM = "#8c8c8c", "#9e0142"  # a red so dark that nobody takes it for orange


@dataclass(frozen=True)
class Picture:
    """A figure, where the paper has it (None: nowhere), and the words that go with it."""

    figure: Figure
    paper: str | None
    title: str
    caption: str
    alt: str


def png(figure: Figure) -> bytes:
    """The same bytes for the same figure: fixed resolution, neither time nor version of the software."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def styled(draw: Callable[..., Picture]) -> Callable[..., Picture]:
    """``draw`` under the style of all figures; matplotlib's settings are put back afterwards."""

    @wraps(draw)
    def styled(*args, **kwargs) -> Picture:  # type: ignore[no-untyped-def]
        with sns.axes_style("ticks"), sns.plotting_context("paper"):
            return draw(*args, **kwargs)

    return styled


def check_vectors(p_nk: np.ndarray, y_n: np.ndarray, classes: tuple[str, ...]) -> None:
    if p_nk.shape != (len(y_n), len(classes)):
        raise InputError(
            f"influence vectors: expected shape {(len(y_n), len(classes))}; got {p_nk.shape}"
        )
    if not np.isfinite(p_nk).all():
        raise InputError("influence vectors: expected finite values; got NaN or infinity")
