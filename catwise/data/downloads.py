"""What can go wrong on the way from a server: no network, no room, a wrong file. Each is one line.

``CATWISE_CACHE`` names the folder of the downloads (default ``data/.downloads``).
"""

import http.client
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catwise.core.errors import InputError

__all__ = ["WAY_OUT", "cache", "one_line", "require_space"]

ERRORS: tuple[type[Exception], ...] = (
    OSError,  # no network, no space; with it URLError and most errors of the hub
    http.client.HTTPException,  # a connection that ends too early
    RuntimeError,  # torchvision: a wrong checksum
    ValueError,  # datasets: other sizes than its own record says
    EOFError,
    tarfile.TarError,
)
WAY_OUT = "connect, or set CATWISE_MIRROR to a local folder laid out like the hub"


def cache() -> Path:
    return Path(os.environ.get("CATWISE_CACHE") or "data/.downloads")


def require_space(path: Path, size: int) -> None:
    """Raises InputError unless ``size`` bytes are free where ``path`` is, or will be."""
    existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < size:
        raise InputError(
            f"{path}: expected {size / 1e6:,.0f} MB of free disk; got {free / 1e6:,.0f} MB"
        )


@contextmanager
def one_line(what: str, expected: str, way_out: str, *others: type[Exception]) -> Iterator[None]:
    """What can go wrong between here and a server, in one line."""
    try:
        yield
    except (*ERRORS, *others) as error:
        if isinstance(error, InputError):
            raise
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"{what}: expected {expected}; got {type(error).__name__}: {said}; {way_out}"
        ) from None
