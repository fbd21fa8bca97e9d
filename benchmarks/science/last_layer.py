"""Ask what curvature of the last layer predicts best: exact or factored, and how much damped.

    python -m benchmarks.science.last_layer digits        a minute, after `dvc repro`

P is taken at the end of the training of the stage ``train``, over all layers by EKFAC, and over the
last layer alone by EKFAC and by its exact Hessian, each with several dampings (shares of the mean
eigenvalue). Each is scored by the halves of the stage ``subsets`` (LDS), and has the slope of the
calibration. The working directory is the repository, or the workspace of a measured data set. The
result is written to reports/benchmarks/last_layer.json, a part for each data set.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import command
from benchmarks.machine import machine
from catwise.ceiling.calibration import calibrate_from
from catwise.config.schema import Factored
from catwise.core.losses import Batch
from catwise.fidelity.scores import linear_datamodeling_score
from catwise.fidelity.subsets import HALF
from catwise.influence.curvature import Curvature
from catwise.influence.last_layer import last_layer_hessian
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.artifacts import last_epoch, load_model, read_splits
from catwise.pipeline.files import read_json, read_npz
from catwise.pipeline.fitted_factors import as_trained, fit_own_factors
from catwise.pipeline.stage import settings

__all__ = ["compare"]

FACTORED = (0.1, 1.0)
EXACT = (0.01, 0.1, 1.0, 10.0)


def compare(dataset: str) -> dict[str, Any]:
    """Return the scores and the slope of P for each curvature and damping."""
    parameters = settings(dataset)
    influence, section = parameters.influence, parameters.curvature
    assert isinstance(section, Factored)
    splits, classes = read_splits(dataset, "cpu")
    part, query = splits["train"], splits["validation_a"]
    model = load_model(dataset, parameters.train, part, last_epoch(parameters.train))
    train, size = as_trained(part, influence), influence.batch_size

    def vectors(curvature: Curvature, statistics: Any = "fixed") -> np.ndarray:
        about: tuple[Batch, Any, int] = (query, query[-1], len(classes))
        how = {"batch_size": size, "statistics": statistics}
        return influence_vectors(model, curvature, train, *about, **how).double().numpy()

    def exact(damping: float) -> np.ndarray:
        return vectors(last_layer_hessian(model, train, damping=damping, batch_size=size))

    factors = fit_own_factors(model, part, section)
    (name,) = last_layer_hessian(model, part, batch_size=size).names
    one_layer = replace(factors, layers={name: factors.layers[name]})
    rows = {"all layers, EKFAC, 0.1": vectors(replace(factors, damping=0.1), influence.statistics)}
    rows |= {f"EKFAC, {d:g}": vectors(replace(one_layer, damping=d)) for d in FACTORED}
    rows |= {f"exact, {d:g}": exact(d) for d in EXACT}
    subsets = read_npz(Path("reports", "subsets", dataset, "subsets.npz"))
    labels_n = part[-1].numpy()
    counts_k = np.array(read_json(Path("data", dataset, "card.json"))["counts"]["validation_a"])
    scores = {row: scores_of(subsets, p_nk, labels_n, counts_k) for row, p_nk in rows.items()}
    return {**machine("cpu"), "rows": scores}


def scores_of(
    subsets: dict[str, np.ndarray], p_nk: np.ndarray, labels_n: np.ndarray, counts_k: np.ndarray
) -> dict[str, Any]:
    """Return the scores on the halves, and the slope on all subsets."""
    halves_h = subsets["design_h"] == HALF
    row: dict[str, Any] = {}
    for measure, sign in (("loss", 1), ("accuracy", -1)):
        truth_hk = sign * subsets[f"{measure}_hsk"][halves_h].mean(axis=1)
        score_k = linear_datamodeling_score(p_nk, subsets["kept_hn"][halves_h], truth_hk)
        row[f"LDS, {measure}"] = float(np.nanmean(score_k))
    return row | {"slope": asdict(calibrate_from(subsets, p_nk, labels_n, counts_k).slope)}


def main() -> None:
    command.by_dataset(__doc__, "last_layer.json", compare)


if __name__ == "__main__":
    main()
