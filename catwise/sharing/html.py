"""Make what every page is made of: its style, pictures in the text, numbers and code in words."""

import base64
import re
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from catwise.figures.style import Picture, png

__all__ = ["data_url", "environment", "image_url", "in_bytes", "sheet", "style"]


def environment() -> Environment:
    """Return a template environment that escapes what it is given, with the filters of all pages.

    The filters are code, data_url, number and picture_url.
    """
    made = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=keep_percent,
    )
    made.filters |= {filter.__name__: filter for filter in (code, data_url, number, picture_url)}
    return made


def style() -> Markup:
    """Return the style sheet of all pages."""
    return Markup(files("catwise.sharing").joinpath("style.css").read_text())


def code(text: str) -> Markup:
    """Show what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(keep_percent(text)))))


def number(value: Any) -> str:
    """Write four significant digits, or a dash for what was not measured."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def keep_percent(value: Any) -> Any:
    """Keep a number and its percent sign on one line."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return value.replace(" %", "\u00a0%")
    return value


def picture_url(picture: Picture) -> str:
    """Return a figure as a data URL."""
    return data_url(png(picture.figure))


def data_url(content: bytes, kind: str = "png") -> str:
    """Return the bytes of an image as a data URL."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def sheet(images: np.ndarray, columns: int) -> str:
    """Lay images (n, c, h, w), bytes or floats, side by side in one PNG; return its data URL."""
    n, c, h, w = images.shape
    lines = -(-n // columns)
    cells = np.zeros((lines * columns, h, w, c), np.uint8)
    cells[:n] = in_bytes(images).transpose(0, 2, 3, 1)
    grid = cells.reshape(lines, columns, h, w, c).transpose(0, 2, 1, 3, 4)
    pixels = grid.reshape(lines * h, columns * w, c)
    return image_url(Image.fromarray(pixels[:, :, 0] if c == 1 else pixels))


def in_bytes(images: np.ndarray) -> np.ndarray:
    """Return images in bytes; floats are stretched from the least to the largest value of all."""
    if images.dtype == np.uint8:
        return images
    low, high = float(images.min()), float(images.max())
    return np.rint(255 * (images - low) / ((high - low) or 1)).astype(np.uint8)


def image_url(image: Image.Image, largest: int | None = None) -> str:
    """Return an image as a data URL, its longer side made ``largest`` pixels if it has more.

    A small image keeps every pixel as a PNG; one that was made smaller is a JPEG.
    """
    if largest is None or max(image.size) <= largest:
        return _as_url(image, "PNG")
    image = image.copy()
    image.thumbnail((largest, largest))
    return _as_url(image, "JPEG")


def _as_url(image: Image.Image, kind: str) -> str:
    buffer = BytesIO()
    image.save(buffer, format=kind)
    return data_url(buffer.getvalue(), kind.lower())
