"""What every stage shares: one argument, parameters by section, files written whole or not at all."""

import io
import json
import math
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import pandas as pd

from catwise.core.errors import InputError

__all__ = [
    "folder",
    "read_csv",
    "read_json",
    "read_npz",
    "reading",
    "write_csv",
    "write_json",
    "write_npz",
    "write_whole",
]


def folder(root: str, *parts: str) -> Path:
    """A folder for outputs, made if it is missing."""
    path = Path(root, *parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """``write`` to a scratch name beside ``path``, then move it there: a killed stage leaves no half a file."""
    scratch = path.with_name(
        f".{path.name}.{os.getpid()}.part"
    )  # two experiments may write the same
    try:
        write(scratch)
        os.replace(scratch, path)
    except OSError as error:
        raise InputError(f"{path}: expected to write it; got: {error.strerror or error}") from None
    finally:
        scratch.unlink(missing_ok=True)


class Named(dict[str, Any]):
    """What a file holds, by key; it says which file lacks the key that is asked for."""

    def __init__(self, path: Path, items: Any) -> None:
        super().__init__(items)
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise InputError(
            f"{self._path}: expected {key!r} in it; got {', '.join(map(repr, self))}; run `dvc repro`"
        )


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    def write(scratch: Path) -> None:
        with scratch.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    write_whole(path, write)


@contextmanager
def reading(path: Path, what: str, *damage: type[Exception]) -> Iterator[None]:
    """A file that is missing or damaged, by name; ``damage``: what else its reader raises then."""
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
        came = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{path}: expected {what}; got a damaged file: {came}; `dvc repro` mends it"
        ) from None


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays, whose checksums the format holds; never a pickle."""
    damage = (BadZipFile, zlib.error, NotImplementedError, RuntimeError, struct.error, KeyError)
    with reading(path, "arrays", *damage), ZipFile(path) as archive:
        if broken := archive.testzip():  # before numpy makes sense of a header
            raise ValueError(f"{broken} does not fit its checksum")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return Named(path, arrays)


def write_json(path: Path, value: Any) -> None:
    """JSON with null in place of NaN, which is not JSON."""

    def plain(item: Any) -> Any:
        if isinstance(item, dict):
            return {str(key): plain(inner) for key, inner in item.items()}
        if isinstance(item, list | tuple | np.ndarray):
            return [plain(inner) for inner in item]
        if isinstance(item, np.generic):
            item = item.item()
        return None if isinstance(item, float) and not math.isfinite(item) else item

    text = json.dumps(plain(value), indent=2, allow_nan=False) + "\n"
    write_whole(path, lambda scratch: scratch.write_text(text))


def read_json(path: Path) -> Any:
    with reading(path, "JSON"):
        return json.loads(path.read_text(), object_hook=partial(Named, path))


def write_csv(path: Path, rows: list[dict[str, Any]], columns: list[str] | None = None) -> None:
    """A header and a line per row; ``columns`` names them where there may be no row."""
    write_whole(
        path, lambda scratch: pd.DataFrame(rows, columns=columns).to_csv(scratch, index=False)
    )


def read_csv(path: Path, **options: Any) -> pd.DataFrame:
    """Names of classes stay text: those of digits look like numbers, and a class may be called None."""
    with reading(path, "CSV"):
        content = path.read_bytes()
        if not content.endswith(b"\n"):
            raise ValueError("its last line does not end")
        plain: dict[str, Any] = {
            "dtype": {"class": str, "target": str},
            "keep_default_na": False,
            "na_values": [""],
        }
        return pd.read_csv(io.BytesIO(content), **(plain | options))
