"""The whole way in one call, for a trained classifier of your own: curvature, influence, ceiling, weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from catwise.ceiling.verdict import CeilingCheck, check_ceiling, verdict
from catwise.core.errors import InputError
from catwise.core.losses import Batch, per_sample_loss
from catwise.influence.factors import Kind, Logits, Mask, Progress, fit_factors, logits_of
from catwise.influence.layers import coverage
from catwise.influence.vectors import Loss, influence_vectors, validation_bins
from catwise.reweighting.joint_direction import direction, direction_weights

__all__ = ["Diagnosis", "diagnose"]


@dataclass(frozen=True)
class Diagnosis:
    """Is there room, which samples stand in the way, and which weights would use it.

    verdict     room or a ceiling, with its interval, or with the two classes that block each other most
    checked     the figures behind it; ``checked.room``: whether every class gains significantly at once
    p_nk        P, in nats of summed query loss; ``p_nk.sum(1).argsort()[:10]`` are the ten most detrimental samples
    weights_n   mean 1 in each class, in [0, 2], along the direction that raises every class at once to first order;
                at a ceiling that direction is noise, and so are they
    coverage    the share of the model's parameters that P speaks of
    """

    verdict: str
    checked: CeilingCheck
    p_nk: np.ndarray
    weights_n: np.ndarray
    coverage: float


def diagnose(
    model: nn.Module,
    train: Batch,
    query: Batch,
    classes: Sequence[str],
    *,
    kind: Kind = "ekfac",
    damping: float = 0.1,
    samples: int | None = None,
    embeddings: bool = False,
    bins: int = 8,
    seed: int = 0,
    batch_size: int = 256,
    loss: Loss = per_sample_loss,
    logits: Logits = logits_of,
    mask: Mask | None = None,
    progress: Progress = iter,
) -> Diagnosis:
    """Diagnoses ``model`` as it is, trained on ``train``, from ``query`` samples that it was not trained on.

    Both are tuples of tensors: what the model takes, then the labels 0 to k - 1, of ``classes``; they are moved to the
    model's device. ``torch.utils.data.default_collate(list(dataset))`` makes one of a Dataset. ``bins`` of the query
    samples of each class (fewer where the smallest class has fewer samples, at least 3) are the unit of noise of the
    verdict. The other options are those of ``fit_factors`` and ``influence_vectors``; the model is left as it was.

    Raises InputError for labels that are no class, and for a class with fewer than 3 query samples.
    """
    place = next(model.parameters()).device
    train, query = (
        _checked(name, part, place, classes) for name, part in (("train", train), ("query", query))
    )
    smallest = int(torch.bincount(query[-1], minlength=len(classes)).min())
    if smallest < 3:
        raise InputError(
            f"query: expected 3 samples or more of every class; got {smallest} of one"
        )
    count = min(bins, smallest)
    groups = validation_bins(query[-1].cpu().numpy(), count, np.random.default_rng(seed))
    options = {
        "kind": kind,
        "damping": damping,
        "samples": samples,
        "embeddings": embeddings,
        "mask": mask,
    }
    curvature = fit_factors(
        model, train, seed=seed, batch_size=batch_size, logits=logits, progress=progress, **options
    )  # type: ignore[arg-type]
    asked = (torch.from_numpy(groups).to(place), len(classes) * count)
    found = influence_vectors(
        model,
        curvature,
        train,
        query,
        *asked,
        batch_size=batch_size,
        loss=loss,
        query_loss=loss,
        progress=progress,
    )
    p_nkb = found.cpu().double().numpy().reshape(-1, len(classes), count)
    p_nk, labels_n, checked = p_nkb.sum(axis=2), train[-1].cpu().numpy(), check_ceiling(p_nkb)
    weights_n = direction_weights(direction(p_nk, labels_n).delta_n, labels_n)
    return Diagnosis(
        verdict(checked, tuple(classes)), checked, p_nk, weights_n, coverage(model, embeddings)
    )


def _checked(
    name: str, batch: Batch, place: torch.device, classes: Sequence[str]
) -> tuple[Tensor, ...]:
    sizes = {len(part) for part in batch}
    if len(batch) < 2 or len(sizes) > 1:
        raise InputError(
            f"{name}: expected inputs and as many labels; got parts of {sorted(sizes)} samples"
        )
    low, high = int(batch[-1].min()), int(batch[-1].max())
    if low < 0 or high >= len(classes):
        raise InputError(f"{name}: expected labels 0 to {len(classes) - 1}; got {low} to {high}")
    return tuple(part.to(place) for part in batch)
