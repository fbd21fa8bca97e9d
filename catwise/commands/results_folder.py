"""Keep the results of a command in one folder, those of one run alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from catwise.core.errors import InputError

__all__ = ["new_results"]


@contextmanager
def new_results(path: str, *sometimes: str) -> Iterator[Path]:
    """Yield an empty folder; at the end what was written there goes to the folder ``path``.

    Until then, and where it fails, the results of an earlier run stay. Of ``sometimes``, which not
    every run writes, none of an earlier run is left; other files in ``path`` are not touched.

    Raises InputError for a folder that cannot be written, before there is anything to lose.
    """
    target = Path(path)
    missing = [place for place in (target, *target.parents) if not place.exists()]
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out: expected a folder; got {path!r}: {error.strerror}") from None
    if not os.access(target, os.W_OK):
        raise InputError(f"--out: expected a folder to write to; got {path!r}: read-only")
    try:
        with TemporaryDirectory(prefix=".", dir=target) as scratch:
            yield Path(scratch)
            _move(Path(scratch), target, sometimes)
    finally:
        for place in missing:  # what fails leaves no empty folder
            with suppress(OSError):
                place.rmdir()


def _move(scratch: Path, target: Path, sometimes: tuple[str, ...]) -> None:
    """Move all files to ``target``, and remove those of ``sometimes`` that are not among them."""
    try:
        for file in [child for child in scratch.rglob("*") if child.is_file()]:
            end = target / file.relative_to(scratch)
            end.parent.mkdir(exist_ok=True)
            os.replace(file, end)
            sometimes = tuple(name for name in sometimes if target / name != end)
        for name in sometimes:
            (target / name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"--out: expected to write there; got {target}: {error}") from None
