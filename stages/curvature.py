"""Fit the curvature at the last checkpoint: the exact Hessian, or factors per layer."""

from functools import partial

import torch

from catwise import curvature, factors, layers, models
from catwise.errors import InputError
from catwise.progress import progress
from stages.io import folder, run, settings, write_json
from stages.tensors import last_epoch, load_model, read_splits, real_positions, write_tensors


def main(dataset: str) -> None:
    train, chosen, device, threads = settings(dataset, "train", "curvature", "device", "threads")
    torch.set_num_threads(threads)
    splits, _ = read_splits(dataset, device)
    part = splits["train"]
    epoch = last_epoch(train)
    model = load_model(dataset, train, part, epoch)
    if chosen.kind == "exact":
        fitted: curvature.Curvature = curvature.exact(model, part, train.l2)
    elif chosen.kind == "kronfluence":
        from catwise import reference

        fitted = reference.fit(model, part, **chosen.model_dump(include={"damping", "seed", "batch_size"}))
    else:
        options = chosen.model_dump(include={"kind", "damping", "draw", "seed", "batch_size", "embeddings"})
        samples = None if chosen.samples == "all" else chosen.samples
        shown = partial(progress, label=f"curvature {dataset}")
        with layers.precision(chosen.precision, part[0].device.type):
            fitted = factors.fit(model, part, samples=samples, mask=real_positions(part), progress=shown, **options)
    tensors = fitted.tensors()
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise InputError(f"curvature of {dataset}: expected finite factors; came a {name} that is not")
    out = folder("models", "curvature", dataset)
    write_tensors(out / "factors.safetensors", tensors)
    write_json(
        out / "curvature.json",
        {
            "kind": chosen.kind,
            "epoch": epoch,
            "weights": models.fingerprint(model),
            "coverage": layers.coverage(model, getattr(chosen, "embeddings", False)),
        },
    )


if __name__ == "__main__":
    run(main, __doc__)
