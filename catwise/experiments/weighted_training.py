"""Train anew with one weight per sample, and keep what each training says: a map over workers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from catwise.config.schema import DataSet, Epochs, Exact, Factored, Influence, Logistic, Train
from catwise.core.losses import TRAINING_LOSSES
from catwise.core.precision import precision
from catwise.core.progress import progress
from catwise.experiments.along_training import Along, trained_states, vectors_of
from catwise.experiments.resume import INFLUENCE_CODE, job_key, pack, resumable_map, unpack
from catwise.experiments.retraining import open_pool, train_anew
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.artifacts import cached_splits, training_recipe
from catwise.pipeline.fitted_factors import binned, fit_curvature
from catwise.training import evaluate

__all__ = ["INFLUENCE", "Outputs", "WeightedJob", "weighted_trainings"]

OTHERS = (train_anew.__module__, vectors_of.__module__, *INFLUENCE_CODE)  # decide too
INFLUENCE = "influence"  # asks for P, from validation A, and for logits of the training set


@dataclass(frozen=True)
class WeightedJob:
    """Say how to train, and the question to the model: ``INFLUENCE``, or logits of a split."""

    question: str
    weights_n: np.ndarray
    seed: int  # added to that of the section ``train``
    loss: str = "cross_entropy"


@dataclass(frozen=True)
class Outputs:
    """Hold logits (m, k) of a split, and P (n, k, bins) of each kind where it is the question.

    The first kind is by the bins of the section ``influence``; the others have one bin.
    """

    logits_mk: np.ndarray
    by_kind: dict[str, np.ndarray]


@dataclass(frozen=True)
class _Setting:
    dataset: str
    device: str
    threads: int
    train: Train
    curvature: Exact | Factored
    influence: Influence
    kinds: tuple[str, ...]


Run = Callable[[Sequence[WeightedJob], str], list[Outputs]]


@contextmanager
def weighted_trainings(dataset: str, parameters: DataSet, stage: str) -> Iterator[Run]:
    """Open the workers, and give ``run(jobs, label)``, which does them all and keeps each."""
    device, threads = parameters.device, parameters.threads
    curvature, influence = parameters.curvature, parameters.influence
    kinds = tuple(parameters.improve.influence) if parameters.improve else ("endpoint",)
    setting = _Setting(dataset, device, threads, parameters.train, curvature, influence, kinds)
    with open_pool(parameters.train, device, threads) as spread:

        def run(jobs: Sequence[WeightedJob], label: str) -> list[Outputs]:
            tasks = [(setting, job.question, job.weights_n, job.seed, job.loss) for job in jobs]
            results = resumable_map(stage, dataset, _ask, _key, tasks, spread)
            return [
                _outputs(kept)
                for kept in progress(results, f"{stage} {dataset}, {label}", len(jobs))
            ]

        yield run


def _ask(
    setting: _Setting, question: str, weights_n: np.ndarray, seed: int, loss: str
) -> dict[str, Any]:
    """Train and ask, in a worker."""
    torch.set_num_threads(setting.threads)
    splits, classes = cached_splits(setting.dataset, setting.device)
    vectors: dict[str, Tensor] = {}
    if question != INFLUENCE or isinstance(setting.train, Logistic):
        function = TRAINING_LOSSES[loss]
        part = splits["train"]
        model = train_anew(setting.train, setting.dataset, part, seed, weights_n, function).eval()
        if question == INFLUENCE:
            vectors = _at_the_optimum(setting, model)
    else:
        model, vectors = _along(setting, weights_n, seed)
    recipe = training_recipe(setting.train) if isinstance(setting.train, Epochs) else None
    split = "train" if question == INFLUENCE else question
    by_kind = {kind: pack(p.unflatten(1, (len(classes), -1))) for kind, p in vectors.items()}
    return {"logits": pack(evaluate.logits(model, splits[split], recipe)), "P": by_kind}


def _at_the_optimum(setting: _Setting, model: nn.Module) -> dict[str, Tensor]:
    """Compute P of a logistic regression, which has an end alone."""
    section, (splits, classes) = setting.influence, cached_splits(setting.dataset, setting.device)
    part, query = splits["train"], splits["validation_a"]
    groups_m = binned(query, section)
    fitted = fit_curvature(model, part, setting.train, setting.curvature)
    columns, size = len(classes) * section.bins, section.batch_size
    with precision(section.precision, query[-1].device.type):
        p_nk = influence_vectors(model, fitted, part, query, groups_m, columns, batch_size=size)
    return {setting.kinds[0]: p_nk}


def _along(
    setting: _Setting, weights_n: np.ndarray, seed: int
) -> tuple[nn.Module, dict[str, Tensor]]:
    """Train by epochs, and compute P of every kind: return the model at the end, and P."""
    train, curvature, section = setting.train, setting.curvature, setting.influence
    assert not isinstance(train, Logistic)
    assert isinstance(curvature, Factored)
    train = train.model_copy(update={"seed": train.seed + seed})
    along = Along(setting.dataset, setting.device, setting.threads, train, curvature, section)
    states = trained_states(along, setting.kinds, weights_n)
    first, *others = setting.kinds
    vectors = vectors_of(along, states, [first], weights_n)
    one_bin = replace(along, influence=section.model_copy(update={"bins": 1}))
    vectors |= vectors_of(one_bin, states, others, weights_n)
    return states[train.epochs].model, vectors


def _key(setting: _Setting, question: str, weights_n: np.ndarray, seed: int, loss: str) -> str:
    state = [setting.train.model_dump_json(), question, seed, loss]
    if question == INFLUENCE:
        state += [setting.curvature.model_dump_json(), setting.influence.model_dump_json()]
        state += [setting.kinds]
    device, threads = setting.device, setting.threads
    return job_key(__name__, setting.dataset, device, threads, state, weights_n, *OTHERS)


def _outputs(kept: dict[str, Any]) -> Outputs:
    by_kind = {kind: unpack(part) for kind, part in kept["P"].items()}
    return Outputs(unpack(kept["logits"]), by_kind)
