"""Ask in one script all that only a GPU can answer: is CUDA right, and how fast is it?

    python -m benchmarks.speed.gpu gpu.json            under 8 minutes on one GPU
    python -m benchmarks.speed.gpu --quick gpu.json    the same steps, small; runs on a CPU too

The json is written again after each part, so that a run that is cut short keeps what it has.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import command
from benchmarks.cases import CASES, Case, load
from benchmarks.machine import machine
from benchmarks.speed.influence import BATCH, DRAWN, QUICK, compare
from benchmarks.speed.training import throughput
from benchmarks.speed.vmap_training import compare_vmap_with_loop
from catwise.core.fingerprint import fingerprint
from catwise.core.losses import Batch
from catwise.core.precision import Precision, precision
from catwise.core.statistics import spearman
from catwise.influence.factors import fit_factors
from catwise.influence.vectors import influence_vectors

__all__ = ["LARGE", "NARROW", "compare_devices", "compare_precisions", "paper_size"]

LARGE = Case("resnet9", 64, 50_000, 10_000, 50_000, 200)  # the paper's size
FULL, NARROW = "resnet9 width 64", "resnet9 width 16"


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    device, smaller = arguments.device, QUICK if arguments.quick else 1
    result: dict[str, Any] = {"machine": machine(device), "quick": arguments.quick}
    parts: dict[str, Callable[[], Any]] = {
        "cuda equals cpu": lambda: compare_devices(device),
        "precisions": lambda: compare_precisions(
            device, NARROW if arguments.quick else FULL, 4_000 // smaller
        ),
        "training": lambda: throughput(device, smaller),
        "several models at once": lambda: compare_vmap_with_loop(
            device, 2 if arguments.quick else 9
        ),
        "paper size": lambda: paper_size(
            device, replace(_smaller(LARGE, 500), width=16) if arguments.quick else LARGE
        ),
        "cases": lambda: {
            name: compare(name, _smaller(case, smaller), device) for name, case in CASES.items()
        },
    }
    for name, part in parts.items():
        start = time.perf_counter()
        result[name] = part()
        print(
            f"{name}: {time.perf_counter() - start:.0f} s  {json.dumps(result[name])[:300]}",
            flush=True,
        )
        command.write(arguments.out, result)


def _smaller(case: Case, by: int) -> Case:
    return replace(case, n=case.n // by, m=case.m // by, fit=case.fit // by)


def _vectors(
    model: torch.nn.Module, train: Batch, query: Batch, samples: int | None
) -> torch.Tensor:
    options: dict[str, Any] = {"kind": "ekfac", "damping": 0.1, "seed": 0, "batch_size": BATCH}
    fitted = fit_factors(model, train, samples=samples, **options)
    return influence_vectors(model, fitted, train, query, query[-1], 10, batch_size=BATCH)


def compare_devices(device: str) -> dict[str, float]:
    """Return the largest relative error of P on the device against the CPU, in float64.

    The algorithm is the same, the kernels are others.
    """
    model, train, query, _ = load(CASES[NARROW], 64, 64, "cpu")
    model = model.double()
    vectors = {}
    for kind in ("cpu", device):
        p_nk = _vectors(model.to(kind), _double(train, kind), _double(query, kind), samples=None)
        vectors[kind] = p_nk.cpu()
    error = (vectors[device] - vectors["cpu"]).abs().max() / vectors["cpu"].abs().max()
    return {"relative error in float64": float(error), "expected below": 1e-8}


def _double(batch: Batch, device: str) -> Batch:
    x, y = batch
    return x.double().to(device), y.to(device)


def compare_precisions(device: str, name: str, n: int) -> dict[str, Any]:
    """Time factors and vectors in each precision; give the error of P against float32."""
    model, train, query, images = load(CASES[name], n, max(50, n // 4), device)
    measured: dict[str, Any] = {"images": images, "n": n}
    vectors: dict[str, torch.Tensor] = {}
    kinds: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")
    for kind in kinds:
        with precision(kind, device):
            _vectors(model, tuple(part[:BATCH] for part in train), query, 50)  # warm-up
            _wait(device)
            start = time.perf_counter()
            p_nk = _vectors(model, train, query, max(1, n // DRAWN))
            _wait(device)
        measured[kind] = {"seconds": time.perf_counter() - start}
        vectors[kind] = p_nk.float().cpu()
        float32 = vectors["float32"]
        measured[kind]["relative error"] = float((vectors[kind] - float32).norm() / float32.norm())
        rho_k = spearman(vectors[kind].numpy(), float32.numpy())
        measured[kind]["spearman, worst class"] = float(rho_k.min())
    return measured


def paper_size(device: str, case: Case) -> dict[str, Any]:
    """Time factors, and vectors of 10 and 20 groups, at the size of ``case`` in tf32."""
    model, train, query, images = load(case, case.n, case.m, device)
    measured: dict[str, Any] = {
        "images": images,
        "n": case.n,
        "m": case.m,
        "weights": fingerprint(model)[:12],
    }
    options: dict[str, Any] = {"kind": "ekfac", "damping": 0.1, "seed": 0, "batch_size": BATCH}
    with precision("tf32", device):
        start = time.perf_counter()
        fitted = fit_factors(model, train, samples=max(1, case.n // 10), **options)
        _wait(device)
        measured["factors, seconds"] = time.perf_counter() - start
        for groups in (10, 20):
            start = time.perf_counter()
            halves = query[-1] + 10 * (torch.arange(case.m, device=device) // 10 % (groups // 10))
            influence_vectors(model, fitted, train, query, halves, groups, batch_size=BATCH)
            _wait(device)
            measured[f"vectors of {groups} groups, seconds"] = time.perf_counter() - start
    return measured


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
