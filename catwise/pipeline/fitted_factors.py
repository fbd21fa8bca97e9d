"""Translate sections of the parameters: into a fit at the weights of a model, samples and bins."""

import numpy as np
from torch import nn

from catwise.config.schema import Exact, Factored, Influence, Logistic
from catwise.core.losses import Batch
from catwise.core.precision import precision
from catwise.core.progress import Progress
from catwise.influence.augmented import Augmented
from catwise.influence.curvature import Curvature, FactoredCurvature, exact_hessian
from catwise.influence.factors import Kind, fit_factors
from catwise.influence.samples import Data
from catwise.influence.vectors import validation_bins
from catwise.pipeline.artifacts import real_positions
from catwise.training.augment import crop_and_flip_one

__all__ = ["as_trained", "binned", "fit_curvature", "fit_own_factors"]


def as_trained(part: Batch, section: Influence) -> Data:
    """Return training samples with the crops and flips that the section averages over, if any."""
    draws = section.augmentations
    return Augmented(part, crop_and_flip_one, draws) if draws else part


def binned(query: Batch, section: Influence) -> np.ndarray:
    """Deal query samples into the section's bins of each class: see ``validation_bins``."""
    labels_m = query[-1].cpu().numpy()
    return validation_bins(labels_m, section.bins, np.random.default_rng(section.seed))


def fit_curvature(
    model: nn.Module,
    batch: Batch,
    train: object,
    section: Exact | Factored,
    progress: Progress = iter,
) -> Curvature:
    """Fit what the section says: the exact Hessian, our factors, or those of kronfluence.

    ``train`` is the section of the training, whose penalty is a part of the exact Hessian.
    """
    if isinstance(section, Exact):
        if not isinstance(train, Logistic):
            raise TypeError("an exact Hessian is that of logistic regression alone")
        return exact_hessian(model, batch, train.l2)
    if section.kind == "kronfluence":
        from catwise.influence.kronfluence_reference import fit_kronfluence

        return fit_kronfluence(
            model,
            batch,
            damping=section.damping,
            seed=section.seed,
            batch_size=section.batch_size,
        )
    return fit_own_factors(model, batch, section, progress)


def fit_own_factors(
    model: nn.Module, batch: Batch, section: Factored, progress: Progress = iter
) -> FactoredCurvature:
    """Fit our factors as the section says, in its precision.

    The kind ``kronfluence`` is taken as ``ekfac``: its own fit is of that kind, and an experiment
    that fits again and again, at an epoch without a checkpoint, does so with ours.
    """
    kind: Kind = "ekfac" if section.kind == "kronfluence" else section.kind
    with precision(section.precision, batch[-1].device.type):
        return fit_factors(
            model,
            batch,
            kind=kind,
            damping=section.damping,
            seed=section.seed,
            batch_size=section.batch_size,
            draw=section.draw,
            samples=None if section.samples == "all" else section.samples,
            mask=real_positions(batch),
            embeddings=section.embeddings,
            progress=progress,
        )
