"""Samples as they lie in files: raw splits, one image, and the user's own data (a folder per class, or a CSV)."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from catwise.core.errors import InputError

__all__ = [
    "Part",
    "Raw",
    "count_classes",
    "load_csv",
    "decode_image",
    "load_image_folder",
    "median_side_and_colour",
]

OWN = "the user's own data, under the user's own terms"
Part = tuple[
    Any, np.ndarray
]  # images as uint8 (n, channels, height, width) or a list of n texts; n labels


@dataclass(frozen=True)
class Raw:
    """``parts``: official split -> (samples, labels); the user's own sets have one part, ``all``.

    ``names`` of its samples tell where the user finds them: the file below the folder, or the line of the CSV.
    """

    classes: tuple[str, ...]
    licence: str
    origin: str
    parts: dict[str, Part]
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def decode_image(content: bytes | None, where: str, mode: str) -> Any:
    """A Pillow image, upright, in Pillow's mode L or RGB; ``where`` names it if it is broken."""
    from PIL import Image, ImageOps

    try:
        image = Image.open(io.BytesIO(content or b""))
        if image.mode[0] in "IF":
            raise InputError(f"{where}: expected 8 bits per channel; got mode {image.mode}")
        return ImageOps.exif_transpose(image).convert(mode)
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError) as error:
        raise InputError(f"{where}: expected an image; got {type(error).__name__}") from None


def load_image_folder(path: str, classes: Sequence[str], size: int, colour: str) -> Raw:
    """``path/CLASS/FILE``, as squares of ``size`` pixels, in colour or grey; hidden files are left out."""
    root = Path(path)
    folders = _folders(path)
    if folders != sorted(classes):
        raise InputError(
            f"{path}: expected the folders {', '.join(sorted(classes))}; got {', '.join(folders)}"
        )
    mode = {"grey": "L", "rgb": "RGB"}[colour]
    pixels, labels, names = [], [], []
    for label, name in enumerate(classes):
        for file in _images(root / name):
            if not file.is_file():
                raise InputError(f"{file}: expected an image; got a folder")
            square = np.asarray(
                decode_image(file.read_bytes(), str(file), mode).resize((size, size))
            )
            pixels.append(square[None] if colour == "grey" else np.moveaxis(square, 2, 0))
            labels.append(label)
            names.append(f"{name}/{file.name}")
        if not labels or labels[-1] != label:
            raise InputError(f"{root / name}: expected images; got an empty folder")
    part = (np.stack(pixels), np.array(labels))
    return Raw(tuple(classes), OWN, f"imagefolder {path}", {"all": part}, names=tuple(names))


def _folders(path: str) -> list[str]:
    if not Path(path).is_dir():
        raise InputError(f"prepare.path: expected a folder with one folder per class; got {path!r}")
    return sorted(
        child.name for child in Path(path).iterdir() if child.is_dir() and child.name[0] != "."
    )


def _images(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.name[0] != ".")


def median_side_and_colour(path: str, each: int = 20) -> tuple[int, bool]:
    """Of the first ``each`` images of every class: the median of their shorter sides, and whether any has colour."""
    sides, colour = [], False
    for name in _folders(path):
        for file in _images(Path(path, name))[:each]:
            pixels = np.asarray(decode_image(file.read_bytes(), str(file), "RGB"))
            sides.append(min(pixels.shape[:2]))
            colour = colour or bool((pixels != pixels[:, :, :1]).any())
    return int(np.median(sides)), colour


def load_csv(path: str, classes: Sequence[str]) -> Raw:
    """A file of UTF-8 with a header; the columns ``text`` and ``label``, one of ``classes``, are read."""
    samples: list[str] = []
    labels: list[int] = []
    lines: list[str] = []
    numbers = {name: label for label, name in enumerate(classes)}
    for line, text, label in _rows(path):
        if label not in numbers:
            raise InputError(
                f"{path}: line {line}: expected a label of {', '.join(classes)}; got {label[:40]!r}"
            )
        samples.append(text)
        labels.append(numbers[label])
        lines.append(f"line {line}")
    if not samples:
        raise InputError(f"{path}: expected rows after the header; got none")
    part = (samples, np.array(labels, dtype=np.int64))
    return Raw(tuple(classes), OWN, f"csv {path}", {"all": part}, names=tuple(lines))


def _rows(path: str) -> Iterator[tuple[int, str, str]]:
    """The line that each row ends at, its text and its label."""
    try:
        content = Path(path).read_bytes()
        whole = content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(
            f"prepare.path: expected a CSV file; got {path!r}: {error.strerror}"
        ) from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{path}: line {line}: expected UTF-8; got byte {content[error.start]:#x}"
        ) from None
    rows = csv.DictReader(io.StringIO(whole, newline=""), strict=True)
    try:
        if missing := {"text", "label"} - set(rows.fieldnames or ()):
            raise InputError(
                f"{path}: line 1: expected columns text and label; got no {' or '.join(sorted(missing))}"
            )
        for row in rows:
            where = f"{path}: line {rows.line_num}"
            if None in row or None in row.values():
                raise InputError(
                    f"{where}: expected {len(rows.fieldnames or ())} columns; got more or fewer"
                )
            if not row["text"].strip():
                raise InputError(f"{where}: expected a text; got none")
            yield rows.line_num, row["text"], row["label"]
    except csv.Error as error:
        raise InputError(
            f"{path}: line {rows.reader.line_num}: expected CSV; got: {error}"
        ) from None


def count_classes(path: str) -> dict[str, int]:
    """The samples of each class in a folder of images or a CSV, the classes in order of their names."""
    if Path(path).is_dir():
        return {name: len(_images(Path(path, name))) for name in _folders(path)}
    counts: Counter[str] = Counter()
    for line, _, label in _rows(path):
        if not label.strip():
            raise InputError(f"{path}: line {line}: expected a label; got none")
        counts[label] += 1
    return dict(sorted(counts.items()))
