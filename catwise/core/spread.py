"""Describe the processes that long work is spread over."""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["Spread", "Workers"]

# function, calls -> function(*call) for each call, in order
Spread = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], Generator[Any]]


@dataclass(frozen=True)
class Workers:
    """Hold the processes that a pass is divided among: see ``catwise.open_workers``.

    ``spread(function, calls)`` yields function(*call) for each call, in order. There is a part of
    the pass for each of ``devices``, which is computed there, with ``threads`` threads.
    """

    spread: Spread
    devices: tuple[str, ...]
    threads: int = 1
