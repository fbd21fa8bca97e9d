"""Compute influence vectors as the pipeline does, each kind from the checkpoints on."""

import os
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from benchmarks.peers.case import Work
from catwise.experiments import resume
from catwise.experiments.along_training import Along, vectors_along
from catwise.influence.trajectory import average
from catwise.pipeline.workers import pool

__all__ = ["OURS"]


def vectors(work: Work, kind: str, several: bool) -> np.ndarray:
    """Compute P (n, k) of one kind; with ``several`` the mean over the runs of params.yaml."""
    section = work.section
    changes = {"bins": 1, "batch_size": work.batch, "precision": "float32"}
    influence = section.influence.model_copy(update=changes)
    along = Along(work.dataset, "cpu", 1, section.train, section.curvature, influence)
    runs = section.influence.runs if several else 1
    os.environ["CATWISE_WORKERS"] = "1"
    stage = f"peers-{os.getpid()}"  # of its own, so that nothing is there that was kept before
    with pool(torch.device("cpu"), 1) as spread:
        by_run = vectors_along(along, [kind], range(runs), stage, spread)[kind]
    resume.clear(stage, work.dataset)
    return average(by_run)


OURS: dict[str, Callable[[Work], np.ndarray]] = {
    "endpoint": partial(vectors, kind="endpoint", several=False),
    "segments": partial(vectors, kind="segments", several=False),
    "endpoint, runs": partial(vectors, kind="endpoint", several=True),
    "segments, runs": partial(vectors, kind="segments", several=True),
    "last layer": partial(vectors, kind="last_layer", several=False),
    "last layer, runs": partial(vectors, kind="last_layer", several=True),
    "exact": partial(vectors, kind="exact", several=False),
}
