"""Fit the curvature at the last checkpoint and chosen earlier ones: the exact Hessian, or factors per layer."""

from functools import partial
from typing import Any

import torch
from torch import nn

from catwise.core import precision
from catwise.core.errors import InputError
from catwise.core.losses import Batch
from catwise.core.progress import progress
from catwise.influence import curvature, layers
from catwise.influence.factors import fit_factors
from catwise.pipeline.artifacts import (
    last_epoch,
    load_model,
    read_splits,
    real_positions,
    write_tensors,
)
from catwise.pipeline.files import folder, write_json
from catwise.pipeline.stage import run, settings
from catwise.training import models


def main(dataset: str) -> None:
    parameters = settings(dataset)
    train, section = parameters.train, parameters.curvature
    torch.set_num_threads(parameters.threads)
    splits, _ = read_splits(dataset, parameters.device)
    part = splits["train"]
    out = folder("models", "curvature", dataset)
    weights = {}
    for epoch in [*getattr(section, "earlier", []), last_epoch(train)]:
        model = load_model(dataset, train, part, epoch)
        tensors = fit(model, part, train, section, f"curvature {dataset} {epoch}").tensors()
        for name, tensor in tensors.items():
            if not tensor.isfinite().all():
                raise InputError(
                    f"curvature of {dataset}: expected finite factors; got a {name} that is not"
                )
        write_tensors(out / f"epoch_{epoch:03d}.safetensors", tensors)
        weights[epoch] = models.fingerprint(model)
    coverage = layers.coverage(model, getattr(section, "embeddings", False))
    write_json(
        out / "curvature.json", {"kind": section.kind, "weights": weights, "coverage": coverage}
    )


def fit(model: nn.Module, part: Batch, train: Any, section: Any, label: str) -> curvature.Curvature:
    """The curvature as the section says, at the model's weights."""
    if section.kind == "exact":
        return curvature.exact_hessian(model, part, train.l2)
    if section.kind == "kronfluence":
        from catwise.influence import kronfluence_reference

        return kronfluence_reference.fit_kronfluence(
            model, part, **section.model_dump(include={"damping", "seed", "batch_size"})
        )
    options = section.model_dump(
        include={"kind", "damping", "draw", "seed", "batch_size", "embeddings"}
    )
    samples = None if section.samples == "all" else section.samples
    shown = partial(progress, label=label)
    with precision.precision(section.precision, part[0].device.type):
        return fit_factors(
            model, part, samples=samples, mask=real_positions(part), progress=shown, **options
        )


if __name__ == "__main__":
    run(main, __doc__)
