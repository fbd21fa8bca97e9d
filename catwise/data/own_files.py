"""Read the user's own data: a folder of images per class, or a CSV of texts with labels."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from catwise.core.errors import InputError
from catwise.data.raw import Raw, decode_image

__all__ = ["count_classes", "load_csv", "load_image_folder", "median_side_and_colour"]

LICENCE = "the user's own data, under the user's own terms"


def load_image_folder(path: str, classes: Sequence[str], size: int, colour: str) -> Raw:
    """Read ``path/CLASS/FILE`` as squares of ``size`` pixels, in colour ``rgb`` or ``grey``.

    Hidden files are left out.
    """
    root, folders = Path(path), _class_folders(path)
    if folders != sorted(classes):
        raise InputError(
            f"{path}: expected the folders {', '.join(sorted(classes))}; got {', '.join(folders)}"
        )
    mode = {"grey": "L", "rgb": "RGB"}[colour]
    pixels, labels, names = [], [], []
    for label, name in enumerate(classes):
        files = _visible_files(root / name)
        if not files:
            raise InputError(f"{root / name}: expected images; got an empty folder")
        for file in files:
            square = np.asarray(_image(file, mode).resize((size, size)))
            pixels.append(square[None] if colour == "grey" else np.moveaxis(square, 2, 0))
            labels.append(label)
            names.append(f"{name}/{file.name}")
    part = (np.stack(pixels), np.array(labels))
    return Raw(tuple(classes), LICENCE, f"imagefolder {path}", {"all": part}, names=tuple(names))


def median_side_and_colour(path: str, each: int = 20) -> tuple[int, bool]:
    """Measure the first ``each`` images of every class.

    Returns the median of their shorter sides in pixels, and whether any of them has colour.
    """
    sides, colour = [], False
    for name in _class_folders(path):
        for file in _visible_files(Path(path, name))[:each]:
            pixels = np.asarray(_image(file, "RGB"))
            sides.append(min(pixels.shape[:2]))
            colour = colour or bool((pixels != pixels[:, :, :1]).any())
    return int(np.median(sides)), colour


def load_csv(path: str, classes: Sequence[str]) -> Raw:
    """Read the columns ``text`` and ``label`` of a CSV in UTF-8; labels are of ``classes``.

    Blanks around a label do not count. Where that makes one class of two, a note says so.
    """
    texts: list[str] = []
    labels: list[int] = []
    names: list[str] = []
    numbers = {name: label for label, name in enumerate(classes)}
    written: set[str] = set()
    for line, text, given in _csv_rows(path):
        label = given.strip()
        written.add(given)
        if label not in numbers:
            raise InputError(
                f"{path}: line {line}: expected a label of {', '.join(classes)}; got {label[:40]!r}"
            )
        texts.append(text)
        labels.append(numbers[label])
        names.append(f"line {line}")
    if not texts:
        raise InputError(f"{path}: expected rows after the header; got none")
    part = (texts, np.array(labels, dtype=np.int64))
    spellings = Counter(given.strip() for given in written)
    merged = sorted(label for label, number in spellings.items() if number > 1)
    notes = (f"read as one class with and without blanks around it: {', '.join(merged)}",)
    return Raw(
        tuple(classes),
        LICENCE,
        f"csv {path}",
        {"all": part},
        notes=notes if merged else (),
        names=tuple(names),
    )


def count_classes(path: str) -> dict[str, int]:
    """Count the samples of each class in a folder of images or a CSV, by name in order.

    Raises InputError where the classes are a folder deeper, as in ``path/train/CLASS``.
    """
    if Path(path).is_dir():
        files = {name: _visible_files(Path(path, name)) for name in _class_folders(path)}
        for name, children in files.items():
            if children and all(child.is_dir() for child in children):
                inner = Path(path, "train" if "train" in files else name)
                raise InputError(f"{Path(path, name)}: expected images; got folders; give {inner}")
        return {name: len(children) for name, children in files.items()}
    counts: Counter[str] = Counter()
    for _, _, label in _csv_rows(path):
        counts[label.strip()] += 1
    return dict(sorted(counts.items()))


def _image(file: Path, mode: str) -> Any:
    """Read an image by Pillow, in its mode L or RGB."""
    if not file.is_file():
        raise InputError(f"{file}: expected an image; got a folder")
    return decode_image(file.read_bytes(), str(file), mode)


def _class_folders(path: str) -> list[str]:
    """Return the sorted names of the folders in ``path``."""
    if not Path(path).is_dir():
        raise InputError(f"path: expected a folder with one folder per class; got {path!r}")
    return [child.name for child in _visible_files(Path(path)) if child.is_dir()]


def _visible_files(folder: Path) -> list[Path]:
    """Return what is in a folder and not hidden, sorted."""
    return sorted(child for child in folder.iterdir() if not child.name.startswith("."))


def _csv_rows(path: str) -> Iterator[tuple[int, str, str]]:
    """Yield each row: the number of the line that it ends at, its text and its label."""
    rows = csv.DictReader(io.StringIO(_csv_text(path), newline=""), strict=True)
    try:
        columns = rows.fieldnames or ()
        if missing := sorted({"text", "label"} - set(columns)):
            raise InputError(
                f"{path}: line 1: expected columns text and label; got no {' or '.join(missing)}"
                "; for a table of features use the library, see docs/own-data.md"
            )
        if duplicates := sorted(name for name in ("text", "label") if columns.count(name) > 1):
            raise InputError(
                f"{path}: line 1: expected each column once; got {duplicates[0]} again"
            )
        for row in rows:
            where = f"{path}: line {rows.line_num}"
            if None in row or None in row.values():
                raise InputError(f"{where}: expected {len(columns)} columns; got more or fewer")
            if not row["text"].strip():
                raise InputError(f"{where}: expected a text; got none")
            if not row["label"].strip():
                raise InputError(f"{where}: expected a label; got none")
            yield rows.line_num, row["text"], row["label"]
    except csv.Error as error:
        line = rows.reader.line_num
        raise InputError(f"{path}: line {line}: expected CSV; got: {error}") from None


def _csv_text(path: str) -> str:
    """Return the content of a file in UTF-8, without a byte order mark."""
    try:
        content = Path(path).read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"path: expected a CSV file; got {path!r}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        got = f"byte {content[error.start]:#x}"
        raise InputError(f"{path}: line {line}: expected UTF-8; got {got}") from None
