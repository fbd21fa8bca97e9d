"""Compute the influence vector of every training sample on every class, from validation A."""

from functools import partial
from pathlib import Path

import numpy as np
import torch

from catwise.config.schema import DataSet, Factored, Logistic
from catwise.core.device import torch_device
from catwise.core.errors import InputError
from catwise.core.fingerprint import fingerprint
from catwise.core.precision import precision
from catwise.core.progress import progress
from catwise.core.statistics import area_under_curve
from catwise.experiments import resume
from catwise.experiments.along_training import training_of, vectors_along
from catwise.influence.curvature import from_tensors
from catwise.influence.trajectory import average
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.artifacts import flipped_labels, load_model, read_splits, read_tensors
from catwise.pipeline.files import folder, read_json, write_json, write_npz
from catwise.pipeline.fitted_factors import as_trained, binned
from catwise.pipeline.stage import run, section_errors, settings
from catwise.pipeline.tables import VECTORS
from catwise.pipeline.workers import pool

# of bins, by kind
FILES = {"endpoint": "endpoint_runs", "segments": "segments", "last_layer": "last_layer"}


def main(dataset: str) -> None:
    parameters = settings(dataset)
    section = parameters.influence
    torch.set_num_threads(parameters.threads)
    splits, classes = read_splits(dataset, parameters.device)
    train, query = splits["train"], splits["validation_a"]
    device = query[-1].device
    with section_errors(dataset, "influence", section):
        groups_m = binned(query, section)
    fitted = Path("models", "curvature", dataset)
    record = read_json(fitted / "curvature.json")
    out = folder("reports", "influence", dataset)
    bins = folder("reports", "influence", dataset, "bins")
    for stale in bins.glob("*.npz"):
        stale.unlink()
    for number, weights in record["weights"].items():
        epoch = int(number)
        model = load_model(dataset, parameters.train, train, epoch)
        if fingerprint(model) != weights:
            raise InputError(
                f"{fitted / 'curvature.json'}: expected factors of checkpoint {epoch}; got those "
                f"of other weights; run `dvc repro`"
            )
        tensors = read_tensors(fitted / f"epoch_{epoch:03d}.safetensors", device)
        with precision(section.precision, device.type):
            vectors = influence_vectors(
                model,
                from_tensors(tensors),
                as_trained(train, section),
                query,
                torch.from_numpy(groups_m).to(device),
                len(classes) * section.bins,
                batch_size=section.batch_size,
                statistics=section.statistics,
                progress=partial(progress, label=f"influence {dataset} {epoch}"),
            )
        p_nkb = vectors.cpu().numpy().astype(np.float32).reshape(-1, len(classes), section.bins)
        write_npz(bins / f"epoch_{epoch:03d}.npz", P=p_nkb)
    p_nk = p_nkb.sum(axis=2, dtype=np.float64)  # at the last checkpoint
    arrays = {VECTORS["endpoint"]: p_nk}
    for name, mean_nkb in beyond_one_endpoint(dataset, parameters).items():
        write_npz(bins / f"{name}.npz", P=mean_nkb.astype(np.float32))
        arrays[VECTORS[name]] = mean_nkb.sum(axis=2)
    single = {key: values_nk.astype(np.float32) for key, values_nk in arrays.items()}
    write_npz(out / "vectors.npz", **single)
    flipped_n = flipped_labels(dataset)
    write_json(out / "metrics.json", {"coverage": record["coverage"], **summary(p_nk, flipped_n)})
    resume.clear("influence", dataset)


def beyond_one_endpoint(dataset: str, parameters: DataSet) -> dict[str, np.ndarray]:
    """Compute P averaged over trainings with other seeds: (n, k, b), by the name of its file.

    endpoint_runs   at the last checkpoint of each, where there are several
    segments        by segments of each, where segments are asked for
    last_layer      at the last checkpoint of each, over the last layer alone
    """
    section = parameters.influence
    kinds = ["last_layer", *(["segments"] if section.segments else [])]
    kinds += ["endpoint"] if section.runs > 1 else []
    exact = isinstance(parameters.train, Logistic) or not isinstance(parameters.curvature, Factored)
    if exact:
        return {}
    along = training_of(dataset, parameters)
    with pool(torch_device(along.device), along.threads) as spread:
        by_kind = vectors_along(along, kinds, range(section.runs), "influence", spread)
    return {
        FILES[kind]: average(runs).reshape(len(runs[0]), -1, section.bins)
        for kind, runs in by_kind.items()
    }


def summary(p_nk: np.ndarray, flipped_n: np.ndarray) -> dict[str, float]:
    """Compute the shares of samples that help or harm every class, and how well P finds the flips.

    ``sum_over_mass``, max_k |sum_i P[i, k]| / max_k sum_i |P[i, k]|, is 0 at an unregularised
    optimum. ``flipped_label_auc`` is that of -sum_k P[i, k], where labels were flipped.
    """
    shares = {
        "joint_positive_share": float((p_nk > 0).all(axis=1).mean()),
        "joint_negative_share": float((p_nk < 0).all(axis=1).mean()),
        "sum_over_mass": float(np.abs(p_nk.sum(axis=0)).max() / np.abs(p_nk).sum(axis=0).max()),
    }
    if flipped_n.any():
        shares["flipped_label_auc"] = area_under_curve(flipped_n, -p_nk.sum(axis=1))
    return shares


if __name__ == "__main__":
    run(main, __doc__)
