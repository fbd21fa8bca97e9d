"""Show how far a long loop is: a renewed line on a terminal, a line every ten seconds in a log."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Protocol, TypeVar, cast

__all__ = ["Progress", "progress"]

Item = TypeVar("Item")


class Progress(Protocol):
    """Pass the items of a loop on, and show how far it is; ``iter`` shows nothing."""

    def __call__(self, items: Iterable[Item], /) -> Iterable[Item]: ...


def progress(items: Iterable[Item], label: str, total: int | None = None) -> Iterator[Item]:
    """Yield ``items``, and show on stderr how many are done and when the rest will be.

    ``total`` is their number, and may be left out where ``items`` has a length.
    """
    count = len(cast(Sized, items)) if total is None else total
    terminal = sys.stderr.isatty()
    pause, end = (0.5, "\r") if terminal else (10.0, "\n")  # seconds between two lines
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= pause:
            left = (now - start) / done * (count - done)
            line = f"{label}: {done}/{count}, about {left:.0f} s left"
            print(line.ljust(79) if terminal else line, end=end, file=sys.stderr, flush=True)
            last = now
    if terminal and last > start:
        print(file=sys.stderr)
