"""Train anew with one weight per sample, and keep what each training says: a map over workers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from catwise.config.schema import DataSet, Epochs, Exact, Factored, Influence, Train
from catwise.core.losses import TRAINING_LOSSES
from catwise.core.precision import precision
from catwise.core.progress import progress
from catwise.experiments.resume import INFLUENCE_CODE, job_key, pack, resumable_map, unpack
from catwise.experiments.retraining import open_pool, train_anew
from catwise.influence.vectors import influence_vectors, validation_bins
from catwise.pipeline.artifacts import cached_splits, training_recipe
from catwise.pipeline.fitted_factors import fit_curvature
from catwise.training import evaluate

__all__ = ["INFLUENCE", "Outputs", "WeightedJob", "weighted_trainings"]

OTHERS = (train_anew.__module__, *INFLUENCE_CODE)  # modules that decide too
INFLUENCE = "influence"  # asks for P by bins, from validation A, and for logits of the training set


@dataclass(frozen=True)
class WeightedJob:
    """Say how to train, and the question to the model: ``INFLUENCE``, or logits of a split."""

    question: str
    weights_n: np.ndarray
    seed: int  # added to that of the section ``train``
    loss: str = "cross_entropy"


@dataclass(frozen=True)
class Outputs:
    """Hold logits (m, k) of a split, and P (n, k, bins) where it is the question."""

    logits_mk: np.ndarray
    p_nkb: np.ndarray | None


@dataclass(frozen=True)
class _Setting:
    dataset: str
    device: str
    threads: int
    train: Train
    curvature: Exact | Factored
    influence: Influence


Run = Callable[[Sequence[WeightedJob], str], list[Outputs]]


@contextmanager
def weighted_trainings(dataset: str, parameters: DataSet, stage: str) -> Iterator[Run]:
    """Open the workers, and give ``run(jobs, label)``, which does them all and keeps each."""
    device, threads = parameters.device, parameters.threads
    curvature, influence = parameters.curvature, parameters.influence
    setting = _Setting(dataset, device, threads, parameters.train, curvature, influence)
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
    part = splits["train"]
    function = TRAINING_LOSSES[loss]
    model = train_anew(setting.train, setting.dataset, part, seed, weights_n, function).eval()
    recipe = training_recipe(setting.train) if isinstance(setting.train, Epochs) else None
    split = "train" if question == INFLUENCE else question
    outputs = {"logits": pack(evaluate.logits(model, splits[split], recipe))}
    if question == INFLUENCE:
        section, query = setting.influence, splits["validation_a"]
        labels_m = query[-1].cpu().numpy()
        groups_m = validation_bins(labels_m, section.bins, np.random.default_rng(section.seed))
        with precision(section.precision, query[-1].device.type):
            p = influence_vectors(
                model,
                fit_curvature(model, part, setting.train, setting.curvature),
                part,
                query,
                torch.from_numpy(groups_m).to(query[-1].device),
                len(classes) * section.bins,
                batch_size=section.batch_size,
            )
        outputs["P"] = pack(p.reshape(len(p), len(classes), section.bins))
    return outputs


def _key(setting: _Setting, question: str, weights_n: np.ndarray, seed: int, loss: str) -> str:
    state = [setting.train.model_dump_json(), question, seed, loss]
    if question == INFLUENCE:
        state += [setting.curvature.model_dump_json(), setting.influence.model_dump_json()]
    device, threads = setting.device, setting.threads
    return job_key(__name__, setting.dataset, device, threads, state, weights_n, *OTHERS)


def _outputs(kept: dict[str, Any]) -> Outputs:
    arrays = {name: unpack(part) for name, part in kept.items()}
    return Outputs(arrays["logits"], arrays.get("P"))
