"""Seconds of several calls that take turns, so that what else the machine does falls on all of them."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

__all__ = ["ratio", "turns"]


def turns(
    calls: dict[str, Callable[[], object]], repeats: int, device: str
) -> dict[str, list[float]]:
    """Seconds of each call in each of ``repeats`` rounds, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(1 + repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if device == "cuda":
                torch.cuda.synchronize()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds: dict[str, list[float]], of: str, to: str) -> dict[str, Any]:
    """Median of the ratios within a round, with the lowest and the highest."""
    ratios = [a / b for a, b in zip(seconds[of], seconds[to], strict=True)]
    return {"median": median(ratios), "lowest": min(ratios), "highest": max(ratios)}
