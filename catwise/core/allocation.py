"""Keep freed memory, so that a tensor of the same size costs no new pages."""

import ctypes
import sys

__all__ = ["keep_freed_memory"]

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # by their names in glibc's malloc.h


def keep_freed_memory() -> bool:
    """Let glibc's allocator keep what the main thread frees, and return whether it was told to.

    By default it gives each tensor beyond 32 MB back to the system, which then clears the pages of
    the next one; ``benchmarks.speed.allocation`` measures what that costs. The price is that a
    process keeps what it held at its peak. Other threads, and systems without glibc, are as before.

    Source: mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return bool(mallopt and mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, -1))
