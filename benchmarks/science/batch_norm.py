"""Ask what it changes that the statistics of batch norm move with the weights, or are held fixed.

    python -m benchmarks.science.batch_norm cifar10_noisy        a minute

P at the end of the training is computed both ways, with the same factors, and scored and calibrated
by the subsets that the stage ``fidelity`` has trained on. For each layer before a batch norm stands
how long the class gradients are and how they point, moving beside fixed. The working directory is
the workspace of a measured data set, up to its stage ``fidelity``. The result is written to
reports/benchmarks/batch_norm.json, a part for each data set.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from benchmarks.machine import machine
from benchmarks.science.halves import scores_of
from catwise.core.losses import per_sample_loss
from catwise.influence.curvature import from_tensors
from catwise.influence.moving_statistics import Statistics, moving_statistics
from catwise.influence.samples import as_samples
from catwise.influence.vectors import group_gradients, influence_vectors
from catwise.pipeline.artifacts import last_epoch, load_model, read_splits, read_tensors
from catwise.pipeline.files import read_npz
from catwise.pipeline.stage import settings

__all__ = ["compare"]


def compare(dataset: str) -> dict[str, Any]:
    """Return the scores and the slopes of P both ways, and the class gradients by layer."""
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
    subsets = read_npz(Path("reports", "fidelity", dataset, "subsets.npz"))
    samples, ways, gradients = as_samples(train, model), {}, {}
    for way in get_args(Statistics):
        begin = time.perf_counter()
        p = influence_vectors(model, curvature, train, *about, batch_size=size, statistics=way)
        seconds = time.perf_counter() - begin
        p_nk = p.cpu().numpy().astype(np.float64)
        ways[way] = scores_of(subsets, p_nk, labels_n, counts_k) | {"seconds": seconds}
        moving = moving_statistics(model, samples, per_sample_loss, size, way)
        gradients[way] = group_gradients(model, *about, batch_size=size, moving=moving)
    layers = {name: _beside(q, gradients["fixed"][name]) for name, q in gradients["moving"].items()}
    trained = {"subsets": len(subsets["kept_hn"]), "seeds": subsets["loss_hsk"].shape[1]}
    return {**machine("cpu"), **trained, "ways": ways, "layers": layers}


def _beside(moving_koi: Tensor, fixed_koi: Tensor) -> dict[str, float]:
    """Return the ratio of the lengths of two class gradients of a layer, and their cosine."""
    lengths = [float(torch.linalg.norm(part)) for part in (moving_koi, fixed_koi)]
    product = float((moving_koi * fixed_koi).sum())
    return {"length": lengths[0] / lengths[1], "cosine": product / (lengths[0] * lengths[1])}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument(
        "out", nargs="?", type=Path, default=Path("reports/benchmarks/batch_norm.json")
    )
    arguments = parser.parse_args()
    parts = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    parts[arguments.dataset] = compare(arguments.dataset)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(parts, indent=1) + "\n")


if __name__ == "__main__":
    main()
