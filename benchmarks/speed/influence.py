"""Measure seconds and memory of influence vectors and factor fits, ours beside kronfluence's.

    python -m benchmarks.speed.influence                              half an hour on two cores
    python -m benchmarks.speed.influence --quick /tmp/influence.json  a twentieth of the size

Nothing else may run meanwhile. Each measurement is a process of its own, so that its peak of memory
is its own. What is compared is what a user calls:

    pairwise    kronfluence's scores of every query on every training sample, then summed by class
    aggregated  kronfluence's scores of the summed queries of a class, a call for each class
    ours        catwise.influence_vectors

The result is written to reports/benchmarks/influence.json, if not told otherwise.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks import command
from benchmarks.cases import CASES, Case, load
from benchmarks.machine import machine
from benchmarks.processes import held, reset_peak
from catwise.influence import kronfluence_reference, vectors
from catwise.influence.factors import fit_factors
from catwise.influence.layers import covered_layers, matrix_shape

__all__ = ["BATCH", "DRAWN", "QUICK", "compare", "measure"]

BATCH = 250
QUICK = 20  # how many times smaller
SCORES = ("pairwise", "aggregated", "ours")
FITS = ("kronfluence", "ours, all", "ours")
DRAWN = 4  # "ours" fits on one pair for so many training samples


def main() -> None:
    parser = command.parser(__doc__, "influence.json")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--only", choices=[*CASES, "growth"], help="renew this part of OUT and keep the others"
    )
    # a single measurement, in the process that is made for it
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(**json.loads(arguments.one))))
        return
    here = {"machine": machine(arguments.device), "quick": arguments.quick}
    result: dict[str, Any] = {**here, "cases": {}, "growth": {}}
    if arguments.only and arguments.out.exists():
        result = command.read(arguments.out)
        if {key: result[key] for key in here} != here:
            raise SystemExit(
                f"{arguments.out}: expected measurements of this machine and size; got others"
            )
    smaller = QUICK if arguments.quick else 1
    for name, case in CASES.items():
        if arguments.only in (None, name):
            small = replace(case, n=case.n // smaller, m=case.m // smaller, fit=case.fit // smaller)
            result["cases"][name] = compare(name, small, arguments.device)
            command.write(arguments.out, result)
    if arguments.only in (None, "growth"):
        result["growth"] = growth("resnet9 width 16", smaller, arguments.device)
        command.write(arguments.out, result)


def compare(name: str, case: Case, device: str) -> dict[str, Any]:
    """Measure every method on one case; ratios are to ours, in this run."""
    result: dict[str, Any] = {"n": case.n, "m": case.m, "fitted": case.fit, "k": 10}
    result["scores"] = {what: _apart(name, what, case.n, case.m, device) for what in SCORES}
    result["fits"] = {what: _apart(name, f"fit {what}", case.fit, 10, device) for what in FITS}
    for part in ("scores", "fits"):
        for measured in result[part].values():
            measured["seconds / ours"] = measured["seconds"] / result[part]["ours"]["seconds"]
    model, *_, result["images"] = load(CASES[name], 1, 1, "cpu")
    result["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    size = sum(np.prod(matrix_shape(layer)) for layer in covered_layers(model).values())
    result["query gradients, bytes"] = {
        "pairwise": int(4 * size * case.m),
        "ours": int(4 * size * 10),
    }
    return result


def growth(name: str, smaller: int, device: str) -> dict[str, Any]:
    """Measure our two passes over ranges of n, m and k, with the slope of log time on log size."""
    sizes = {"n": [500, 1000, 2000, 4000], "m": [500, 1000, 2000, 4000], "k": [2, 10, 50, 100]}
    result: dict[str, Any] = {}
    for axis, values in sizes.items():
        rows = []
        for value in values:
            size = {"n": 2000, "m": 500, "k": 10} | {axis: value}
            n, m = max(2, size["n"] // smaller), max(2, size["m"] // smaller)
            rows.append({axis: value, **_apart(name, "passes", n, m, device, k=size["k"])})
        slope = {
            part: float(np.polyfit(np.log(values), np.log([row[part] for row in rows]), 1)[0])
            for part in ("query seconds", "train seconds")
        }
        result[axis] = {"rows": rows, "slope": slope}
    return result


def _apart(name: str, what: str, n: int, m: int, device: str, k: int = 10) -> dict[str, Any]:
    """Run ``measure`` in a process of its own."""
    call = json.dumps({"name": name, "what": what, "n": n, "m": m, "device": device, "k": k})
    command = [sys.executable, "-m", "benchmarks.speed.influence", "--one", call]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}, {what}: {done.stderr.strip().splitlines()[-1]}")
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"{name:18} {what:18} n={n:<6} m={m:<5} k={k:<4} {result}", file=sys.stderr, flush=True)
    return result


def measure(name: str, what: str, n: int, m: int, device: str, k: int) -> dict[str, Any]:
    """Measure one method on ``n`` training and ``m`` query samples; ``k`` groups for the passes."""
    case = CASES[name]
    model, train, query, _ = load(case, n, m, device)
    groups = torch.arange(m, device=device) % k
    # the cost of the scores does not depend on how good their factors are
    few = tuple(part[:50] for part in train)
    options: dict[str, Any] = {"kind": "ekfac", "damping": 0.1, "seed": 0, "batch_size": BATCH}
    if what == "fit kronfluence":
        return _timed(
            lambda: kronfluence_reference.fit_kronfluence(
                model, train, damping=0.1, seed=0, batch_size=BATCH
            )
        )
    if what == "fit ours, all":
        return _timed(lambda: fit_factors(model, train, draw="balanced", **options))
    if what == "fit ours":
        return _timed(lambda: fit_factors(model, train, samples=max(1, n // DRAWN), **options))
    fitted = fit_factors(model, few, **options)
    if what == "ours":
        call = (model, fitted, train, query, query[-1], 10)
        return _timed(lambda: vectors.influence_vectors(*call, batch_size=BATCH))
    if what == "passes":
        first = _timed(lambda: vectors.group_gradients(model, query, groups, k, batch_size=BATCH))
        v = {
            name: torch.randn(k, *matrix_shape(layer), device=device)
            for name, layer in covered_layers(model).items()
        }
        second = _timed(lambda: vectors.directional_derivatives(model, train, v, batch_size=BATCH))
        return {"query seconds": first["seconds"], "train seconds": second["seconds"]}
    sizes = {"batch_size": BATCH, "query_batch_size": min(m, case.query_batch)}
    with kronfluence_reference.analysis(model) as analyzer:
        kronfluence_reference.fit_all(analyzer, few, 50)
        if what == "pairwise":
            return _timed(
                lambda: _summed(
                    kronfluence_reference.pairwise_scores(analyzer, train, query, **sizes),
                    query[-1],
                )
            )
        sizes["query_batch_size"] = BATCH
        return _timed(
            lambda: kronfluence_reference.aggregated_scores(analyzer, train, query, 10, **sizes)
        )


def _summed(pairwise_mn: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return torch.zeros(10, pairwise_mn.shape[1]).index_add_(0, labels.cpu(), pairwise_mn.cpu()).T


def _timed(call: Callable[[], Any]) -> dict[str, float]:
    """Return the seconds, and the peak of memory of the device or process above what was held."""
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        reset_peak()
        before = held("VmRSS")
    start = time.perf_counter()
    call()
    if cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    peak = torch.cuda.max_memory_allocated() if cuda else held("VmHWM")
    return {"seconds": seconds, "peak bytes": peak - before}


if __name__ == "__main__":
    main()
