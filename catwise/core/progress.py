"""Progress of long loops: a bar with an ETA on a terminal, a line every ten seconds elsewhere."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

__all__ = ["progress"]

Item = TypeVar("Item")
PAUSE = 10.0  # seconds between lines in a log


def progress(items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """Yields ``items`` and shows on stderr how many are done and when the rest will be."""
    total = len(items) if total is None else total  # type: ignore[arg-type]
    if sys.stderr.isatty():
        yield from tqdm(items, label, total, file=sys.stderr, dynamic_ncols=True)
        return
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= PAUSE:
            left = (now - start) / done * (total - done)
            print(f"{label}: {done}/{total}, about {left:.0f} s left", file=sys.stderr, flush=True)
            last = now
