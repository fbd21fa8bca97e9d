"""Ask what it changes that the statistics of batch norm move with the weights, or are held fixed.

    python -m benchmarks.science.batch_norm cifar10_noisy        ten minutes

P at the end of the training is computed both ways, with the same factors, and scored and calibrated
by the subsets that the stage ``subsets`` has trained on. The model is trained anew with the joint
direction of each P, beside plain training of the same seeds, and measured on the test split. For
each layer stands how long the class gradients are, and how they point, moving beside fixed. The
working directory is the workspace of a measured data set, up to its stage ``subsets``. The result
is written to reports/benchmarks/batch_norm.json, a part for each data set.
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from benchmarks import command
from benchmarks.machine import machine
from benchmarks.science.halves import scores_of
from benchmarks.science.weight_sources import REGION, accuracies, net
from catwise.core.losses import per_sample_loss
from catwise.experiments.weighted_training import weighted_trainings
from catwise.improvement.proposals import Evidence, direction
from catwise.influence.curvature import from_tensors
from catwise.influence.moving_statistics import Statistics, moving_statistics
from catwise.influence.reading import as_samples
from catwise.influence.vectors import group_gradients, influence_vectors
from catwise.pipeline.artifacts import last_epoch, load_model, read_splits, read_tensors
from catwise.pipeline.files import read_npz
from catwise.pipeline.stage import settings

__all__ = ["compare", "gains"]

SIZE = 0.5  # mean of |w - 1|
FRESH = 6000  # the first seed of the new trainings, which no stage uses


def compare(dataset: str, seeds: int) -> dict[str, Any]:
    """Return scores, slopes and gains of P both ways, and the class gradients by layer."""
    parameters = settings(dataset)
    torch.set_num_threads(parameters.threads)
    splits, classes = read_splits(dataset, parameters.device)
    train, query = splits["train"], splits["validation_a"]
    epoch = last_epoch(parameters.train)
    model = load_model(dataset, parameters.train, train, epoch)
    fitted = Path("models", "curvature", dataset, f"epoch_{epoch:03d}.safetensors")
    curvature = from_tensors(read_tensors(fitted, train[-1].device))
    about = (query, query[-1], len(classes))
    size = parameters.influence.batch_size
    labels_n = train[-1].cpu().numpy()
    counts_k = np.bincount(query[-1].cpu().numpy(), minlength=len(classes))
    subsets = read_npz(Path("reports", "subsets", dataset, "subsets.npz"))
    samples, vectors, ways, gradients = as_samples(train, model), {}, {}, {}
    for way in get_args(Statistics):
        begin = time.perf_counter()
        p = influence_vectors(model, curvature, train, *about, batch_size=size, statistics=way)
        seconds = time.perf_counter() - begin
        vectors[way] = p.cpu().numpy().astype(np.float64)
        ways[way] = scores_of(subsets, vectors[way], labels_n, counts_k) | {"seconds": seconds}
        moving = moving_statistics(model, samples, per_sample_loss, way)
        gradients[way] = group_gradients(model, *about, batch_size=size, moving=moving)
    layers = {name: _beside(q, gradients["fixed"][name]) for name, q in gradients["moving"].items()}
    trained = {"subsets": len(subsets["kept_hn"]), "seeds": subsets["loss_hsk"].shape[1]}
    gained = {"new seeds": seeds, "gains": gains(dataset, vectors, seeds)} if seeds else {}
    return {**machine("cpu"), **trained, "ways": ways, **gained, "layers": layers}


def gains(dataset: str, vectors: dict[str, np.ndarray], seeds: int) -> dict[str, Any]:
    """Return what a new training gains with the weights of each P, in points on the test split.

    The intervals are Student's over the seeds. ``worst`` is of the class that is worst over all
    seeds on either side.
    """
    splits, _ = read_splits(dataset, "cpu")
    labels_n, labels_m = (splits[split][-1].numpy() for split in ("train", "test"))
    ones_n = np.ones(len(labels_n))
    weights = [ones_n]
    for p_nk in vectors.values():
        weights.append(REGION.nearest(direction(SIZE)(Evidence(p_nk, labels_n, ones_n))))
    fresh = range(FRESH, FRESH + seeds)
    with weighted_trainings(dataset, settings(dataset), "batch_norm") as run:
        accuracy_wsk, mean_ws, worst_ws = accuracies(run, weights, fresh, labels_m)
    change_wk = (accuracy_wsk - accuracy_wsk[0]).mean(axis=1)
    return {
        way: {
            "mean": asdict(net(mean_ws[number] - mean_ws[0])),
            "worst": asdict(net(worst_ws[number] - worst_ws[0])),
            "beyond fixed": asdict(
                net(mean_ws[number] - mean_ws[1 + list(vectors).index("fixed")])
            ),
            "by class": change_wk[number].tolist(),
        }
        for number, way in enumerate(vectors, start=1)
    }


def _beside(moving_koi: Tensor, fixed_koi: Tensor) -> dict[str, float]:
    """Return the ratio of the lengths of two class gradients of a layer, and their cosine."""
    lengths = [float(torch.linalg.norm(part)) for part in (moving_koi, fixed_koi)]
    product = float((moving_koi * fixed_koi).sum())
    return {"length": lengths[0] / lengths[1], "cosine": product / (lengths[0] * lengths[1])}


def main() -> None:
    seeds = {"type": int, "default": 5, "help": "trainings with each weights, or 0"}
    command.by_dataset(__doc__, "batch_norm.json", compare, seeds=seeds)


if __name__ == "__main__":
    main()
