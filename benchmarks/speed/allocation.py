"""Ask what it saves to keep freed memory: processor seconds and peak, with and without (Linux).

    python -m benchmarks.speed.allocation                       minutes on one core

An epoch of training, the fit of the factors and the pass for P of a ResNet-9 run in processes of
their own, in turns, each once to warm up and once counted. Seconds are those of the processor, with
the share that the system took; so what else the machine does matters less. The result is written
to reports/benchmarks/allocation.json, if not told otherwise.
"""

import json
import os
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

from benchmarks import command
from benchmarks.cases import Case, load
from benchmarks.machine import machine
from benchmarks.processes import apart, held, reset_peak
from benchmarks.speed.timing import ratio
from catwise.core.allocation import keep_freed_memory
from catwise.influence.factors import fit_factors
from catwise.influence.vectors import influence_vectors
from catwise.training.epochs import Recipe, new_optimizer, train_epoch

__all__ = ["compare"]

CASES = {"resnet9 width 8": Case("resnet9", 8, 512, 256, 0, 0)}
RECIPE = Recipe(
    seed=0, epochs=1, batch_size=512, optimizer="sgd", learning_rate=0.1, weight_decay=0.001
)
MODES = {"given back": False, "kept": True}
REPEATS = 3


def main() -> None:
    parser = command.parser(__doc__, "allocation.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    os.environ.pop("CATWISE_MIRROR", None)  # whose images take longer to read than the work
    cases = {name: compare(case, REPEATS) for name, case in CASES.items()}
    result = {"machine": machine("cpu"), "cases": cases}
    command.write(arguments.out, result)
    print(json.dumps(result, indent=1))


def compare(case: Case, repeats: int) -> dict[str, dict[str, Any]]:
    """Return for each part of the work how many times less it costs, and the peaks in bytes."""
    rows = {}
    for part in ("training", "factors", "P"):
        turns: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
        for _ in range(repeats):
            for mode, keep in MODES.items():
                turns[mode].append(apart(_measure, case, part, keep))
        seconds = {mode: [one["seconds"] for one in turns[mode]] for mode in MODES}
        rows[part] = {
            "times less": ratio(seconds, *MODES),
            **{mode: _medians(measured) for mode, measured in turns.items()},
        }
    return rows


def _measure(case: Case, part: str, keep: bool) -> dict[str, float]:
    if keep and not keep_freed_memory():
        raise RuntimeError("allocation: expected glibc; got another allocator")
    call = _calls(case)[part]
    call()
    reset_peak()
    before = os.times()
    call()
    after = os.times()
    user, system = after.user - before.user, after.system - before.system
    return {"seconds": user + system, "system": system, "peak": held("VmHWM")}


def _calls(case: Case) -> dict[str, Callable[[], object]]:
    model, train, query, _ = load(case, case.n, case.m, "cpu")
    optimizer = new_optimizer(model, RECIPE)
    drawn = train[0][: case.n // 4], train[1][: case.n // 4]
    options: dict[str, Any] = {"damping": 0.1, "seed": 0, "batch_size": 256}
    calls: dict[str, Callable[[], object]] = {
        "training": lambda: train_epoch(model, optimizer, train, RECIPE, 1),
        "factors": lambda: fit_factors(model, train, kind="ekfac", **options),
    }
    fitted = fit_factors(model, drawn, kind="kfac", **options)
    return calls | {
        "P": lambda: influence_vectors(model, fitted, train, query, query[1], 10, batch_size=256)
    }


def _medians(measured: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(one[name] for one in measured) for name in measured[0]}


if __name__ == "__main__":
    main()
