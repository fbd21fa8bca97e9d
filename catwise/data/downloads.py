"""Prepare for downloads: the folder, the disk, and every failure of a server in one line."""

import http.client
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from catwise.core.errors import InputError, in_one_line

__all__ = ["REMEDY", "cache_folder", "errors_in_one_line", "locked", "require_space"]

ERRORS: tuple[type[Exception], ...] = (
    OSError,  # no network, no space; among them are URLError and most errors of the hub
    http.client.HTTPException,  # a connection that ends too early
    RuntimeError,  # torchvision: a wrong checksum
    ValueError,  # datasets: sizes that are not those of its own record
    EOFError,
    tarfile.TarError,
)
REMEDY = "connect, or set CATWISE_MIRROR to a local folder laid out like the hub"


def cache_folder() -> Path:
    """Return the folder of the downloads: ``CATWISE_CACHE``, or the project's ``data/.downloads``.

    DVC removes the folder of an experiment; ``DVC_ROOT`` is the project that it belongs to.
    """
    root = os.environ.get("DVC_ROOT") or "."
    return Path(os.environ.get("CATWISE_CACHE") or Path(root, "data", ".downloads"))


def require_space(path: Path, size: int) -> None:
    """Raise InputError unless ``size`` bytes are free where ``path`` is, or will be."""
    existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < size:
        raise InputError(
            f"{path}: expected {size / 1e6:,.0f} MB of free disk; got {free / 1e6:,.0f} MB"
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make ``folder`` and hold its lock, because two stages may download the same files at once."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield


@contextmanager
def errors_in_one_line(
    where: str, expected: str, remedy: str, *others: type[Exception]
) -> Iterator[None]:
    """Turn what goes wrong between here and a server, or ``others``, into one InputError."""
    try:
        yield
    except (*ERRORS, *others) as error:
        if isinstance(error, InputError):
            raise
        got = f"{type(error).__name__}: {in_one_line(error)}"
        raise InputError(f"{where}: expected {expected}; got {got}; {remedy}") from None
