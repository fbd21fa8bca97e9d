"""Single training samples for the page: which are shown, how a person sees them, and what sorts and plots them."""

import base64
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["LISTED", "Seen", "chosen", "payload", "sheet", "worst"]

LISTED = 12  # in the table that needs no script
SHOWN, BYTES = (
    1000,
    1_200_000,
)  # samples of a data set on the page at most, and bytes of their pixels


@dataclass(frozen=True)
class Seen:
    """A training set: influence vectors, labels given, flipped, and where known what the model takes each sample for.

    One of ``images`` (n, c, h, w), ``texts`` and ``points`` (n, 2) shows the samples; none of them if none is carried.
    """

    p_nk: np.ndarray
    given_n: np.ndarray
    flipped_n: np.ndarray
    classes: tuple[str, ...]
    predicted_n: np.ndarray | None = None
    probability_n: np.ndarray | None = None
    images: np.ndarray | None = None
    texts: list[str] | None = None
    points: np.ndarray | None = None


def chosen(seen: Seen) -> np.ndarray:
    """Rows that the page shows: all, or of many the extremes of each class and of their sum, then evenly the rest."""
    n = len(seen.p_nk)
    limit = min(
        n, SHOWN if seen.images is None else max(LISTED, BYTES // seen.images[0].size), SHOWN
    )
    if limit == n:
        return np.arange(n)
    columns = np.column_stack([seen.p_nk, seen.p_nk.sum(axis=1)])
    order = np.argsort(columns, axis=0, kind="stable")
    each = max(1, limit // (3 * columns.shape[1]))
    extremes = np.unique(np.concatenate([order[: 2 * each].ravel(), order[-each:].ravel()]))[:limit]
    rest = np.setdiff1d(np.arange(n), extremes)
    even = rest[np.linspace(0, len(rest) - 1, limit - len(extremes)).astype(int)]
    return np.sort(np.concatenate([extremes, even]))


def worst(seen: Seen) -> np.ndarray:
    """The rows with the smallest sum_k P[i, k]: the most detrimental first."""
    return np.argsort(seen.p_nk.sum(axis=1), kind="stable")[:LISTED]


def payload(seen: Seen) -> dict[str, Any]:
    """What the script of the page reads: the chosen samples, P to four digits, and how they look."""
    rows = chosen(seen)
    found: dict[str, Any] = {
        "classes": seen.classes,
        "rows": rows.tolist(),
        "of": len(seen.p_nk),
        "given": seen.given_n[rows].tolist(),
        "flipped": seen.flipped_n[rows].astype(int).tolist(),
        "p": [[float(f"{value:.4g}") for value in row] for row in seen.p_nk[rows].tolist()],
    }
    if seen.predicted_n is not None and seen.probability_n is not None:
        found["predicted"] = seen.predicted_n[rows].tolist()
        found["probability"] = [round(value, 3) for value in seen.probability_n[rows].tolist()]
    if seen.images is not None:
        columns = int(np.ceil(len(rows) ** 0.5))
        found["image"] = {"sheet": sheet(seen.images[rows], columns), "columns": columns}
        found["image"] |= {"height": seen.images.shape[2], "width": seen.images.shape[3]}
    elif seen.texts is not None:
        found["text"] = [seen.texts[row] for row in rows]
    elif seen.points is not None:
        found["point"] = seen.points[rows].round(3).tolist()
    return found


def sheet(images: np.ndarray, columns: int) -> str:
    """Images (n, c, h, w), bytes or floats, side by side in rows of ``columns`` as the data URL of one PNG."""
    n, c, h, w = images.shape
    if images.dtype != np.uint8:
        low, high = float(images.min()), float(images.max())
        images = np.rint(255 * (images - low) / ((high - low) or 1)).astype(np.uint8)
    lines = -(-n // columns)
    cells = np.zeros((lines * columns, h, w, c), np.uint8)
    cells[:n] = images.transpose(0, 2, 3, 1)
    grid = (
        cells.reshape(lines, columns, h, w, c)
        .transpose(0, 2, 1, 3, 4)
        .reshape(lines * h, columns * w, c)
    )
    buffer = BytesIO()
    Image.fromarray(grid[:, :, 0] if c == 1 else grid).save(buffer, format="PNG", optimize=False)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
