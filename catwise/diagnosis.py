"""Diagnose a trained classifier in one call: curvature, influence, ceiling and weights."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from catwise.ceiling.verdict import CeilingCheck, check_ceiling, verdict
from catwise.core.errors import InputError
from catwise.core.losses import Batch, Loss, per_sample_loss
from catwise.core.progress import Progress
from catwise.influence.factors import Kind, Logits, Mask, fit_factors, logits_of
from catwise.influence.layers import coverage
from catwise.influence.vectors import influence_vectors, validation_bins
from catwise.reweighting.joint_direction import joint_weights

__all__ = ["Diagnosis", "diagnose"]

FEWEST = 3  # query samples of a class: their spread over as many bins is the noise of the verdict


@dataclass(frozen=True)
class Diagnosis:
    """Hold whether there is room, which samples stand in the way, and which weights use the room.

    ceiling     the figures of the ceiling and their classes: ``ceiling.room`` says whether every
                class gains significantly at once, ``ceiling.blocking`` which two classes stand in
                each other's way most
    p_nk        the influence vectors P, in nats of summed query loss; positive entries help a class
    weights_n   weights of the training samples, in [0, 2] and with a mean of 1 in each class, along
                the direction that raises every class at once to first order; at a ceiling that
                direction is noise, and the weights are too
    coverage    the share of the model's parameters that P speaks of

    ``print(diagnosis)`` writes all of this in words.
    """

    ceiling: CeilingCheck
    p_nk: np.ndarray = field(repr=False)
    weights_n: np.ndarray = field(repr=False)
    coverage: float

    @property
    def verdict(self) -> str:
        """Say whether there is room, with its interval, or a ceiling, with two blocking classes."""
        return verdict(self.ceiling)

    @property
    def detrimental(self) -> np.ndarray:
        """Number the training samples, those that most harm all classes together first."""
        return self.p_nk.sum(axis=1).argsort(kind="stable")

    def __str__(self) -> str:
        lines = [f"verdict: {self.verdict}"]
        if self.ceiling.room:  # at a ceiling the verdict names them
            lines.append(f"most in each other's way: {' and '.join(self.ceiling.blocking)}")
        numbers = ", ".join(map(str, self.detrimental[:10]))
        lines.append(f"most detrimental training samples: {numbers}")
        lines.append(f"covered by the influence: {100 * self.coverage:.3g} % of the parameters")
        return "\n".join(lines)


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
    """Diagnose ``model`` as it is, trained on ``train``, from ``query`` samples that it never saw.

    ``train`` and ``query`` are tuples of tensors: what the model takes, then the labels 0 to k - 1,
    numbers of ``classes``. They are moved to the device of the model, which is left as it was.
    ``torch.utils.data.default_collate(list(dataset))`` makes such a tuple of a Dataset.

    ``bins`` of the query samples of each class are the unit of noise of the verdict; there are
    fewer where the smallest class has fewer samples, but at least 3. All other options are those of
    ``fit_factors`` and ``influence_vectors``.

    Raises InputError for a label that is no class, and for a class with fewer than 3 query samples.

    >>> features = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    >>> labels = (features[:, 0] > 0).long()
    >>> train, query = (features[:200], labels[:200]), (features[200:], labels[200:])
    >>> model = nn.Linear(2, 2)
    >>> diagnose(model, train, query, classes=["left", "right"]).weights_n.shape
    (200,)
    """
    device = next(model.parameters()).device
    train = _on_device("train", train, classes, device)
    query = _on_device("query", query, classes, device)
    sizes_k = torch.bincount(query[-1], minlength=len(classes))
    smallest = int(sizes_k.min())
    if smallest < FEWEST:
        name = classes[int(sizes_k.argmin())]
        raise InputError(
            f"query: expected {FEWEST} samples or more of every class; got {smallest} of {name!r}"
        )
    count = min(bins, smallest)
    factors = fit_factors(
        model,
        train,
        kind=kind,
        damping=damping,
        seed=seed,
        batch_size=batch_size,
        samples=samples,
        logits=logits,
        mask=mask,
        embeddings=embeddings,
        progress=progress,
    )
    groups_m = validation_bins(query[-1].cpu().numpy(), count, np.random.default_rng(seed))
    vectors = influence_vectors(
        model,
        factors,
        train,
        query,
        torch.from_numpy(groups_m).to(device),
        len(classes) * count,
        batch_size=batch_size,
        loss=loss,
        query_loss=loss,
        progress=progress,
    )
    p_nkb = vectors.cpu().double().numpy().reshape(-1, len(classes), count)
    p_nk = p_nkb.sum(axis=2)
    return Diagnosis(
        ceiling=check_ceiling(p_nkb, classes),
        p_nk=p_nk,
        weights_n=joint_weights(p_nk, train[-1].cpu().numpy()),
        coverage=coverage(model, embeddings),
    )


def _on_device(
    name: str, batch: Batch, classes: Sequence[str], device: torch.device
) -> tuple[Tensor, ...]:
    """Return the batch on the device. Raises InputError for parts or labels that do not fit."""
    sizes = {len(part) for part in batch}
    if len(batch) < 2 or len(sizes) > 1:
        raise InputError(
            f"{name}: expected inputs and as many labels; got parts of {sorted(sizes)} samples"
        )
    low, high = int(batch[-1].min()), int(batch[-1].max())
    if low < 0 or high >= len(classes):
        raise InputError(f"{name}: expected labels 0 to {len(classes) - 1}; got {low} to {high}")
    return tuple(part.to(device) for part in batch)
