"""Ask what bfloat16 changes: speed and accuracy of a ResNet-9, and its influence vectors.

    CATWISE_MIRROR=... python -m benchmarks.science.number_format      minutes

At each width the same training is run in float32 and in bfloat16, and in float32 with another seed,
whose difference is the unit. The factors and P are taken at the last checkpoint of the first, in
both formats. A processor that only imitates bfloat16 takes longer, and gives the same answer. The
result is written to reports/benchmarks/number_format.json, if not told otherwise.
"""

import json
import time
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import command
from benchmarks.cases import Case, load
from benchmarks.machine import machine
from catwise.core.losses import Batch
from catwise.core.precision import Precision, has_bfloat16, precision
from catwise.core.statistics import spearman
from catwise.influence.factors import fit_factors
from catwise.influence.vectors import influence_vectors
from catwise.training import epochs, evaluate, models

__all__ = ["compare"]

CASE = Case("resnet9", 8, 3_000, 2_000, 0, 0)
WIDTHS = (8, 16)
RANKED = 1_000  # training samples whose vectors are compared
SGD = epochs.Recipe(
    seed=0, epochs=5, batch_size=64, optimizer="sgd", learning_rate=0.4, weight_decay=0.001
)
RECIPE = replace(SGD, augment=True, channels_last=True, refresh=40)


def main() -> None:
    parser = command.parser(__doc__, "number_format.json")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    device = arguments.device
    result = {
        "machine": machine(device),
        "imitated": not has_bfloat16(device),
        "recipe": asdict(RECIPE),
        "widths": {width: compare(device, replace(CASE, width=width), RANKED) for width in WIDTHS},
    }
    command.write(arguments.out, result)
    print(json.dumps(result, indent=1))


def compare(device: str, case: Case, ranked: int) -> dict[str, Any]:
    """Return accuracies, Spearman's rho of P by class, and how many times faster bfloat16 is.

    With them stands the mean change of a class. Times are of one run: they are ratios.
    """
    _, train, query, images = load(case, case.n, case.m, device)

    def trained(recipe: epochs.Recipe) -> tuple[nn.Module, np.ndarray, float]:
        model = models.build(case.model, train[0], 10, width=case.width, seed=recipe.seed)
        model, start = model.to(device), time.perf_counter()
        for _ in epochs.train_epochs(model, train, recipe):
            pass
        seconds = time.perf_counter() - start
        epochs.refresh(model, train, recipe)
        return model.eval(), evaluate.per_class(model, query, 10, recipe)[0].numpy(), seconds

    model, whole_k, whole_seconds = trained(RECIPE)
    _, rounded_k, rounded_seconds = trained(replace(RECIPE, precision="bfloat16"))
    _, other_k, _ = trained(replace(RECIPE, seed=1))
    part = tuple(values[:ranked] for values in train)
    (whole_nk, whole_pass), (rounded_nk, rounded_pass) = (
        _vectors(model, part, query, kind) for kind in ("float32", "bfloat16")
    )
    rho_k = spearman(whole_nk, rounded_nk)
    return {
        "images": images,
        "n": case.n,
        "m": case.m,
        "ranked": ranked,
        "accuracy": {
            "float32": {"mean": float(whole_k.mean())},
            "bfloat16": _change(whole_k, rounded_k),
            "another seed": _change(whole_k, other_k),
        },
        "spearman of P": {"mean": float(rho_k.mean()), "worst class": float(rho_k.min())},
        "times faster": {
            "training": whole_seconds / rounded_seconds,
            "factors and P": whole_pass / rounded_pass,
        },
    }


def _change(whole_k: np.ndarray, other_k: np.ndarray) -> dict[str, float]:
    """Compare accuracies by class with those of the training in float32."""
    return {
        "mean": float(other_k.mean()),
        "mean absolute change of a class": float(np.abs(other_k - whole_k).mean()),
    }


def _vectors(
    model: nn.Module, part: Batch, query: Batch, kind: Precision
) -> tuple[np.ndarray, float]:
    """Fit factors and compute P, both in the same format; return P and the seconds."""
    start = time.perf_counter()
    with precision(kind, part[-1].device.type):
        fitted = fit_factors(model, part, kind="ekfac", damping=0.1, batch_size=250, seed=0)
        p_nk = influence_vectors(model, fitted, part, query, query[-1], 10, batch_size=250)
    return p_nk.double().cpu().numpy(), time.perf_counter() - start


if __name__ == "__main__":
    main()
