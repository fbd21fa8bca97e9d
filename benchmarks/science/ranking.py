"""Ask how many pairs the factors of a trained narrow ResNet-9 need.

    CATWISE_MIRROR=... python -m benchmarks.science.ranking      about 7 minutes on two cores

The ranking of P is compared with that from as many pairs as there are samples. Real images are
needed, because the ranking is that of a trained model. The result is written to
reports/benchmarks/ranking.json, if not told otherwise.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from benchmarks import command
from benchmarks.cases import Case, load
from benchmarks.machine import machine
from catwise.core.statistics import spearman
from catwise.influence.factors import fit_factors
from catwise.influence.fisher_pairs import Draw
from catwise.influence.vectors import influence_vectors
from catwise.training import epochs, evaluate

CASE = Case("resnet9", 16, 5_000, 1_000, 0, 0)
RANKED = 2_000  # training samples whose vectors are compared
RECIPE = epochs.Recipe(
    seed=0, epochs=8, batch_size=100, optimizer="sgd", learning_rate=0.4, weight_decay=0.001
)
SAMPLES = (250, 500, 1000, 2000)


def main() -> None:
    parser = command.parser(__doc__, "ranking.json")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    result = rank(arguments.device) | {"machine": machine(arguments.device)}
    command.write(arguments.out, result)


def rank(device: str) -> dict[str, Any]:
    """Train the model, and compare the vectors of every number of pairs with the reference."""
    model, train, query, images = load(CASE, CASE.n, CASE.m, device)
    if images == "random":
        raise SystemExit(
            "ranking: expected CATWISE_MIRROR to name a folder with CIFAR-10; it is not set"
        )
    for epoch in epochs.train_epochs(model, train, RECIPE):
        print(
            f"epoch {epoch}: accuracy {evaluate.per_class(model, query, 10)[0].mean():.3f}",
            flush=True,
        )
    model.eval()

    def vectors(draw: Draw, samples: int | None, seed: int) -> np.ndarray:
        options: dict[str, Any] = {"kind": "ekfac", "damping": 0.1, "batch_size": 250}
        fitted = fit_factors(model, train, draw=draw, samples=samples, seed=seed, **options)
        ranked = tuple(part[:RANKED] for part in train)
        p_nk = influence_vectors(model, fitted, ranked, query, query[-1], 10, batch_size=250)
        return p_nk.double().cpu().numpy()

    reference = vectors("importance", None, 100)
    rows = []
    draws: tuple[Draw, ...] = ("importance", "balanced")
    for draw in draws:
        for samples in SAMPLES:
            rho_k = spearman(vectors(draw, samples, 0), reference)
            row = {
                "draw": draw,
                "samples": samples,
                "mean": float(rho_k.mean()),
                "worst class": float(rho_k.min()),
            }
            rows.append(row)
            print(row, flush=True)
    accuracy = float(evaluate.per_class(model, query, 10)[0].mean())
    return {
        "n": CASE.n,
        "m": CASE.m,
        "ranked": RANKED,
        "images": images,
        "accuracy": accuracy,
        "recipe": asdict(RECIPE),
        "rows": rows,
    }


if __name__ == "__main__":
    main()
