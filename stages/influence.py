"""Compute the influence vector of every training sample on every class, from validation A."""

from functools import partial
from pathlib import Path

import numpy as np
import torch

from catwise.core import precision
from catwise.core.errors import InputError
from catwise.core.progress import progress
from catwise.influence import curvature
from catwise.influence.vectors import influence_vectors, validation_bins
from catwise.pipeline.artifacts import load_model, read_splits, read_tensors
from catwise.pipeline.files import folder, read_json, read_npz, write_json, write_npz
from catwise.pipeline.stage import run, settings
from catwise.training import models


def main(dataset: str) -> None:
    parameters = settings(dataset)
    section = parameters.influence
    torch.set_num_threads(parameters.threads)
    splits, classes = read_splits(dataset, parameters.device)
    factors = Path("models", "curvature", dataset)
    about = read_json(factors / "curvature.json")
    query = splits["validation_a"]
    place = query[0].device
    groups = validation_bins(
        query[-1].cpu().numpy(), section.bins, np.random.default_rng(section.seed)
    )
    shape = (-1, len(classes), section.bins)
    out = folder("reports", "influence", dataset)
    binned = folder("reports", "influence", dataset, "bins")
    for stale in binned.glob("epoch_*.npz"):
        stale.unlink()
    for epoch, weights in about["weights"].items():
        model = load_model(dataset, parameters.train, splits["train"], int(epoch))
        if models.fingerprint(model) != weights:
            raise InputError(
                f"{factors / 'curvature.json'}: expected factors of checkpoint {epoch}; got those of other weights"
            )
        path = factors / f"epoch_{int(epoch):03d}.safetensors"
        fitted = curvature.from_tensors(read_tensors(path, place))
        shown = partial(progress, label=f"influence {dataset} {epoch}")
        options = {"batch_size": section.batch_size, "progress": shown}
        count = len(classes) * section.bins
        with precision.precision(section.precision, place.type):
            asked = (query, torch.from_numpy(groups).to(place), count)
            found = influence_vectors(model, fitted, splits["train"], *asked, **options)
        p_nkb = found.cpu().numpy().astype(np.float32).reshape(shape)
        write_npz(binned / f"epoch_{int(epoch):03d}.npz", P=p_nkb)
    vectors = p_nkb.sum(axis=2, dtype=np.float64)  # at the last checkpoint
    write_npz(out / "vectors.npz", P=vectors.astype(np.float32))
    flipped = read_npz(Path("data", dataset, "arrays.npz"))["flipped"]
    write_json(out / "metrics.json", {"coverage": about["coverage"], **summary(vectors, flipped)})


def summary(vectors: np.ndarray, flipped: np.ndarray) -> dict[str, float]:
    """Shares of the samples that help or harm every class, and how well P finds the flipped labels."""
    from sklearn.metrics import roc_auc_score

    found = {
        "joint_positive_share": float((vectors > 0).all(axis=1).mean()),
        "joint_negative_share": float((vectors < 0).all(axis=1).mean()),
        # 0 at an unregularised optimum
        "sum_over_mass": float(
            np.abs(vectors.sum(axis=0)).max() / np.abs(vectors).sum(axis=0).max()
        ),
    }
    if flipped.any():
        found["flipped_label_auc"] = float(roc_auc_score(flipped, -vectors.sum(axis=1)))
    return found


if __name__ == "__main__":
    run(main, __doc__)
