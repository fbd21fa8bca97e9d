"""Time several calls in turns, so that what else the machine does falls on all of them."""

import time
from collections.abc import Callable
from statistics import median

import torch

__all__ = ["ratio", "time_in_turns"]


def time_in_turns(
    calls: dict[str, Callable[[], object]], repeats: int, device: str
) -> dict[str, list[float]]:
    """Return the seconds of each call in each of ``repeats`` rounds, after one round to warm up."""
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


def ratio(seconds: dict[str, list[float]], numerator: str, denominator: str) -> dict[str, float]:
    """Return the median of the ratios within a round, with the lowest and the highest."""
    pairs = zip(seconds[numerator], seconds[denominator], strict=True)
    ratios = [above / below for above, below in pairs]
    return {"median": median(ratios), "lowest": min(ratios), "highest": max(ratios)}
