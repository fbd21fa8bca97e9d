"""Time the linear programs: ours beside scipy's linprog, and the headroom with its whole check.

    OMP_NUM_THREADS=1 python -m benchmarks.speed.linear_program
    OMP_NUM_THREADS=1 python -m benchmarks.speed.linear_program --quick /tmp/linear_program.json

A genetic search meets the first candidate cold and all others warm, so the median over the warm
ones counts. Times are processor seconds of this process, with wall seconds beside them: both
programs use one thread, and what else the machine does spoils processor seconds least.
``same_objective`` is |ours - linprog| / |gain over w = 1| of the worst candidate. The vectors are
synthetic; those of ``headrooms`` have the tails of real ones too, or are the real ones that come
with the repository. Its ``check_s`` is for all that the ceiling stage does at a checkpoint: four
figures with intervals from 8 bins, and a null of 40 draws. The result is written to
reports/benchmarks/linear_program.json, if not told otherwise.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy
from scipy.optimize import linprog

from benchmarks import command
from benchmarks.machine import machine
from catwise.ceiling.check import check_ceiling
from catwise.ceiling.crossfit import permutation_null
from catwise.ceiling.headroom import headroom
from catwise.pipeline.files import read_npz
from catwise.reweighting.candidates import beta_floors, printed_floors
from catwise.reweighting.linear_program import Program

BINS, PERMUTATIONS = 8, 40
LARGEST_TO_CHECK = 10_000  # samples; the check solves some 400 programs
LARGEST_FOR_LINPROG = 10_000_000  # entries of P; beyond, linprog takes minutes a candidate


def vectors(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    """Draw influence vectors with heavy tails and column sums near 0.

    Each sample helps its own class and, less and with either sign, the others.
    """
    size_n = np.exp(rng.normal(size=n))  # a few samples carry much of the influence
    p_nk = 0.3 * size_n[:, None] * rng.standard_t(2.5, size=(n, k))
    p_nk[np.arange(n), rng.integers(0, k, n)] += size_n * np.abs(rng.standard_t(2.5, size=n))
    return p_nk - 0.999 * p_nk.mean(axis=0)


def by_linprog(p_nk: np.ndarray, targets: list[int], floors_k: np.ndarray) -> float:
    """Return the optimum of the program as a user of scipy would write it.

    Rows and objective are divided by their size; without an optimum the answer is NaN.
    """
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


def heavy(rng: np.random.Generator, n: int, k: int) -> np.ndarray:
    """Draw vectors with the tails of real ones: a lognormal length times a random direction.

    Half of the mass is in 1 % of the samples, and most have next to no influence.
    """
    return np.exp(2.4 * rng.normal(size=(n, 1))) * rng.normal(size=(n, k))


def headrooms(quick: bool) -> list[dict[str, Any]]:
    """Time the headroom of synthetic, heavy and real vectors; of some the whole check too."""
    rng, n = np.random.default_rng(0), 2_000 if quick else 45_000
    cases = {"synthetic": vectors(rng, n, 10), "heavy": heavy(rng, n, 10)}
    for path in sorted(Path("reports", "measured").glob("*/influence/vectors.npz")):
        cases[path.parts[-3]] = read_npz(path)["P"].astype(np.float64)
    rows = []
    for name, p_nk in cases.items():
        runs = [timed(partial(headroom, p_nk)) for _ in range(3)]
        row = {"vectors": name, "n": len(p_nk), "k": p_nk.shape[1], "gap": runs[0].value.gap}
        row |= {"headroom_s": median([run.cpu for run in runs]), "check_s": None}
        if len(p_nk) <= LARGEST_TO_CHECK:
            noise_nkb = rng.normal(size=(*p_nk.shape, BINS)) * p_nk.std(axis=0)[:, None]
            p_nkb = p_nk[:, :, None] / BINS + 0.1 * noise_nkb
            row["check_s"] = timed(partial(check, p_nkb, rng)).cpu
        rows.append(row)
    return rows


def check(p_nkb: np.ndarray, rng: np.random.Generator) -> None:
    """Do what the ceiling stage does at a checkpoint."""
    check_ceiling(p_nkb)
    permutation_null(p_nkb, PERMUTATIONS, rng)


class Timed(NamedTuple):
    """Hold what a call returned, with its processor seconds and wall seconds."""

    value: Any
    cpu: float
    wall: float


def timed(call: Callable[[], Any]) -> Timed:
    """Make a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    value = call()
    return Timed(value, time.process_time() - cpu, time.perf_counter() - wall)


def measure(n: int, k: int, candidates: int, compared: int) -> dict[str, Any]:
    """Time our program on ``candidates``, and linprog on the first ``compared`` warm ones."""
    rng = np.random.default_rng(n + k)
    p_nk, targets = vectors(rng, n, k), [0] if k == 2 else [0, 1]
    setup = timed(lambda: Program(p_nk, targets))
    program = setup.value
    floors = [beta_floors(p_nk, rng.uniform(-0.02, 0.05, k)) for _ in range(candidates)]
    printed = [printed_floors(p_nk, rng.uniform(0, 1, k)) for _ in range(candidates)]
    ours = [timed(partial(program.solve, b)) for b in floors]
    as_printed = [timed(partial(program.solve, b)) for b in printed]
    quadratic = [timed(partial(program.quadratic, b, 0.5)) for b in floors[:5]]
    too_much = timed(lambda: program.solve(beta_floors(p_nk, np.full(k, -0.9))))
    answers = [run.value for run in ours + as_printed + quadratic]
    row = {
        "n": n,
        "k": k,
        "candidates": candidates,
        "setup_s": setup.cpu,
        "cold_s": ours[0].cpu,
        "warm_s": median([run.cpu for run in ours[1:]]),
        "warm_wall_s": median([run.wall for run in ours[1:]]),
        "printed_s": median([run.cpu for run in as_printed[1:]]),
        "quadratic_s": median([run.cpu for run in quadratic[1:]]),
        "infeasible_s": too_much.cpu,
        "infeasible_outcome": too_much.value.outcome,
        "outcomes": sorted({answer.outcome for answer in answers}),
        "worst_gap": max(abs(answer.gap) for answer in answers),
        "fallbacks": sum(answer.solver == "reference" for answer in answers),
        "floors_that_bind": median([(run.value.duals_k > 0).sum() for run in ours]),
        "linprog_s": None,
        "linprog_skipped": None,
    }
    if n * k > LARGEST_FOR_LINPROG:
        why = f"n K = {n * k} is more than {LARGEST_FOR_LINPROG}: minutes for each candidate"
        return row | {"linprog_skipped": why}
    # only warm candidates, so that the ratio is of the same programs
    theirs = [timed(partial(by_linprog, p_nk, targets, b)) for b in floors[1 : 1 + compared]]
    before = p_nk[:, targets].sum()  # the objective of w = 1
    return row | compare(ours[1 : 1 + compared], theirs, before)


def compare(ours: list[Timed], theirs: list[Timed], before: float) -> dict[str, Any]:
    """Compare the times and the optima of the same candidates."""
    pairs = list(zip(ours, theirs, strict=True))
    return {
        "compared": len(pairs),
        "linprog_s": median([run.cpu for run in theirs]),
        "linprog_wall_s": median([run.wall for run in theirs]),
        "ratio": median([slow.cpu / fast.cpu for fast, slow in pairs]),
        "ratio_wall": median([slow.wall / fast.wall for fast, slow in pairs]),
        "same_objective": max(
            abs(fast.value.objective - slow.value) / (fast.value.objective - before)
            for fast, slow in pairs
        ),
    }


def median(values: list[float]) -> float:
    """Return the median as a number that json can write."""
    return float(np.median(values))


def main() -> None:
    parser = command.parser(__doc__, "linear_program.json")
    parser.add_argument(
        "--quick", action="store_true", help="two sizes, for a check that this runs"
    )
    options = parser.parse_args()
    sizes = [(n, k) for n in (1_000, 10_000, 50_000, 200_000) for k in (2, 10, 100)]
    rows = []
    for n, k in [(1_000, 2), (10_000, 10)] if options.quick else sizes:
        compared = 5 if n * k <= 500_000 else 2 if n * k <= 2_000_000 else 1
        row = measure(n, k, candidates=11, compared=compared)
        rows.append(row)
        slow = "skipped"
        if row["linprog_s"]:
            slow = f"{row['linprog_s']:9.4f} s {row['ratio']:6.1f} x"
        print(f"n {n:7d}  K {k:4d}  warm {row['warm_s']:.4f} s  linprog {slow}", file=sys.stderr)
    solved = headrooms(options.quick)
    for row in solved:
        print(row, file=sys.stderr)
    about = {**machine("cpu"), "scipy": scipy.__version__}
    command.write(options.out, {"about": about, "rows": rows, "headrooms": solved})


if __name__ == "__main__":
    main()
