"""Compute influence vectors where an extra epoch starts, as printed, and where it ends plainly."""

import time
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from catwise.config.schema import Factored, Influence, Unrolled
from catwise.core.losses import QUERY_LOSSES, Batch
from catwise.core.precision import precision
from catwise.core.spread import Spread
from catwise.experiments.resume import (
    INFLUENCE_CODE,
    job_key,
    keep,
    kept_path,
    pack,
    read_kept,
    unpack,
)
from catwise.experiments.reweighted_epoch import Start, checkpoint_hashes, next_epoch
from catwise.experiments.unrolled_epoch import Query, unrolled_vectors
from catwise.influence.curvature import FactoredCurvature
from catwise.influence.segments import Segment, influence_by_segments
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.artifacts import load_model
from catwise.pipeline.fitted_factors import as_trained, binned, fit_own_factors
from catwise.training.batch_norm import has_batch_norm
from catwise.training.epochs import learning_rates

__all__ = ["KEPT", "AnchoredInfluence"]

KEPT = "reweight_influence"  # the folder of kept vectors, beside that of the epochs

OTHERS = (next_epoch.__module__, *INFLUENCE_CODE)  # modules that decide too


class AnchoredInfluence:
    """Compute P at both ends of one epoch; the factors of an end are fitted when first needed.

    The anchor is ``start``, the checkpoint, or ``end``, the model after a plain epoch from there;
    ``unrolled`` goes through all steps between them and needs no factors. Validation A is the
    query, or another split that is named.

    Differs from the paper: at the end P tells what is left to gain *beyond* plain training, and
    there its columns sum to about 0. At the start it tells mostly what plain training is about to
    mend anyway.
    """

    def __init__(
        self,
        start: Start,
        curvature: Factored,
        influence: Influence,
        splits: dict[str, Batch],
        num_classes: int,
    ) -> None:
        self.start, self.splits, self.num_classes = start, splits, num_classes
        self.sharpness = 0.0  # the largest that an unrolled epoch has met so far
        self._curvature, self._influence = curvature, influence
        self._factors: dict[str, FactoredCurvature] = {}

    @property
    def has_batch_norm(self) -> bool:
        """Say whether the model keeps running statistics."""
        return has_batch_norm(self._models["start"])

    @cached_property
    def _models(self) -> dict[str, nn.Module]:
        start, part = self.start, self.splits["train"]
        model = load_model(start.dataset, start.train, part, start.epoch)
        return {"start": model, "end": next_epoch(start, part)}

    def vectors(
        self,
        anchor: str,
        filter: str = "damped",
        query: str = "loss",
        split: str = "validation_a",
    ) -> np.ndarray:
        """Compute P (n, k) of a query loss on the classes of a split.

        ``filter`` is damped, or horizon for what descent can do within this one epoch.
        """
        labels_m = self.splits[split][-1].cpu().numpy()
        return self._vectors(anchor, filter, query, split, labels_m, self.num_classes)

    def unrolled(
        self, section: Unrolled, query: str, weights_n: np.ndarray, spread: Spread
    ) -> np.ndarray:
        """Compute P (n, k) through every step of the epoch with these weights, on validation A.

        It is averaged over orders of the samples that no result is measured under.
        """
        about = Query(query, section.at_once)
        p_nk, met = unrolled_vectors(self.start, about, weights_n, section.orders, spread)
        self.sharpness = max(self.sharpness, met)
        return p_nk

    def binned_vectors(self, anchor: str, filter: str) -> np.ndarray:
        """Compute P (n, k, b) of the loss on bins of validation A, for ``catwise.ceiling``."""
        groups_m = binned(self.splits["validation_a"], self._influence)
        count = self.num_classes * self._influence.bins
        vectors = self._vectors(anchor, filter, "loss", "validation_a", groups_m, count)
        return vectors.reshape(len(vectors), self.num_classes, -1)

    def _vectors(
        self, anchor: str, filter: str, query: str, split: str, groups_m: np.ndarray, count: int
    ) -> np.ndarray:
        """Compute P (n, count), or read it if a run that was killed has kept it."""
        about: list[str | int] = [anchor, filter, query, split, count]
        path = kept_path(KEPT, self.start.dataset, self._key(about, groups_m))
        kept = read_kept(path)
        if kept is None:
            begin = time.perf_counter()
            vectors = pack(self._compute(anchor, filter, query, split, groups_m, count))
            kept = keep(path, vectors, time.perf_counter() - begin)
        return unpack(kept).astype(np.float64)

    def _key(self, about: list[str | int], groups_m: np.ndarray) -> str:
        start = self.start
        how = [start.train.model_dump_json(), start.epoch, asdict(start.recipe)]
        sections = [one.model_dump_json() for one in (self._curvature, self._influence)]
        state = [*how, checkpoint_hashes(start), *sections, about]
        where = (start.dataset, start.device, start.threads)
        return job_key(__name__, *where, state, groups_m, *OTHERS)

    def _compute(
        self, anchor: str, filter: str, query: str, split: str, groups_m: np.ndarray, count: int
    ) -> Tensor:
        part = self.splits["train"]
        model, factors, device = self._models[anchor], self._fitted(anchor), part[-1].device
        train = as_trained(part, self._influence)
        about = (train, self.splits[split], torch.from_numpy(groups_m).to(device), count)
        options: dict[str, Any] = {
            "batch_size": self._influence.batch_size,
            "query_loss": QUERY_LOSSES[query],
            "statistics": self._influence.statistics,
        }
        with precision(self._influence.precision, device.type):
            if filter == "horizon":
                rates = learning_rates(self.start.recipe, self.start.epoch + 1, len(part[-1]))
                epoch = Segment(model, factors, rates)
                return influence_by_segments(model, [epoch], *about, **options)
            return influence_vectors(model, factors, *about, **options)

    def _fitted(self, anchor: str) -> FactoredCurvature:
        if anchor not in self._factors:
            model, part = self._models[anchor], self.splits["train"]
            self._factors[anchor] = fit_own_factors(model, part, self._curvature)
        return self._factors[anchor]
