"""Choose the training samples that the page shows, and pack them for its table and its script."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from catwise.data import wordpiece
from catwise.pipeline.records import Predicted
from catwise.pipeline.results import Results
from catwise.sharing.html import sheet

__all__ = ["Samples", "embedded", "image_url", "samples_of", "worst_rows"]

LISTED = 12  # samples in the table that needs no script
MAX_SAMPLES = 1000  # on the page, of one data set
MAX_BYTES = 1_200_000  # of their pixels


@dataclass(frozen=True)
class Samples:
    """Hold the training samples of a data set: influence vectors, labels, and how they look.

    Images are (n, c, h, w) and points (n, 2); of images, texts and points at most one is there.
    ``predicted`` is what the trained model takes each sample for, None where that is not known.
    """

    p_nk: np.ndarray
    labels_n: np.ndarray
    flipped_n: np.ndarray
    classes: tuple[str, ...]
    predicted: Predicted | None = None
    images: np.ndarray | None = None
    texts: list[str] | None = None
    points: np.ndarray | None = None

    @property
    def visible(self) -> bool:
        """Say whether a sample can be looked at; carried results hold no images and no texts."""
        return any(part is not None for part in (self.images, self.texts, self.points))


def samples_of(results: Results) -> Samples:
    """Return the training samples of a data set."""
    texts = None
    if results.token_ids is not None and results.tokenizer is not None:
        texts = wordpiece.decode(results.tokenizer, results.token_ids)
    return Samples(
        results.vectors,
        results.labels_n,
        results.flipped_n,
        results.classes,
        results.predicted,
        results.images,
        texts,
        results.points,
    )


def rows_shown(samples: Samples) -> np.ndarray:
    """Return all rows, or where there are many the extremes and an even choice of the rest.

    Extreme are the most detrimental and beneficial samples to each class, and to all together.
    """
    n = len(samples.p_nk)
    limit = min(n, MAX_SAMPLES)
    if samples.images is not None:
        limit = min(limit, max(LISTED, MAX_BYTES // samples.images[0].size))
    if limit == n:
        return np.arange(n)
    columns = np.column_stack([samples.p_nk, samples.p_nk.sum(axis=1)])
    order = np.argsort(columns, axis=0, kind="stable")
    each = max(1, limit // (3 * columns.shape[1]))
    ends = np.concatenate([order[: 2 * each].ravel(), order[-each:].ravel()])
    extremes = np.unique(ends)[:limit]
    rest = np.setdiff1d(np.arange(n), extremes)
    even = rest[np.linspace(0, len(rest) - 1, limit - len(extremes)).astype(int)]
    return np.sort(np.concatenate([extremes, even]))


def worst(samples: Samples) -> np.ndarray:
    """Return the rows with the smallest sum_k P[i, k], the most detrimental first."""
    return np.argsort(samples.p_nk.sum(axis=1), kind="stable")[:LISTED]


def worst_rows(samples: Samples) -> list[dict[str, Any]]:
    """Describe the most detrimental samples, for the table that needs no script."""
    rows = []
    for i in worst(samples):
        row: dict[str, Any] = {
            "row": int(i),
            "label": samples.classes[samples.labels_n[i]],
            "flipped": bool(samples.flipped_n[i]),
            "harms": samples.classes[int(samples.p_nk[i].argmin())],
            "sum": f"{samples.p_nk[i].sum():.3g}",
            "predicted": "-",
            "look": "",
        }
        if samples.predicted is not None:
            name = samples.classes[samples.predicted.label_n[i]]
            row["predicted"] = f"{name} ({samples.predicted.probability_n[i]:.2f})"
        if samples.texts is not None:
            row["look"] = samples.texts[i]
        elif samples.points is not None:
            row["look"] = "({:.2f}, {:.2f})".format(*samples.points[i])
        rows.append(row)
    return rows


def image_url(samples: Samples, row: int) -> str:
    """Return one image as a data URL."""
    assert samples.images is not None, "a data set without images has no thumbnails"
    return sheet(samples.images[[row]], 1)


def embedded(samples: Samples) -> Markup:
    """Return the samples as JSON that no sign can take out of its script element."""
    text = json.dumps(payload(samples), separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def payload(samples: Samples) -> dict[str, Any]:
    """Return what the script of the page reads, with P to four digits."""
    rows = rows_shown(samples)
    packed: dict[str, Any] = {
        "classes": samples.classes,
        "rows": rows.tolist(),
        "of": len(samples.p_nk),
        "given": samples.labels_n[rows].tolist(),
        "flipped": samples.flipped_n[rows].astype(int).tolist(),
        "p": [[float(f"{value:.4g}") for value in row] for row in samples.p_nk[rows].tolist()],
    }
    if samples.predicted is not None:
        probabilities = samples.predicted.probability_n[rows].tolist()
        packed["predicted"] = samples.predicted.label_n[rows].tolist()
        packed["probability"] = [round(value, 3) for value in probabilities]
    if samples.images is not None:
        columns = int(np.ceil(len(rows) ** 0.5))
        packed["image"] = {
            "sheet": sheet(samples.images[rows], columns),
            "columns": columns,
            "height": samples.images.shape[2],
            "width": samples.images.shape[3],
        }
    elif samples.texts is not None:
        packed["text"] = [samples.texts[row] for row in rows]
    elif samples.points is not None:
        packed["point"] = samples.points[rows].round(3).tolist()
    return packed
