"""Samples as they lie in files: raw splits, one image, and the user's own data (a folder per class, or a CSV)."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from catwise.errors import InputError

__all__ = ["Part", "Raw", "csv_file", "decoded_image", "image_folder"]

OWN = "the user's own data, under the user's own terms"
Part = tuple[Any, np.ndarray]  # images as uint8 (n, channels, height, width) or a list of n texts; n labels


@dataclass(frozen=True)
class Raw:
    """``parts``: official split -> (samples, labels); the user's own sets have one part, ``all``."""

    classes: tuple[str, ...]
    licence: str
    origin: str
    parts: dict[str, Part]
    notes: tuple[str, ...] = ()


def decoded_image(content: bytes | None, where: str, mode: str) -> Any:
    """A Pillow image, upright, in Pillow's mode L or RGB; ``where`` names it if it is broken."""
    from PIL import Image, ImageOps

    try:
        image = Image.open(io.BytesIO(content or b""))
        if image.mode[0] in "IF":
            raise InputError(f"{where}: expected 8 bits per channel; came mode {image.mode}")
        return ImageOps.exif_transpose(image).convert(mode)
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError) as error:
        raise InputError(f"{where}: expected an image; came {type(error).__name__}") from None


def image_folder(path: str, classes: Sequence[str], size: int, colour: str) -> Raw:
    """``path/CLASS/FILE``, as squares of ``size`` pixels, in colour or grey; hidden files are left out."""
    root = Path(path)
    if not root.is_dir():
        raise InputError(f"prepare.path: expected a folder with one folder per class; came {path!r}")
    folders = sorted(child.name for child in root.iterdir() if child.is_dir() and child.name[0] != ".")
    if folders != sorted(classes):
        raise InputError(f"{path}: expected the folders {', '.join(sorted(classes))}; came {', '.join(folders)}")
    mode = {"grey": "L", "rgb": "RGB"}[colour]
    pixels, labels = [], []
    for label, name in enumerate(classes):
        for file in sorted(child for child in (root / name).iterdir() if child.name[0] != "."):
            if not file.is_file():
                raise InputError(f"{file}: expected an image; came a folder")
            square = np.asarray(decoded_image(file.read_bytes(), str(file), mode).resize((size, size)))
            pixels.append(square[None] if colour == "grey" else np.moveaxis(square, 2, 0))
            labels.append(label)
        if not labels or labels[-1] != label:
            raise InputError(f"{root / name}: expected images; came an empty folder")
    return Raw(tuple(classes), OWN, f"imagefolder {path}", {"all": (np.stack(pixels), np.array(labels))})


def csv_file(path: str, classes: Sequence[str]) -> Raw:
    """A file of UTF-8 with a header; the columns ``text`` and ``label``, one of ``classes``, are read."""
    try:
        content = Path(path).read_bytes()
        whole = content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"prepare.path: expected a CSV file; came {path!r}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}: line {line}: expected UTF-8; came byte {content[error.start]:#x}") from None
    samples: list[str] = []
    labels: list[int] = []
    numbers = {name: label for label, name in enumerate(classes)}
    rows = csv.DictReader(io.StringIO(whole, newline=""), strict=True)
    try:
        if missing := {"text", "label"} - set(rows.fieldnames or ()):
            raise InputError(f"{path}: line 1: expected columns text and label; came no {' or '.join(sorted(missing))}")
        for row in rows:
            where = f"{path}: line {rows.line_num}"
            if None in row or None in row.values():
                raise InputError(f"{where}: expected {len(rows.fieldnames or ())} columns; came more or fewer")
            if row["label"] not in numbers:
                raise InputError(f"{where}: expected a label of {', '.join(classes)}; came {row['label'][:40]!r}")
            if not row["text"].strip():
                raise InputError(f"{where}: expected a text; came none")
            samples.append(row["text"])
            labels.append(numbers[row["label"]])
    except csv.Error as error:
        raise InputError(f"{path}: line {rows.reader.line_num}: expected CSV; came: {error}") from None
    if not samples:
        raise InputError(f"{path}: expected rows after the header; came none")
    return Raw(tuple(classes), OWN, f"csv {path}", {"all": (samples, np.array(labels, dtype=np.int64))})
