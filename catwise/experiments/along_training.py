"""Compute influence vectors along one training or several that differ in their seed.

Run 0 is the training of the stage ``train``, whose checkpoints are read; the others are done anew.
Each run is a job of a resumable map.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from catwise.config.schema import DataSet, Factored, Influence, Logistic, Trained
from catwise.core.errors import InputError
from catwise.core.losses import Batch
from catwise.core.precision import precision
from catwise.core.spread import Spread
from catwise.experiments.resume import (
    INFLUENCE_CODE,
    file_sha256,
    job_key,
    pack,
    resumable_map,
    unpack,
)
from catwise.influence.last_layer import last_layer_hessian
from catwise.influence.layers import covered_layers
from catwise.influence.segments import Segment, influence_by_segments
from catwise.influence.trajectory import adam_scales, cut, tracin
from catwise.influence.unrolled import Step, unrolled_influence
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.artifacts import (
    cached_splits,
    checkpoint_path,
    load_model,
    new_model,
    rates_path,
    read_tensors,
    training_recipe,
)
from catwise.pipeline.files import read_json
from catwise.pipeline.fitted_factors import as_trained, binned, fit_own_factors
from catwise.training import epochs
from catwise.training.batch_norm import statistics
from catwise.training.epochs import epoch_rates

__all__ = [
    "Along",
    "State",
    "trained_states",
    "training_of",
    "vectors_along",
    "vectors_of",
]

FIRST_SEED = 1000  # of the runs after run 0


@dataclass(frozen=True)
class Along:
    """Hold of which training P is taken, and how; each worker reads the data itself.

    The columns of P are classes times bins.
    """

    dataset: str
    device: str
    threads: int
    train: Trained
    curvature: Factored
    influence: Influence

    def with_seed(self, more: int) -> "Along":
        """Return the same of a training whose seed is larger by ``more``."""
        train = self.train.model_copy(update={"seed": self.train.seed + more})
        return replace(self, train=train)


def training_of(dataset: str, parameters: DataSet, **changes: Any) -> Along:
    """Take all from the parameters of a data set, with changes to the section ``influence``."""
    train, curvature = parameters.train, parameters.curvature
    assert not isinstance(train, Logistic)
    assert isinstance(curvature, Factored)
    influence = parameters.influence.model_copy(update=changes)
    return Along(dataset, parameters.device, parameters.threads, train, curvature, influence)


@dataclass(frozen=True)
class State:
    """Hold the model after an epoch, and what its optimiser then remembered."""

    model: nn.Module
    optimizer: dict[str, Tensor]


def vectors_along(
    along: Along, kinds: Sequence[str], runs: Sequence[int], stage: str, spread: Spread
) -> dict[str, list[np.ndarray]]:
    """Compute P (n, classes * bins) in float32 of each kind, for each run.

    endpoint        at the last checkpoint, with the damped factors there
    endpoint_fixed  the same, with the statistics of batch norm held fixed
    middle          at the checkpoint half way, with the damped factors there
    last_layer      at the last checkpoint, over the last layer alone
    segments        by segments of the training, with factors at the middle of each
    exact           by reverse mode through every step
    tracin          over the checkpoints of all epochs, without curvature
    """
    jobs = [(along, tuple(kinds), run) for run in runs]
    results = list(resumable_map(stage, along.dataset, _compute, _key, jobs, spread))
    return {kind: [unpack(result[kind]) for result in results] for kind in kinds}


def _compute(along: Along, kinds: tuple[str, ...], run: int) -> dict[str, Any]:
    """Compute P of every kind for one run, in a worker."""
    torch.set_num_threads(along.threads)
    if run == 0:
        states = dict(_read(along, kinds))
    else:
        along = along.with_seed(FIRST_SEED + run)
        states = trained_states(along, kinds)
    return {kind: pack(p_nk) for kind, p_nk in vectors_of(along, states, kinds).items()}


def vectors_of(
    along: Along,
    states: dict[int, State],
    kinds: Sequence[str],
    weights_n: np.ndarray | None = None,
) -> dict[str, Tensor]:
    """Compute P (n, classes * bins) of each kind from the states of one training, by epoch.

    ``weights_n`` are those of the training, None for ones. The curvature is that of all samples
    with weight 1. The last layer, which is cheap, and exact derivatives are in float32 always.
    """
    (splits, classes), section = cached_splits(along.dataset, along.device), along.influence
    part, query = splits["train"], splits["validation_a"]
    groups = torch.from_numpy(binned(query, section)).to(query[-1].device)
    about = (part, query, groups, len(classes) * section.bins)
    vectors = {}
    for kind in kinds:
        number_format = "float32" if kind in ("last_layer", "exact") else section.precision
        with precision(number_format, part[-1].device.type):
            if kind in ("endpoint", "endpoint_fixed", "middle"):
                epoch = _middle(along) if kind == "middle" else along.train.epochs
                fixed: dict[str, Any] = {}
                if kind == "endpoint_fixed":
                    fixed["statistics"] = "fixed"
                vectors[kind] = _at(states[epoch].model, along, *about, **fixed)
            elif kind == "last_layer":
                vectors[kind] = _of_last_layer(states[along.train.epochs].model, along, *about)
            elif kind == "segments":
                vectors[kind] = _by_segments(along, states, *about)
            elif kind == "tracin":
                vectors[kind] = _tracin(along, states, *about)
            else:
                vectors[kind] = _exact(along, states[along.train.epochs], weights_n, *about)
    return vectors


def _wanted(along: Along, kinds: Sequence[str]) -> set[int]:
    """Return the epochs after which the kinds need the model; the last is always among them."""
    last = along.train.epochs
    if "tracin" in kinds:
        return {*range(1, last + 1)}
    stretches = cut(last, along.influence.segments) if "segments" in kinds else []
    middle = {_middle(along)} if "middle" in kinds else set()
    return {last, *middle, *(stretch.checkpoint for stretch in stretches)}


def _middle(along: Along) -> int:
    return max(1, along.train.epochs // 2)


def _read(along: Along, kinds: Sequence[str]) -> Iterator[tuple[int, State]]:
    """Read the states that the kinds need from the checkpoints of the stage ``train``."""
    part = cached_splits(along.dataset, along.device)[0]["train"]
    path = rates_path(along.dataset)
    went, says = read_json(path), epoch_rates(training_recipe(along.train), len(part[-1]))
    if went != says:
        raise InputError(
            f"{path}: expected the learning rates of params.yaml, which sum to {sum(says):g} over"
            f" {len(says)} epochs; got {sum(went):g} over {len(went)}; run `dvc repro`"
        )
    for epoch in sorted(_wanted(along, kinds)):
        path = checkpoint_path(along.dataset, epoch, "optimizer")
        remembered = read_tensors(path) if path.exists() else {}
        yield epoch, State(load_model(along.dataset, along.train, part, epoch), remembered)


def trained_states(
    along: Along, kinds: Sequence[str], weights_n: np.ndarray | None = None
) -> dict[int, State]:
    """Train with one weight per sample, and keep the states that the kinds need, by epoch."""
    part = cached_splits(along.dataset, along.device)[0]["train"]
    recipe, wanted = training_recipe(along.train), _wanted(along, kinds)
    model, weights = new_model(along.dataset, along.train, part), _tensor(weights_n, part)
    optimizer, states = epochs.new_optimizer(model, recipe), {}
    for epoch in range(1, recipe.epochs + 1):
        epochs.train_epoch(model, optimizer, part, recipe, epoch, weights)
        if epoch in wanted:
            kept = copy.deepcopy(model)
            epochs.refresh(kept, part, recipe)
            remembered = copy.deepcopy(epochs.optimizer_tensors(optimizer))
            states[epoch] = State(kept.eval(), remembered)
    return states


def _at(model: nn.Module, along: Along, part: Batch, *about: Any, **changes: Any) -> Tensor:
    fitted, train = fit_own_factors(model, part, along.curvature), as_trained(part, along.influence)
    return influence_vectors(model, fitted, train, *about, **(_passes(along) | changes))


def _of_last_layer(model: nn.Module, along: Along, part: Batch, *about: Any) -> Tensor:
    train, size = as_trained(part, along.influence), along.influence.batch_size
    hessian = last_layer_hessian(model, train, batch_size=size)
    # fixed: no batch norm comes after the last layer
    return influence_vectors(model, hessian, train, *about, batch_size=size, statistics="fixed")


def _by_segments(along: Along, states: dict[int, State], part: Batch, *about: Any) -> Tensor:
    recipe, segments = training_recipe(along.train), []
    for stretch in cut(recipe.epochs, along.influence.segments):
        state = states[stretch.checkpoint]
        fitted = fit_own_factors(state.model, part, along.curvature)
        rates = [
            rate
            for epoch in stretch.epochs
            for rate in epochs.learning_rates(recipe, epoch, len(part[-1]))
        ]
        scales = adam_scales(state.model, state.optimizer, fitted.names)
        segments.append(Segment(state.model, fitted, rates, recipe.weight_decay, scales=scales))
    model, train = states[along.train.epochs].model, as_trained(part, along.influence)
    return influence_by_segments(model, segments, train, *about, **_passes(along))


def _tracin(along: Along, states: dict[int, State], part: Batch, *about: Any) -> Tensor:
    rates = epoch_rates(training_recipe(along.train), len(part[-1]))
    stops = [(state.model, rates[epoch - 1]) for epoch, state in sorted(states.items())]
    layers = list(covered_layers(stops[-1][0], along.curvature.embeddings))
    train = as_trained(part, along.influence)
    return tracin(stops, train, *about, layers=layers, **_passes(along))


def _passes(along: Along) -> dict[str, Any]:
    section = along.influence
    return {"batch_size": section.batch_size, "statistics": section.statistics}


def _exact(
    along: Along, end: State, weights_n: np.ndarray | None, part: Batch, *about: Any
) -> Tensor:
    recipe = training_recipe(along.train)
    steps = [
        Step(batch, rows, rate)
        for epoch in range(1, recipe.epochs + 1)
        for (rows, batch), rate in zip(
            epochs.epoch_batches(part, recipe, epoch),
            epochs.learning_rates(recipe, epoch, len(part[-1])),
            strict=True,
        )
    ]
    start, n = new_model(along.dataset, along.train, part), len(part[-1])
    start.load_state_dict(statistics(end.model), strict=False)  # the classes are measured with them
    how: dict[str, Any] = {"weight_decay": recipe.weight_decay, "weights": _tensor(weights_n, part)}
    return unrolled_influence(start, steps, n, *about, **how).p_nk


def _tensor(weights_n: np.ndarray | None, part: Batch) -> Tensor | None:
    if weights_n is None:
        return None
    return torch.tensor(weights_n, device=part[-1].device, dtype=torch.float32)


def _key(along: Along, kinds: tuple[str, ...], run: int) -> str:
    parts = (along.train, along.curvature, along.influence)
    files = sorted(checkpoint_path(along.dataset, 0).parent.glob("*.safetensors"))
    hashes = [file_sha256(file) for file in files if run == 0]
    state = [*(section.model_dump_json() for section in parts), kinds, run, hashes]
    return job_key(
        __name__, along.dataset, along.device, along.threads, state, np.zeros(0), *INFLUENCE_CODE
    )
