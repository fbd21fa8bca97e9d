"""Time a training epoch beside a bare forward and backward pass on the same tensors.

    python -m benchmarks.speed.training                              about 2 minutes on two cores
    python -m benchmarks.speed.training --quick /tmp/training.json   fewer samples

An epoch does what a bare pass does not: it gathers its batches, crops and flips, weighs, and steps.
Both see each batch once, in turns, and the medians are compared. The data are random, as their
values do not change the work. The result is written to reports/benchmarks/training.json, if not
told otherwise.
"""

from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import command
from benchmarks.machine import machine
from benchmarks.speed.timing import ratio, time_in_turns
from benchmarks.speed.vmap_training import compare_vmap_with_loop
from catwise.core.losses import Batch
from catwise.core.precision import precision
from catwise.training import bert, models
from catwise.training.epochs import Recipe, new_optimizer, train_epoch

__all__ = ["throughput"]

REPEATS = 7
SGD = Recipe(
    seed=0, epochs=1, batch_size=50, optimizer="sgd", learning_rate=0.1, weight_decay=0.001
)
NARROW = replace(SGD, channels_last=True)
FULL = replace(NARROW, batch_size=512, augment=True)
CPU = {  # kind of model, width, recipe, number of samples
    "digits cnn": ("cnn", 16, SGD, 2_000),
    "resnet9 width 8": ("resnet9", 8, NARROW, 1_000),
    "resnet9 width 8, augmented": ("resnet9", 8, replace(NARROW, augment=True), 1_000),
    "resnet9 width 8, Table 2": ("resnet9", 8, replace(FULL, precision="auto"), 1_024),
    "small bert": (
        "bert",
        64,
        replace(SGD, optimizer="adamw", learning_rate=0.001, batch_size=32),
        1_600,
    ),
}
CUDA = {
    "resnet9 width 64, float32": ("resnet9", 64, replace(FULL, channels_last=False), 10_240),
    "resnet9 width 64, tf32": ("resnet9", 64, replace(FULL, precision="tf32"), 20_480),
    "resnet9 width 64, bfloat16": ("resnet9", 64, replace(FULL, precision="bfloat16"), 20_480),
    "resnet9 width 64, bfloat16, compiled": (
        "resnet9",
        64,
        replace(FULL, precision="bfloat16", compile=True),
        20_480,
    ),
    "small bert": (
        "bert",
        64,
        replace(SGD, optimizer="adamw", learning_rate=0.001, batch_size=32),
        3_200,
    ),
}


def main() -> None:
    parser = command.parser(__doc__, "training.json")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    device, smaller = arguments.device, 10 if arguments.quick else 1
    result = {
        "epoch": throughput(device, smaller),
        "together": compare_vmap_with_loop(device),
    }  # torch has one thread from here on
    command.write(arguments.out, {"machine": machine(device), "quick": arguments.quick, **result})


def throughput(device: str, smaller: int = 1, repeats: int = REPEATS) -> dict[str, Any]:
    """Return, for each case, the samples per second of an epoch and its share of the bare rate.

    ``smaller`` is by how much the number of samples is divided.
    """
    torch.set_num_threads(1)
    results = {}
    for name, (kind, width, recipe, n) in (CUDA if device == "cuda" else CPU).items():
        model, train = _case(kind, width, max(2 * recipe.batch_size, n // smaller), device)
        calls = _calls(model, train, recipe)
        seconds = time_in_turns(calls, repeats, device)
        seen = len(train[-1]) // recipe.batch_size * recipe.batch_size
        results[name] = {
            "samples per second": seen / median(seconds["epoch"]),
            "of the bare rate": ratio(seconds, "bare", "epoch"),
        }
        print(f"{name}: {results[name]}", flush=True)
    return results


def _calls(model: nn.Module, train: Batch, recipe: Recipe) -> dict[str, Callable[[], object]]:
    optimizer, batches = new_optimizer(model, recipe), _batches(train, recipe)
    return {
        "epoch": lambda: train_epoch(model, optimizer, train, recipe, 1),
        "bare": lambda: _bare(model, batches, recipe),
    }


def _case(kind: str, width: int, n: int, device: str) -> tuple[nn.Module, Batch]:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 10
    if kind == "bert":
        ids = torch.randint(5, 4000, (n, 64), generator=generator, dtype=torch.int32)
        lengths = torch.randint(10, 40, (n, 1), generator=generator)
        mask = (torch.arange(64) < lengths).int()
        model: nn.Module = bert.small(4000, 64, 10, width, 2)
        return model.to(device), (ids.to(device), mask.to(device), y.to(device))
    shape = (1, 8, 8) if kind == "cnn" else (3, 32, 32)
    x = torch.randn(n, *shape, generator=generator)
    return models.build(kind, x, 10, width=width).to(device), (x.to(device), y.to(device))


def _batches(train: Batch, recipe: Recipe) -> list[Batch]:
    """Return the full batches in their order, each laid out in memory as the model takes it."""
    full = len(train[-1]) // recipe.batch_size * recipe.batch_size
    batches = zip(*(part[:full].split(recipe.batch_size) for part in train), strict=True)
    if not recipe.channels_last:
        return list(batches)
    return [(x.contiguous(memory_format=torch.channels_last), *others) for x, *others in batches]


def _bare(model: nn.Module, batches: list[Batch], recipe: Recipe) -> None:
    """Pass each batch forward and backward, and do nothing else."""
    model.train()
    called: nn.Module = torch.compile(model) if recipe.compile else model  # type: ignore[assignment]
    for *inputs, y in batches:
        with precision(recipe.precision, y.device.type):
            loss = F.cross_entropy(called(*inputs), y)
        model.zero_grad(set_to_none=True)
        loss.backward()


if __name__ == "__main__":
    main()
