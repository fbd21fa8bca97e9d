"""Fit the curvature at chosen checkpoints: the exact Hessian, or factors per layer."""

from functools import partial

import torch

from catwise.config.schema import Exact
from catwise.core.errors import InputError
from catwise.core.fingerprint import fingerprint
from catwise.core.progress import progress
from catwise.influence.layers import coverage
from catwise.pipeline.artifacts import last_epoch, load_model, read_splits, write_tensors
from catwise.pipeline.files import folder, write_json
from catwise.pipeline.fitted_factors import fit_curvature
from catwise.pipeline.stage import run, section_errors, settings


def main(dataset: str) -> None:
    parameters = settings(dataset)
    train, section = parameters.train, parameters.curvature
    torch.set_num_threads(parameters.threads)
    batch = read_splits(dataset, parameters.device)[0]["train"]
    out = folder("models", "curvature", dataset)
    earlier: list[int] = [] if isinstance(section, Exact) else section.earlier
    weights = {}  # fingerprints: factors are of no use for other weights
    for epoch in [*earlier, last_epoch(train)]:
        model = load_model(dataset, train, batch, epoch)
        shown = partial(progress, label=f"curvature {dataset} {epoch}")
        with section_errors(dataset, "curvature", section):
            curvature = fit_curvature(model, batch, train, section, shown)
        tensors = curvature.tensors()
        for name, tensor in tensors.items():
            if not tensor.isfinite().all():
                raise InputError(
                    f"curvature of {dataset}: expected finite factors; got others in {name}"
                )
        write_tensors(out / f"epoch_{epoch:03d}.safetensors", tensors)
        weights[epoch] = fingerprint(model)
    record = {
        "kind": section.kind,
        "weights": weights,
        "coverage": coverage(model, curvature.names),
    }
    write_json(out / "curvature.json", record)


if __name__ == "__main__":
    run(main, __doc__)
