"""Take P exactly through one epoch from a checkpoint, over several orders of the samples."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from catwise.core.losses import QUERY_LOSSES, Batch
from catwise.core.spread import Spread
from catwise.experiments.resume import job_key, resumable_map
from catwise.experiments.reweighted_epoch import Start, checkpoint_hashes, next_epoch
from catwise.influence.unrolled import Step, Unrolled, unrolled_influence
from catwise.pipeline.artifacts import cached_splits, load_model
from catwise.training import epochs
from catwise.training.batch_norm import has_batch_norm, statistics

__all__ = ["FIRST_ORDER", "Query", "unrolled_epoch", "unrolled_vectors"]

OTHERS = (next_epoch.__module__, "catwise.influence")  # modules that decide too
FIRST_ORDER = 2000  # the seed of the first order, far from those of what is reported


@dataclass(frozen=True)
class Query:
    """Hold what P is about, on validation A, and how many adjoints go backwards together."""

    loss: str
    at_once: int


def unrolled_vectors(
    start: Start, query: Query, weights_n: np.ndarray, orders: int, spread: Spread
) -> tuple[np.ndarray, float]:
    """Compute P (n, k) at the weights, averaged over the orders, and the largest sharpness.

    Results are measured under other orders. Each order is a job of a resumable map.
    """
    jobs = [(start, query, weights_n, FIRST_ORDER + order) for order in range(orders)]
    results = resumable_map("reweight", start.dataset, _measure, _key, jobs, spread)
    vectors, met = zip(*results, strict=True)
    return np.mean(vectors, axis=0), max(met)


def unrolled_epoch(
    start: Start,
    splits: dict[str, Batch],
    num_classes: int,
    query: Query,
    weights_n: Any,
    seed: int,
) -> Unrolled:
    """Compute P through the epoch of one order of the samples, in float32 whatever the recipe.

    Batch norm takes the statistics of each batch, as in training. The classes are measured with the
    running statistics that were refreshed at the end of the same epoch.
    """
    part, validation = splits["train"], splits["validation_a"]
    recipe = replace(
        start.recipe,
        seed=start.recipe.seed + seed,
        precision="float32",
        channels_last=False,
        compile=False,
    )
    batches = epochs.epoch_batches(part, recipe, start.epoch + 1)
    rates = epochs.learning_rates(recipe, start.epoch + 1, len(part[-1]))
    steps = [Step(batch, rows, rate) for (rows, batch), rate in zip(batches, rates, strict=True)]
    model = load_model(start.dataset, start.train, part, start.epoch)
    weights = torch.from_numpy(np.asarray(weights_n, dtype=np.float32)).to(validation[-1].device)
    if has_batch_norm(model):
        with_refresh = replace(recipe, refresh=recipe.refresh or len(steps))
        end = next_epoch(replace(start, recipe=with_refresh), part, weights)
        model.load_state_dict(statistics(end), strict=False)
    return unrolled_influence(
        model,
        steps,
        len(part[-1]),
        validation,
        validation[-1],
        num_classes,
        weight_decay=recipe.weight_decay,
        weights=weights,
        query_loss=QUERY_LOSSES[query.loss],
        at_once=query.at_once,
    )


def _measure(start: Start, query: Query, weights_n: np.ndarray, seed: int) -> Any:
    """Unroll the epoch of one order, in a worker."""
    torch.set_num_threads(start.threads)
    splits, classes = cached_splits(start.dataset, start.device)
    result = unrolled_epoch(start, splits, len(classes), query, weights_n, seed)
    return [result.p_nk.tolist(), result.sharpness]


def _key(start: Start, query: Query, weights_n: np.ndarray, seed: int) -> str:
    how = [start.train.model_dump_json(), start.epoch, asdict(start.recipe), asdict(query)]
    state = [*how, checkpoint_hashes(start), seed]
    where = (start.dataset, start.device, start.threads)
    return job_key(__name__, *where, state, weights_n, *OTHERS)
