"""Measure in a process of its own, with its peak of memory and a limit of its time (Linux)."""

import multiprocessing
import re
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["apart", "held", "reset_peak"]


def apart(call: Callable[..., Any], *arguments: Any, limit: int | None = None) -> Any:
    """Return what ``call`` gives in a fork of this process; a string says why it gives nothing.

    ``limit`` are seconds of one core after which it is stopped. Packages are imported once.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, limit, call, arguments))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        if process.exitcode == -signal.SIGXCPU:
            return f"stopped after {limit} s of one core"
        return f"ended with exit code {process.exitcode}"
    finally:
        process.join()


def _send(sender: Any, limit: int | None, call: Callable[..., Any], arguments: Any) -> None:
    if limit:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    try:
        sender.send(call(*arguments))
    except Exception as error:  # what it is stands in the table
        sender.send(f"{type(error).__name__}: {' '.join(str(error).split())}"[:200])


def reset_peak() -> None:
    """Forget the largest memory that the process has held so far."""
    Path("/proc/self/clear_refs").write_text("5")


def held(what: str) -> int:
    """Return the bytes that the process holds: VmRSS now, or VmHWM, the largest since a reset."""
    size = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(size[1]) if size else 0
