"""Read and write the files between stages: whole or not at all, and named when they are damaged."""

import json
import math
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import pandas as pd

from catwise.core.errors import InputError, in_one_line

__all__ = [
    "folder",
    "read_json",
    "read_npz",
    "reading",
    "write_csv",
    "write_json",
    "write_npz",
    "write_whole",
]


def folder(root: str, *parts: str) -> Path:
    """Return the folder ``root/parts``, after making it if it is missing."""
    path = Path(root, *parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` write to another name beside ``path``, then move the file to ``path``.

    A stage that is killed leaves no half a file, and two processes may write the same file.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(scratch)
        os.replace(scratch, path)
    except OSError as error:
        raise InputError(f"{path}: expected to write it; got: {error.strerror or error}") from None
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def reading(path: Path, what: str, *damage: type[Exception]) -> Iterator[None]:
    """Turn the error of a missing or damaged file into one InputError that names it.

    ``what`` is what the file should be; ``damage`` are further errors that its reader raises if it
    is not.
    """
    kinds: tuple[type[Exception], ...] = (OSError, ValueError, EOFError, *damage)
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(
            f"{path}: expected a file that an earlier stage writes; got none; run `dvc repro`"
        ) from None
    except kinds as error:
        raise InputError(
            f"{path}: expected {what}; got a damaged file: {in_one_line(error)};"
            " `dvc repro` mends it"
        ) from None


class Content(dict[str, Any]):
    """Hold what a file contains, by key; an error for a missing key names the file."""

    def __init__(self, path: Path, items: Any) -> None:
        super().__init__(items)
        self._path = path

    def __missing__(self, key: str) -> Any:
        keys = ", ".join(map(repr, self))
        raise InputError(f"{self._path}: expected {key!r} in it; got {keys}; run `dvc repro`")


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays by name, compressed."""

    def write(scratch: Path) -> None:
        with scratch.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    write_whole(path, write)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read arrays by name, after a check of their checksums; pickles are never read."""
    damage = (BadZipFile, zlib.error, NotImplementedError, RuntimeError, struct.error, KeyError)
    with reading(path, "arrays", *damage), ZipFile(path) as archive:
        if broken := archive.testzip():  # checked before numpy makes sense of a header
            raise ValueError(f"{broken} does not fit its checksum")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Content(path, arrays)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, with null in place of NaN and infinity, which JSON does not have."""
    text = json.dumps(_plain(value), indent=2, allow_nan=False) + "\n"
    write_whole(path, lambda scratch: scratch.write_text(text))


def _plain(value: Any) -> Any:
    """Return the same value in the types that JSON has."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> Any:
    """Read JSON; an error for a key that an object in it lacks names the file."""
    with reading(path, "JSON"):
        return json.loads(path.read_text(), object_hook=partial(Content, path))


def write_csv(
    path: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str] | None = None
) -> None:
    """Write a header and a line per row; ``columns`` names the columns where there is no row.

    Each value is written as it is: a missing cell turns no other integer into a float.
    """
    table = pd.DataFrame(rows, columns=columns, dtype=object)
    write_whole(path, lambda scratch: table.to_csv(scratch, index=False))
