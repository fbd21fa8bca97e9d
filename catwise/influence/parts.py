"""Divide a pass over samples among the processes of a pool, each with a copy of the model."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from catwise.core.progress import Progress
from catwise.core.spread import Workers
from catwise.influence.samples import Samples

__all__ = ["in_parts"]


def in_parts(
    workers: Workers | None,
    function: Callable[..., Any],
    items: Sequence[Any],
    model: nn.Module,
    samples: Samples,
    *others: Any,
    progress: Progress = iter,
) -> list[Any]:
    """Return ``function(part, model, samples, *others, progress=...)`` for each part of the items.

    The parts are consecutive. Without workers there is one, which this process works on; with them
    the model, the samples and the others are copied to each process, and no progress is shown.
    """
    if workers is None:
        return [function(items, model, samples, *others, progress=progress)]
    count = max(1, min(len(workers.devices), len(items)))
    ends = [len(items) * part // count for part in range(count + 1)]
    home = samples.labels.device
    calls = (
        (function, device, workers.threads, items[start:end], model, samples, others)
        for device, start, end in zip(workers.devices, ends[:-1], ends[1:], strict=False)
    )
    return [_moved(answer, home) for answer in workers.spread(_on_device, calls)]


def _on_device(
    function: Callable[..., Any],
    device: str,
    threads: int,
    part: Sequence[Any],
    model: nn.Module,
    samples: Samples,
    others: tuple[Any, ...],
) -> Any:
    """Work on a part, in a worker; the answer comes back on the CPU."""
    with _threads(threads):
        placed = Samples(
            samples.labels.to(device),
            lambda rows: _moved(samples.rows(_home(rows, samples)), device),
        )
        part, others = _moved(part, device), _moved(others, device)
        return _moved(function(part, _on(device, model), placed, *others, progress=iter), "cpu")


def _on(device: str, model: nn.Module) -> nn.Module:
    """Return the model, or a copy where it has to move: in this process it is the caller's own."""
    if next(model.parameters()).device == torch.device(device):
        return model
    return copy.deepcopy(model).to(device)


def _home(rows: Tensor | slice, samples: Samples) -> Tensor | slice:
    return rows.to(samples.labels.device) if isinstance(rows, Tensor) else rows


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _moved(value: Any, device: torch.device | str) -> Any:
    """Move the tensors of nested dictionaries, lists and tuples to a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: _moved(part, device) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_moved(part, device) for part in value)
    return value
