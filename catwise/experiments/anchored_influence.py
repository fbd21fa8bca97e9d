"""Influence vectors where an extra epoch starts, as printed, and where it ends when nothing is reweighted."""

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from catwise.core import losses, precision
from catwise.core.losses import Batch
from catwise.experiments.reweighted_epoch import Start, next_epoch
from catwise.influence.curvature import FactoredCurvature
from catwise.influence.factors import Kind, fit_factors
from catwise.influence.vectors import influence_vectors, validation_bins
from catwise.pipeline.artifacts import load_model, real_positions
from catwise.training import epochs

__all__ = ["Anchors"]


class Anchors:
    """P of both ends of one epoch; the factors of each are fitted when they are first needed.

    Differs from the paper: at the end P tells what is left to gain *beyond* plain training, at the start mostly what
    plain training is about to mend anyway. There its columns sum to about 0.
    """

    def __init__(
        self, start: Start, fit: Any, passes: Any, splits: dict[str, Batch], num_classes: int
    ) -> None:
        self.start, self.fit, self.passes, self.splits, self.num_classes = (
            start,
            fit,
            passes,
            splits,
            num_classes,
        )
        self._fitted: dict[str, FactoredCurvature] = {}

    @cached_property
    def models(self) -> dict[str, nn.Module]:
        part = self.splits["train"]
        begun = load_model(self.start.dataset, self.start.train, part, self.start.epoch)
        return {"start": begun, "end": next_epoch(self.start, part)}

    def vectors(
        self, anchor: str, filter: str = "damped", measure: str = "loss", on: str = "validation_a"
    ) -> np.ndarray:
        """P (n, k) of the measurement on a split; ``filter`` horizon: what descent can do within this one epoch."""
        return self._found(
            anchor, filter, measure, on, self.splits[on][-1].cpu().numpy(), self.num_classes
        )

    def binned(self, anchor: str, filter: str) -> np.ndarray:
        """P (n, k, b) of the loss on validation A, for ``catwise.ceiling.verdict``."""
        labels_m, bins = self.splits["validation_a"][-1].cpu().numpy(), self.passes.bins
        groups_m = validation_bins(labels_m, bins, np.random.default_rng(self.passes.seed))
        found = self._found(
            anchor, filter, "loss", "validation_a", groups_m, self.num_classes * bins
        )
        return found.reshape(-1, self.num_classes, bins)

    def _found(
        self, anchor: str, filter: str, measure: str, on: str, groups_m: np.ndarray, count: int
    ) -> np.ndarray:
        model, part, query = self.models[anchor], self.splits["train"], self.splits[on]
        curvature = self._factors(anchor)
        if filter == "horizon":
            reach = sum(
                epochs.learning_rates(self.start.recipe, self.start.epoch + 1, len(part[-1]))
            )
            curvature = FactoredCurvature(curvature.n, curvature.damping, curvature.layers, reach)
        options: dict[str, Any] = {
            "batch_size": self.passes.batch_size,
            "query_loss": losses.QUERY_LOSSES[measure],
        }
        with precision.precision(self.passes.precision, part[-1].device.type):
            groups = torch.from_numpy(groups_m).to(part[-1].device)
            found = influence_vectors(model, curvature, part, query, groups, count, **options)
        return found.double().cpu().numpy()

    def _factors(self, anchor: str) -> FactoredCurvature:
        if anchor not in self._fitted:
            part, chosen = self.splits["train"], self.fit
            options = chosen.model_dump(
                include={"damping", "draw", "seed", "batch_size", "embeddings"}
            )
            kind: Kind = (
                "ekfac" if chosen.kind == "kronfluence" else chosen.kind
            )  # its own fit is of the same kind
            samples = None if chosen.samples == "all" else chosen.samples
            with precision.precision(chosen.precision, part[-1].device.type):
                self._fitted[anchor] = fit_factors(
                    self.models[anchor],
                    part,
                    kind=kind,
                    samples=samples,
                    mask=real_positions(part),
                    **options,
                )
        return self._fitted[anchor]
