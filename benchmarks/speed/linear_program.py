"""Seconds per candidate of the linear program: the fast path against scipy's linprog, on the same candidates.

    OMP_NUM_THREADS=1 python -m benchmarks.speed.linear_program [--quick] OUT.json

A genetic search meets the first candidate cold and all others warm, so the median over the warm ones counts. Times
are processor seconds of this process (wall seconds beside them): both sides use one thread, and neighbours on a
shared machine then spoil them least. ``same_objective`` is |fast - linprog| / |gain over w = 1|, the worst candidate.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from scipy.optimize import linprog

from catwise.pipeline.environment import processor
from catwise.reweighting.candidates import beta_floors, printed_floors
from catwise.reweighting.linear_program import Program

LARGEST_FOR_LINPROG = 10_000_000  # entries of P; beyond, linprog takes minutes for each candidate


def vectors(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    """Each sample helps its own class and, less and with either sign, the others; tails heavy, column sums near 0."""
    size_n = np.exp(rng.normal(size=n))  # a few samples carry much of the influence
    p_nk = 0.3 * size_n[:, None] * rng.standard_t(2.5, size=(n, k))
    p_nk[np.arange(n), rng.integers(0, k, n)] += size_n * np.abs(rng.standard_t(2.5, size=n))
    return p_nk - 0.999 * p_nk.mean(axis=0)


def by_linprog(p_nk: np.ndarray, targets: list[int], floors_k: np.ndarray) -> float:
    """The objective of the program as a user of scipy would write it, rows and objective divided by their size."""
    n, size_k = len(p_nk), np.abs(p_nk).mean(axis=0)
    c_n = p_nk[:, targets].sum(axis=1)
    answer = linprog(
        -c_n / np.abs(c_n).mean(),
        A_ub=-(p_nk / size_k).T,
        b_ub=-floors_k / size_k,
        A_eq=np.ones((1, n)),
        b_eq=[n],
        bounds=(0, 2),
        method="highs",
    )
    return -answer.fun * np.abs(c_n).mean() if answer.status == 0 else float("nan")


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    value = call()
    return value, time.process_time() - cpu, time.perf_counter() - wall


def measure(n: int, k: int, candidates: int, compared: int) -> dict:
    rng = np.random.default_rng(n + k)
    p_nk, targets = vectors(rng, n, k), [0] if k == 2 else [0, 1]
    program, setup, _ = timed(lambda: Program(p_nk, targets))
    floors = [beta_floors(p_nk, rng.uniform(-0.02, 0.05, k)) for _ in range(candidates)]
    printed = [printed_floors(p_nk, rng.uniform(0, 1, k)) for _ in range(candidates)]
    fast = [timed(partial(program.solve, b)) for b in floors]
    as_printed = [timed(partial(program.solve, b)) for b in printed]
    quadratic = [timed(partial(program.quadratic, b, 0.5)) for b in floors[:5]]
    too_much, cpu_too_much, _ = timed(lambda: program.solve(beta_floors(p_nk, np.full(k, -0.9))))
    row = {
        "n": n,
        "k": k,
        "candidates": candidates,
        "setup_s": setup,
        "cold_s": fast[0][1],
        "warm_s": median(fast[1:], 1),
        "warm_wall_s": median(fast[1:], 2),
        "printed_s": median(as_printed[1:], 1),
        "quadratic_s": median(quadratic[1:], 1),
        "infeasible_s": cpu_too_much,
        "infeasible_outcome": too_much.outcome,
        "outcomes": sorted({answer.outcome for answer, _, _ in fast + as_printed + quadratic}),
        "worst_gap": max(abs(answer.gap) for answer, _, _ in fast + as_printed + quadratic),
        "fallbacks": program.fallbacks,
        "floors_that_bind": float(np.median([(answer.duals_k > 0).sum() for answer, _, _ in fast])),
        "linprog_s": None,
        "linprog_skipped": None,
    }
    if n * k > LARGEST_FOR_LINPROG:
        return row | {
            "linprog_skipped": f"n K = {n * k} is more than {LARGEST_FOR_LINPROG}: minutes for each candidate"
        }
    # Warm candidates only, so that the ratio is of the same programs.
    reference = [timed(partial(by_linprog, p_nk, targets, b)) for b in floors[1 : 1 + compared]]
    pairs = list(zip(fast[1:], reference, strict=False))
    return row | {
        "compared": compared,
        "linprog_s": median(reference, 1),
        "linprog_wall_s": median(reference, 2),
        "ratio": float(np.median([slow[1] / quick[1] for quick, slow in pairs])),
        "ratio_wall": float(np.median([slow[2] / quick[2] for quick, slow in pairs])),
        "same_objective": max(
            abs(quick[0].objective - slow[0]) / (quick[0].objective - p_nk[:, targets].sum())
            for quick, slow in pairs
        ),
    }


def median(runs: list, column: int) -> float:
    return float(np.median([run[column] for run in runs]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="two sizes, for a check that this runs"
    )
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    sizes = [(n, k) for n in (1_000, 10_000, 50_000, 200_000) for k in (2, 10, 100)]
    rows = []
    for n, k in [(1_000, 2), (10_000, 10)] if options.quick else sizes:
        rows.append(
            measure(
                n,
                k,
                candidates=11,
                compared=5 if n * k <= 500_000 else 2 if n * k <= 2_000_000 else 1,
            )
        )
        row = rows[-1]
        slow = (
            f"{row['linprog_s']:9.4f} s {row['ratio']:6.1f} x" if row["linprog_s"] else "  skipped"
        )
        print(f"n {n:7d}  K {k:4d}  warm {row['warm_s']:.4f} s  linprog {slow}", file=sys.stderr)
    about = {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "unset"),
        "load_at_end": os.getloadavg()[0],
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
