"""How many operations does each stage take at a data set's size, and what share of a GPU must it reach to be in time?

    python -m benchmarks.speed.budget cifar10 reports/benchmarks/budget.json      seconds; nothing is trained

Counted by torch on a few samples and scaled by the parameters: matrix products and convolutions, a multiply-add as two;
no decomposition of factors, no data loading, no launches. ``reached`` is for sets measured with these parameters.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from catwise.config import params
from catwise.core import losses
from catwise.core.losses import Batch
from catwise.data.catalogue import PUBLISHED
from catwise.experiments.cases import within_budget
from catwise.experiments.table1 import ELITE
from catwise.influence.factors import fit_factors
from catwise.influence.vectors import directional_derivatives, group_gradients
from catwise.pipeline.results import names, record
from catwise.reweighting.genetic_search import most_evaluations
from catwise.training import models

PEAK = 989e12  # FLOP/s of an H200 in bfloat16, dense, by its data sheet
WANTED = {
    "train": 60,
    "curvature": 60,
    "influence": 60,
    "removal": 1800,
    "reweight": 720,
}  # seconds
PARTS = {
    "curvature": "checkpoint",
    "influence": "checkpoint",
    "reweight": "search",
}  # of which they are wanted


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "dataset", choices=[name for name, spec in PUBLISHED.items() if spec.shape] + names()
    )
    parser.add_argument("out", nargs="?", type=Path, default=Path("reports/benchmarks/budget.json"))
    arguments = parser.parse_args()
    chosen = params.load().datasets[arguments.dataset]
    found: dict[str, Any] = {"dataset": arguments.dataset, "peak": PEAK, "stages": budget(chosen)}
    if arguments.dataset in names():
        found |= {
            "reached": reached(arguments.dataset, found["stages"]),
            "products here": products(),
        }
    arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def budget(chosen: Any) -> dict[str, dict[str, Any]]:
    """By stage: operations in TFLOP, in how many parts, and the share of the peak that the wanted time asks for."""
    spec, sizes = PUBLISHED[chosen.prepare.source], chosen.prepare
    n = sum(spec.counts["train"]) if sizes.train == "all" else sizes.train
    m_a, m_b = sizes.validation_a, sizes.validation_b
    test = sum(spec.counts["test"]) if sizes.test == "all" else sizes.test
    one, k, epochs = (
        operations(chosen, spec.shape, len(spec.classes)),
        len(spec.classes),
        chosen.train.epochs,
    )
    checkpoints = 1 + len(chosen.curvature.earlier)
    drawn = n if chosen.curvature.samples == "all" else chosen.curvature.samples
    training = epochs * n * one["step"]
    removals = chosen.removal.seeds * (1 + 2 * k + chosen.removal.controls)
    again, halves = chosen.reweight, chosen.fidelity.halves * chosen.fidelity.seeds
    cost = {
        "train": (training + epochs * (m_a + m_b + test) * one["forward"], 1),
        "curvature": (checkpoints * drawn * one["factors"], checkpoints),
        "influence": (checkpoints * (n * one["vectors"] + m_a * one["step"]), checkpoints),
        "reweight": (
            extra_epochs(again) * (n * one["step"] + (m_b + test) * one["forward"]),
            searches(again),
        ),
        "fidelity": (
            halves * training / 2
            + len(chosen.fidelity.kinds) * n * (one["factors"] + one["vectors"]),
            1,
        ),
        "removal": (removals * (training + test * one["forward"]), 1),
    }
    return {stage: wanted(stage, flop, parts) for stage, (flop, parts) in cost.items()}


def wanted(stage: str, flop: float, parts: int) -> dict[str, Any]:
    found: dict[str, Any] = {"TFLOP": flop / 1e12, "parts": parts}
    if stage in WANTED and parts:
        found |= {"wanted seconds": WANTED[stage], "per": PARTS.get(stage, "all")}
        found["share of peak"] = flop / parts / WANTED[stage] / PEAK
    return found


def searches(chosen: Any) -> int:
    """In all: of each case those of its methods, the one as printed, and the one over seeds."""
    if not chosen:
        return 0
    return sum(len(within_budget(chosen, case.budget).searches) + 2 for case in chosen.cases)


def extra_epochs(chosen: Any) -> int:
    """At most: a search's candidates may mean the same weights, which are trained once."""
    return (
        sum(case_epochs(within_budget(chosen, case.budget)) for case in chosen.cases)
        if chosen
        else 0
    )


def case_epochs(chosen: Any) -> int:
    """Count the epochs of one case: its searches, and each of its weights under every seed."""
    search = most_evaluations(chosen.generations, chosen.population)
    weights = (
        4
        + len(chosen.searches) * (ELITE + chosen.tradeoff)
        + len(chosen.directions) * len(chosen.sizes)
    )
    return (len(chosen.searches) + 2) * search + chosen.seeds * weights


def operations(chosen: Any, shape: tuple[int, ...], k: int) -> dict[str, float]:
    """FLOP for each sample: forward; a step of training; the factors; the vectors of all bins."""
    torch.set_num_threads(1)
    x, y = torch.randn(48, *shape), torch.arange(48) % k
    model = models.build("resnet9", x, k, width=chosen.train.width, seed=0).eval()
    fitted = fit_factors(model, (x, y), kind="ekfac", damping=0.1, seed=0, batch_size=24)
    count = k * chosen.influence.bins

    def vectors(part: Batch) -> None:
        v = {name: torch.randn(count, *basis.shape) for name, basis in shapes.items()}
        directional_derivatives(model, part, v, batch_size=24)

    shapes = group_gradients(model, (x, y), y * 0, 1, batch_size=24, layers=fitted.names)
    shapes = {name: q_koi[0] for name, q_koi in shapes.items()}
    calls: dict[str, Callable[[Batch], Any]] = {
        "forward": lambda part: model(part[0]),
        "step": lambda part: losses.per_sample_loss(model, part).sum().backward(),
        "factors": lambda part: fit_factors(
            model, part, kind="ekfac", damping=0.1, seed=0, batch_size=24
        ),
        "vectors": vectors,
    }
    return {
        name: (counted(call, (x, y)) - counted(call, (x[:24], y[:24]))) / 24
        for name, call in calls.items()
    }


def counted(call: Callable[[Batch], Any], part: Batch) -> int:
    with FlopCounterMode(display=False) as counter:
        call(part)
    return counter.get_total_flops()


def reached(dataset: str, stages: dict[str, dict[str, Any]]) -> dict[str, float]:
    """TFLOP/s of each stage where the set was measured."""
    seconds: dict[str, float] = {}
    for run in record(dataset)["runs"]:
        for stage, spent in run["seconds"].items():
            seconds[stage] = seconds.get(stage, 0) + spent
    return {
        stage: found["TFLOP"] / seconds[stage]
        for stage, found in stages.items()
        if seconds.get(stage)
    }


def products(size: int = 2048, repeats: int = 9) -> float:
    """TFLOP/s of the fastest of some large matrix products in float32 on one core of this machine."""
    a = torch.randn(size, size)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times) / 1e12


if __name__ == "__main__":
    main()
