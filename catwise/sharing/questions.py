"""Keep a fitted curvature with its model and its training samples, and ask further questions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from catwise.ceiling.verdict import Verdict
from catwise.core.errors import InputError
from catwise.core.fingerprint import fingerprint
from catwise.core.losses import QUERY_LOSSES, Logits, Loss, logits_of, per_sample_loss, with_logits
from catwise.core.progress import Progress
from catwise.core.spread import Workers
from catwise.influence.curvature import Curvature
from catwise.influence.layers import coverage, frozen
from catwise.influence.moving_statistics import Statistics
from catwise.influence.samples import Samples
from catwise.influence.vectors import influence_vectors

__all__ = [
    "Fitted",
    "accuracy",
    "limited",
    "numbered_groups",
    "predicted_labels",
    "query_loss",
]


@dataclass(frozen=True)
class Fitted:
    """Hold what every question needs and no question changes.

    ``fingerprint`` is the checksum of the weights at which the curvature was fitted. ``at_once``
    is the number of groups whose directions are held in memory at once; None means all. ``logits``
    calls the model, and ``statistics`` of batch norm are moving or fixed.
    """

    model: nn.Module
    train: Samples
    curvature: Curvature
    fingerprint: str
    loss: Loss = per_sample_loss
    batch_size: int = 256
    at_once: int | None = None
    logits: Logits = logits_of
    statistics: Statistics = "moving"

    def vectors(
        self,
        query: Samples,
        groups_m: np.ndarray,
        num_groups: int,
        measure: Loss,
        workers: Workers | None = None,
        progress: Progress = iter,
    ) -> np.ndarray:
        """Compute P on groups of query samples, (n, k): a pass over the query and one over train.

        Raises InputError where the model no longer has the weights of the fit.
        """
        require_model(self.model, self.fingerprint)
        vectors = influence_vectors(
            self.model,
            self.curvature,
            self.train,
            query,
            torch.from_numpy(groups_m).to(query.labels.device),
            num_groups,
            batch_size=self.batch_size,
            loss=self.loss,
            query_loss=measure,
            statistics=self.statistics,
            at_once=self.at_once,
            workers=workers,
            progress=progress,
        )
        return vectors.cpu().double().numpy()


def require_model(model: nn.Module, expected: str) -> None:
    """Raise InputError unless the model has the weights of that fingerprint."""
    if (actual := fingerprint(model)) != expected:
        raise InputError(
            f"model: expected the weights that the factors were fitted at, {expected[:12]}; "
            f"got {actual[:12]}; fit anew with diagnose"
        )


def query_loss(measure: str | Loss, own: Loss, logits: Logits) -> Loss:
    """Return the loss of a query: by name, or as given; ``own`` is what the model was trained on.

    What is ours goes by ``logits``.

    Raises InputError for a name that is not known.
    """
    if callable(measure):
        return with_logits(measure, logits)
    if measure not in QUERY_LOSSES:
        raise InputError(
            f"measure: expected one of {', '.join(QUERY_LOSSES)}, or a function; got {measure!r}"
        )
    return own if measure == "loss" else with_logits(QUERY_LOSSES[measure], logits)


def numbered_groups(groups: Sequence[object], m: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number the groups of m query samples; return the numbers (m,) and the names, sorted.

    >>> numbered_groups(["old", "young", "old"], 3)
    (array([0, 1, 0]), ('old', 'young'))
    """
    if len(groups) != m:
        raise InputError(f"groups: expected one for each of {m} query samples; got {len(groups)}")
    names, groups_m = np.unique([str(group) for group in groups], return_inverse=True)
    if len(names) < 2:
        raise InputError(f"groups: expected two or more; got {', '.join(names) or 'none'}")
    return groups_m.astype(np.int64), tuple(map(str, names))


def predicted_labels(fitted: Fitted, samples: Samples, num_classes: int) -> np.ndarray:
    """Return which of the first ``num_classes`` classes the model gives to each sample: (n,)."""
    model, size = fitted.model, fitted.batch_size
    starts = range(0, len(samples), size)
    with frozen(model), torch.no_grad():
        batches = (samples.rows(slice(start, start + size)) for start in starts)
        parts = [fitted.logits(model, batch)[:, :num_classes].argmax(-1).cpu() for batch in batches]
    return torch.cat(parts).numpy()


def accuracy(fitted: Fitted, query: Samples, groups_m: np.ndarray, num_classes: int) -> np.ndarray:
    """Compute the share of each group of query samples that the model gets right."""
    right_m = predicted_labels(fitted, query, num_classes) == query.labels.cpu().numpy()
    return np.bincount(groups_m, weights=right_m) / np.bincount(groups_m)


def limited(
    verdict: Verdict, fitted: Fitted, classes: Sequence[str], labels_n: np.ndarray
) -> Verdict:
    """Return the verdict with what it does not speak of: parameters, and classes without samples.

    ``labels_n`` are those of the training samples.
    """
    counts_k = np.bincount(labels_n, minlength=len(classes))
    absent = tuple(name for name, count in zip(classes, counts_k, strict=True) if not count)
    return verdict.within(coverage(fitted.model, names=fitted.curvature.names), absent)
