"""Where the results of a data set lie: those of this run, and those that were measured once and are carried in git."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from catwise.core.errors import InputError
from catwise.pipeline.files import read_json

__all__ = ["CARRIED", "RECORD", "Place", "hashes", "live", "made", "measured", "names", "record"]

CARRIED = Path("reports", "measured")
RECORD = "provenance.json"
Place = Callable[[str], Path]  # a stage, or "data", to the folder with what it wrote


def live(dataset: str) -> Place:
    """The folders of the pipeline."""
    return lambda part: Path("data", dataset) if part == "data" else Path("reports", part, dataset)


def measured(dataset: str) -> Place:
    """The folders of one measured data set, with the files that the figures and the report read."""
    return partial(Path, CARRIED, dataset)


def names() -> list[str]:
    """The measured data sets."""
    return sorted(path.name for path in CARRIED.glob("*") if path.is_dir() and path.name[0] != ".")


def record(dataset: str) -> dict[str, Any]:
    """The provenance of a measured data set."""
    path = made(CARRIED / dataset / RECORD)
    try:
        return read_json(path)
    except ValueError as error:
        raise InputError(
            f"{path}: expected JSON as stages.measure writes it; got {error}"
        ) from None


def hashes(root: Path) -> dict[str, str]:
    """The sha256 of every file below ``root``, without the record that holds them, by its path from there."""
    files = sorted(
        path
        for path in root.rglob("*")
        if path.is_file() and path.name[0] != "." and path.name != RECORD
    )
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def made(path: Path) -> Path:
    if not path.exists():
        raise InputError(
            f"{path}: expected a file that an earlier stage writes; got none; run `dvc repro`"
        )
    return path
