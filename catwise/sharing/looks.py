"""Show what samples look like: as an image, as a text, or as a row of a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from catwise.core.errors import InputError
from catwise.sharing.html import image_url, in_bytes

__all__ = ["Look", "image_looks", "looks"]

LARGEST = 160  # pixels of the longer side of an image on the page
COLUMNS = 6  # of a row of a table; of more columns those that are furthest from their class


@dataclass(frozen=True)
class Look:
    """Hold one of an image (a data URL), a text, and cells (name, value, mean of its label).

    ``columns`` is how many cells there would be if all were shown.
    """

    image: str | None = None
    text: str | None = None
    cells: Sequence[tuple[str, str, str]] = ()
    columns: int = 0


def looks(
    inputs: Any, texts: Sequence[str] | None, labels_n: np.ndarray, rows: np.ndarray
) -> list[Look]:
    """Return how each of the samples ``rows`` looks; an empty list where nothing is known.

    ``inputs`` are images, as (n, c, h, w) or (n, h, w) in bytes or floats, or one by one as those
    of PIL or as paths; or features (n, d), as a data frame if the columns have names. Raises
    InputError for inputs or texts of another number than there are samples.
    """
    n = len(labels_n)
    for name, given in (("inputs", inputs), ("texts", texts)):
        if given is not None and len(given) != n:
            raise InputError(
                f"{name}: expected one for each of {n} training samples; got {len(given)}"
            )
    if texts is not None:
        texts = list(texts)  # a Series of pandas is indexed by its labels
        return [Look(text=str(texts[i])) for i in rows]
    if inputs is None:
        return []
    if hasattr(inputs, "columns"):
        return _cells(inputs.to_numpy(), list(map(str, inputs.columns)), labels_n, rows)
    if not hasattr(inputs, "shape"):
        return [Look(image=image_url(_opened(inputs[i]), LARGEST)) for i in rows]
    shape = tuple(inputs.shape)
    if len(shape) == 2:
        names = [f"feature {number}" for number in range(shape[1])]
        return _cells(_array(inputs), names, labels_n, rows)
    if len(shape) == 3 or (len(shape) == 4 and shape[1] in (1, 3)):
        return image_looks(_array(inputs[rows]).reshape(len(rows), -1, *shape[-2:]))
    raise InputError(
        "inputs: expected images (n, c, h, w) of 1 or 3 channels or (n, h, w), features (n, d), or "
        f"a list of images or paths; got shape {shape}"
    )


def _array(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)


def _opened(image: Any) -> Image.Image:
    if isinstance(image, Image.Image):
        return image.convert("RGB")
    try:
        with Image.open(Path(image)) as opened:
            return opened.convert("RGB")
    except (OSError, TypeError, UnidentifiedImageError) as error:
        got = f"{str(image)[:80]!r}: {type(error).__name__}"
        raise InputError(f"inputs: expected an image or its path; got {got}") from None


def image_looks(images: np.ndarray) -> list[Look]:
    """Show images (n, c, h, w), bytes or floats."""
    images = in_bytes(images)
    pixels = [image[0] if len(image) == 1 else image.transpose(1, 2, 0) for image in images]
    return [Look(image=image_url(Image.fromarray(image), LARGEST)) for image in pixels]


def _cells(
    table: np.ndarray, names: list[str], labels_n: np.ndarray, rows: np.ndarray
) -> list[Look]:
    """Show rows of features: all of them if they are few, else those furthest from their label.

    The distance is that to the mean of the samples of the same label, in deviations of the column.
    A column that holds no numbers is shown as it is, and only where the columns are few.
    """
    numeric = [k for k in range(table.shape[1]) if _is_numeric(table[:, k])]
    values = table[:, numeric].astype(np.float64)
    deviation = np.maximum(values.std(axis=0), 1e-300)
    looks = []
    for i in rows:
        mean = values[labels_n == labels_n[i]].mean(axis=0)
        means = dict(zip(numeric, mean.tolist(), strict=True))
        shown = np.arange(table.shape[1])
        if len(shown) > COLUMNS:
            order = np.argsort(-np.abs(values[i] - mean) / deviation, kind="stable")[:COLUMNS]
            shown = np.sort(np.array(numeric, dtype=int)[order])
        cells = [(names[k], _short(table[i, k]), _short(means.get(k))) for k in shown.tolist()]
        looks.append(Look(cells=cells, columns=table.shape[1]))
    return looks


def _is_numeric(column: np.ndarray) -> bool:
    try:
        return bool(np.isfinite(column.astype(np.float64)).all())
    except (TypeError, ValueError):
        return False


def _short(value: Any) -> str:
    if value is None:
        return ""
    try:
        return f"{float(value):.3g}"
    except (TypeError, ValueError):
        return str(value)
