"""Ask how often the check of the performance ceiling is right, and how often the paper's rule.

    python -m benchmarks.science.hit_rates                      15 minutes on one core
    python -m benchmarks.science.hit_rates --repetitions 2 /tmp/hit_rates.json

The cases are logistic regression with the exact Hessian on the paper's synthetic data, and
constructed vectors P = G Q. There Q lies on a hyperplane y . Q = 0 with y > 0, which is a ceiling
(t* = 0), or is raised jointly until t* has a known size, which is room; and Q of every bin has
noise. ``noise`` is the deviation that this leaves in the entries of Q over all bins, which are
about 1 themselves. Each case is repeated with other seeds. The result is written to
reports/benchmarks/hit_rates.json, if not told otherwise.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.stats import binomtest

from catwise.ceiling.crossfit import crossfitted_headroom
from catwise.ceiling.headroom import headroom
from catwise.ceiling.pca_rule import first_component_ratio
from catwise.core.progress import progress
from catwise.data import synthetic
from catwise.influence import curvature
from catwise.influence.vectors import influence_vectors, validation_bins
from catwise.training import models
from catwise.training.convex import fit_convex

BINS = 8
RULE = 0.2  # the paper: a larger ratio of the first component means room


@dataclass(frozen=True)
class Case:
    """Hold the truth, ``room``, and ``make(seed)``, which gives P as (n, k, b)."""

    name: str
    room: bool
    make: Callable[[int], np.ndarray]


def logistic(source: str, size: int, flips: list[int], l2: float) -> Callable[[int], np.ndarray]:
    """Return what makes the vectors of a logistic regression.

    There are ``size`` training and as many validation samples of each class.
    """

    def make(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        counts = {"train": size, "validation_a": size, "validation_b": 1, "test": 1}
        data = getattr(synthetic, source)(rng, counts, flips)
        train = torch.from_numpy(data.x["train"]), torch.from_numpy(data.y["train"])
        query = torch.from_numpy(data.x["validation_a"]), torch.from_numpy(data.y["validation_a"])
        model = models.build("logistic", train[0], 2)
        fit_convex(model, train, l2)
        groups = torch.from_numpy(validation_bins(data.y["validation_a"], BINS, rng))
        hessian = curvature.exact_hessian(model, train, l2)
        p_nkb = influence_vectors(
            model, hessian, train, query, groups, 2 * BINS, batch_size=2 * size
        )
        return p_nkb.numpy().reshape(-1, 2, BINS)

    return make


def constructed(
    k: int, noise: float, size: float, n: int = 300, p: int = 100
) -> Callable[[int], np.ndarray]:
    """Return what makes vectors of k classes whose true headroom is ``size``.

    Their tails over the training samples are heavy.
    """

    def make(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        g_np = rng.standard_t(4, size=(n, p))
        y_k = rng.uniform(0.2, 1, k)
        q_pk = rng.normal(size=(p, k))
        q_pk -= np.outer(q_pk @ y_k, y_k) / (y_k @ y_k)
        joint_p = rng.normal(size=(p, 1))
        if size:
            q_pk = q_pk + joint_p * brentq(
                lambda c: headroom(g_np @ (q_pk + c * joint_p)).value - size, 0, 20, xtol=1e-4
            )
        noise_pkb = noise * rng.normal(size=(p, k, BINS)) * BINS**0.5
        return np.einsum("np,pkb->nkb", g_np, (q_pk[:, :, None] + noise_pkb) / BINS)

    return make


CASES = [
    Case("nonlinear", False, logistic("nonlinear", 350, [0, 0], 0.0)),
    Case("linear, 70 flips", True, logistic("linear", 300, [50, 20], 0.001)),
    *(
        Case(f"ceiling, k = {k}, noise {noise}", False, constructed(k, noise, 0.0))
        for k in (2, 4, 10)
        for noise in (0.1, 0.5)
    ),
    *(
        Case(f"room {size}, k = {k}, noise {noise}", True, constructed(k, noise, size))
        for k in (2, 4, 10)
        for noise, size in ((0.1, 0.1), (0.1, 0.3), (0.5, 0.5))
    ),
]


def score(case: Case, repetitions: int) -> dict[str, Any]:
    """Return the hit rates of the verdict and of the paper's rule, with 95 % intervals."""
    rows = []
    for seed in progress(range(repetitions), case.name):
        p_nkb = case.make(seed)
        total_nk = p_nkb.sum(axis=2)
        crossfitted = crossfitted_headroom(p_nkb)
        rows.append(
            {
                "verdict": crossfitted.low > 0,
                "paper": first_component_ratio(total_nk) > RULE,
                "crossfitted": crossfitted.value,
                "headroom": headroom(total_nk).value,
            }
        )
    means = {
        name: float(np.mean([row[name] for row in rows])) for name in ("crossfitted", "headroom")
    }
    return {"room": case.room, "mean": means} | {
        name: rate(sum(row[name] == case.room for row in rows), repetitions)
        for name in ("verdict", "paper")
    }


def rate(hits: int, of: int) -> dict[str, float]:
    """Return the counts with the interval of Clopper and Pearson of their share."""
    interval = binomtest(hits, of).proportion_ci()
    return {"hits": hits, "of": of, "low": float(interval.low), "high": float(interval.high)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "out", nargs="?", type=Path, default=Path("reports/benchmarks/hit_rates.json")
    )
    parser.add_argument("--repetitions", type=int, default=100)
    arguments = parser.parse_args()
    cases = {}
    for case in CASES:
        cases[case.name] = score(case, arguments.repetitions)
        print(case.name, cases[case.name], flush=True)
        arguments.out.write_text(
            json.dumps({"rule": RULE, "bins": BINS, "cases": cases}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
