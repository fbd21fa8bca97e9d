"""Compute the influence vectors of every kind that the stage ``fidelity`` scores."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from catwise.config.schema import Along as AlongKind
from catwise.config.schema import (
    Curvature,
    DataSet,
    Exact,
    Factored,
    Influence,
    Logistic,
)
from catwise.core.device import torch_device
from catwise.experiments.along_training import training_of, vectors_along
from catwise.fidelity.cost import COUNTED, Sizes, trainings
from catwise.influence.trajectory import average
from catwise.pipeline.files import read_npz
from catwise.pipeline.tables import VECTORS, kinds_of
from catwise.pipeline.workers import pool

__all__ = ["costs", "curvature_section", "vectors_by_kind"]

# P (n, k) with the curvature, and with the passes, that two sections ask for
Vectors = Callable[[Curvature, Influence], np.ndarray]
APPROXIMATION: dict[str, Any] = {  # the factors of a model whose curvature is exact
    "earlier": [],
    "damping": 0.1,
    "draw": "every",
    "samples": "all",
    "embeddings": False,
    "seed": 0,
    "precision": "float32",
}
PASSES: dict[str, dict[str, Any]] = {  # what a kind changes in ``influence``
    "ekfac_fixed": {"statistics": "fixed"},
    "ekfac_unaugmented": {"augmentations": 0},
}
ALONG: dict[str, str] = {  # what each run computes
    "ekfac_runs": "endpoint",
    "segments": "segments",
    "segments_runs": "segments",
    "last_layer": "last_layer",
    "last_layer_runs": "last_layer",
    "exact_runs": "exact",
    "tracin": "tracin",
}


def vectors_by_kind(
    dataset: str,
    parameters: DataSet,
    kinds: Sequence[str],
    vectors: Vectors,
    labels_n: np.ndarray,
    num_classes: int,
) -> dict[str, np.ndarray]:
    """Compute P (n, k) of each kind.

    ``label_counts`` is the control that needs no influence: P[i, k] is 1 where k is the label of
    sample i, and 0 elsewhere, so that the loss of a class is said to rise by the number of samples
    with its label that are left out. What the stage ``influence`` computed is read. The kinds of
    ``config.schema.Along`` go along the training, with the segments and runs of the section
    ``influence`` and factors of the section ``curvature``; ``segments`` and ``tracin`` take the
    training of the stage ``train`` alone, and ``tracin`` all of its checkpoints but that of the
    initial weights.
    """
    by_kind = _computed(dataset, parameters)
    by_kind[COUNTED] = np.eye(num_classes)[labels_n]
    missing = [kind for kind in kinds if kind not in by_kind]
    by_kind |= _along(dataset, parameters, [k for k in missing if k in get_args(AlongKind)])
    for kind in missing:
        if kind not in by_kind:
            curvature = curvature_section(parameters, kind)
            by_kind[kind] = vectors(curvature, influence_section(parameters, kind))
    return {kind: by_kind[kind] for kind in kinds}


def _computed(dataset: str, parameters: DataSet) -> dict[str, np.ndarray]:
    """Read P of the kinds that the stage ``influence`` computed."""
    kinds = kinds_of(parameters.curvature.kind, parameters.influence.runs)
    arrays = read_npz(Path("reports", "influence", dataset, "vectors.npz"))
    return {
        kind: arrays[VECTORS[name]].astype(np.float64)
        for name, kind in kinds.items()
        if VECTORS[name] in arrays
    }


def influence_section(parameters: DataSet, kind: str) -> Influence:
    """Return the section of the influence of this kind."""
    return parameters.influence.model_copy(update=PASSES.get(kind, {}))


def _along(dataset: str, parameters: DataSet, kinds: Sequence[str]) -> dict[str, np.ndarray]:
    """Compute P of the kinds that go along the training; each run does all that it can at once."""
    if not kinds:
        return {}
    along = training_of(dataset, parameters, bins=1)
    several = [kind for kind in kinds if kind.endswith("_runs")]
    with pool(torch_device(along.device), along.threads) as spread:

        def runs(kinds: Sequence[str], numbers: Sequence[int]) -> dict[str, list[np.ndarray]]:
            names = sorted({ALONG[kind] for kind in kinds})
            if not names:
                return {}
            return vectors_along(along, names, numbers, "fidelity", spread)

        first = runs(kinds, [0])
        later = runs(several, range(1, along.influence.runs))
    return {
        kind: average(first[ALONG[kind]] + (later[ALONG[kind]] if kind in several else []))
        for kind in kinds
    }


def costs(
    parameters: DataSet, kinds: Sequence[str], n: int, m: int, num_classes: int
) -> dict[str, float]:
    """Return what P of each kind costs, in trainings; NaN where the training has no epochs."""
    train = parameters.train
    if isinstance(train, Logistic):
        return dict.fromkeys(kinds, np.nan)
    costs: dict[str, float] = {}
    for kind in kinds:
        influence, pairs = influence_section(parameters, kind), 0
        if kind != COUNTED:
            own = parameters.curvature if kind in ALONG else curvature_section(parameters, kind)
            pairs = _pairs(own, n, num_classes)
        draws = max(influence.augmentations, 1)
        along = (influence.segments, influence.runs, draws)
        sizes = Sizes(n, m, num_classes, train.epochs, pairs, *along)
        costs[kind] = trainings(kind, sizes)
    return costs


def _pairs(factors: Curvature, n: int, num_classes: int) -> int:
    """Count the pairs of sample and label from which factors are fitted."""
    if isinstance(factors, Exact) or factors.samples != "all":
        return 0 if isinstance(factors, Exact) else int(factors.samples)
    return n * num_classes if factors.draw == "every" else n


def curvature_section(parameters: DataSet, kind: str, **changes: Any) -> Curvature:
    """Return the section ``curvature`` with this kind.

    ``ekfac_linear`` is ekfac without embeddings; ``ekfac_fixed`` and ``ekfac_unaugmented`` have the
    curvature of ekfac. Factors of a model whose curvature is exact are those of ``APPROXIMATION``.
    ``changes`` are of the draw, the samples and the seed.
    """
    if kind == "exact":
        return Exact(kind="exact")
    factored, own = kind.partition("_")[0], parameters.curvature
    if isinstance(own, Factored):
        section = own.model_dump()
    else:
        section = APPROXIMATION | {"batch_size": parameters.influence.batch_size}
    if kind == "ekfac_linear":
        section["embeddings"] = False
    return Factored.model_validate(section | {"kind": factored} | changes)
