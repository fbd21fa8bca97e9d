"""Count the operations of each stage, and the share of a GPU that it must reach to be in time.

    python -m benchmarks.speed.budget cifar10     seconds; nothing is trained

torch counts matrix products and convolutions on a few samples, a multiply-add as two; they are
scaled by the parameters. The decomposition of factors, the loading of data and the launches are not
counted. ``reached`` is there for data sets that were measured with these parameters. The result is
written to reports/benchmarks/budget.json, if not told otherwise.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import command
from catwise.config import params
from catwise.core import losses
from catwise.core.losses import Batch
from catwise.data.catalogue import PUBLISHED
from catwise.experiments.cases import within_budget
from catwise.experiments.plan import extra_epochs, whole_trainings
from catwise.influence.factors import fit_factors
from catwise.influence.vectors import directional_derivatives, group_gradients
from catwise.pipeline.results import names, record
from catwise.training import models

__all__ = ["budget", "counted"]

PEAK = 989e12  # FLOP/s of an H200 in bfloat16, dense, by its data sheet
WANTED = {"train": 60, "curvature": 60, "influence": 60, "removal": 1800, "reweight": 720}  # s
PARTS = {"curvature": "checkpoint", "influence": "checkpoint", "reweight": "search"}  # each so long


def main() -> None:
    parser = command.parser(__doc__)
    carried = names()
    pictures = [name for name, data in PUBLISHED.items() if data.shape]
    parser.add_argument("dataset", choices=pictures + carried)
    command.add_out(parser, "budget.json")
    arguments = parser.parse_args()
    section = params.load().datasets[arguments.dataset]
    result: dict[str, Any] = {
        "dataset": arguments.dataset,
        "peak": PEAK,
        "stages": budget(section),
    }
    if arguments.dataset in carried:
        result["reached"] = reached(arguments.dataset, result["stages"])
        result["products here"] = products()
    command.write(arguments.out, result)
    print(json.dumps(result, indent=1))


def budget(section: Any) -> dict[str, dict[str, Any]]:
    """Return the operations of each stage in TFLOP, and the share of the peak that they ask for."""
    data, sizes = PUBLISHED[section.prepare.source], section.prepare
    n = sum(data.counts["train"]) if sizes.train == "all" else sizes.train
    test = sum(data.counts["test"]) if sizes.test == "all" else sizes.test
    m_a, m_b, k, epochs = (
        sizes.validation_a,
        sizes.validation_b,
        len(data.classes),
        section.train.epochs,
    )
    one = operations(section, data.shape, k)
    checkpoints = 1 + len(section.curvature.earlier)
    drawn = n if section.curvature.samples == "all" else section.curvature.samples
    training = epochs * n * one["step"]
    trainings = section.removal.seeds * (1 + 2 * k + section.removal.controls)
    epoch = n * one["step"] + (m_b + test) * one["forward"]
    cost = {
        "train": training + epochs * (m_a + m_b + test) * one["forward"],
        "curvature": checkpoints * drawn * one["factors"],
        "influence": checkpoints * (n * one["vectors"] + m_a * one["step"]),
        "reweight": extra_epochs(section.reweight) * epoch,
        "removal": trainings * (training + test * one["forward"]),
    }
    if section.subsets:
        cost["subsets"] = section.subsets.seeds * whole_trainings(section.subsets) * training
    if section.fidelity:
        cost["fidelity"] = len(section.fidelity.kinds) * n * (one["factors"] + one["vectors"])
    parts = {
        "curvature": checkpoints,
        "influence": checkpoints,
        "reweight": searches(section.reweight),
    }
    return {stage: wanted(stage, flop, parts.get(stage, 1)) for stage, flop in cost.items()}


def wanted(stage: str, flop: float, parts: int) -> dict[str, Any]:
    """Return what a stage costs, and the share of the peak that its wanted time asks for."""
    result: dict[str, Any] = {"TFLOP": flop / 1e12, "parts": parts}
    if stage in WANTED and parts:
        result |= {"wanted seconds": WANTED[stage], "per": PARTS.get(stage, "all")}
        result["share of peak"] = flop / parts / WANTED[stage] / PEAK
    return result


def searches(section: Any) -> int:
    """Count the searches: in each case its methods, the one as printed, and the one over seeds."""
    if not section:
        return 0
    counts = [len(within_budget(section, case.budget).searches) for case in section.cases]
    return sum(count + 2 for count in counts if count)


def operations(section: Any, shape: tuple[int, ...], k: int) -> dict[str, float]:
    """Return the FLOP for each sample of a pass, a step of training, factors, and all bins."""
    torch.set_num_threads(1)
    x, y = torch.randn(48, *shape), torch.arange(48) % k
    model = models.build("resnet9", x, k, width=section.train.width, seed=0).eval()
    fitted = fit_factors(model, (x, y), kind="ekfac", damping=0.1, seed=0, batch_size=24)
    count = k * section.influence.bins

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
    """Return the operations of a call."""
    with FlopCounterMode(display=False) as counter:
        call(part)
    return counter.get_total_flops()


def reached(dataset: str, stages: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the TFLOP/s of each stage where the data set was measured."""
    seconds: dict[str, float] = {}
    for run in record(dataset)["runs"]:
        for stage, spent in run["seconds"].items():
            seconds[stage] = seconds.get(stage, 0) + spent
    return {
        stage: cost["TFLOP"] / seconds[stage]
        for stage, cost in stages.items()
        if seconds.get(stage)
    }


def products(size: int = 2048, repeats: int = 9) -> float:
    """Return the TFLOP/s of the fastest of several products in float32 on one core."""
    a = torch.randn(size, size)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times) / 1e12


if __name__ == "__main__":
    main()
