"""Trim the data of a convex model in rounds, beside rounds that remove at random (Figure 5)."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from catwise.config.schema import Trimming
from catwise.core.progress import progress
from catwise.experiments.retraining import retrain
from catwise.influence.curvature import exact_hessian
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.artifacts import read_splits
from catwise.pipeline.files import read_npz, write_csv, write_npz
from catwise.removal import trimming
from catwise.training.evaluate import class_rows, per_class

__all__ = ["trim"]


def trim(dataset: str, device: str, train: Any, section: Trimming, out: Path) -> dict[str, float]:
    """Trim by influence and at random, write every state to ``out``, and summarise the rounds.

    ``train`` is the section of the training, of logistic regression. Precision and recall are of
    the removed samples as a search for flipped labels.
    """
    splits, classes = read_splits(dataset, device)
    flipped_n = read_npz(Path("data", dataset, "arrays.npz"))["flipped"]
    batch, query, test = (splits[name] for name in ("train", "validation_a", "test"))
    n = len(batch[-1])

    def vectors(kept: np.ndarray) -> np.ndarray:
        model, part = retrain(train, dataset, batch, kept), tuple(values[kept] for values in batch)
        hessian, groups = exact_hessian(model, part, train.l2), query[-1]
        return influence_vectors(
            model, hessian, part, query, groups, len(classes), batch_size=len(kept)
        ).numpy()

    rounds = trimming.trim(n, vectors, section.max_rounds)
    trimmed = [step for step in rounds if len(step.removed)]  # all but a last one that ends it
    counts = [len(step.removed) for step in trimmed]
    states = {("influence", 0): [np.arange(n), *(step.left for step in trimmed)]}
    for seed in range(section.seeds):
        rng = np.random.default_rng(seed)
        states["random", seed] = trimming.trim_at_random(n, counts, rng)
    rows: list[dict[str, Any]] = []
    arrays = round_arrays(rounds)
    for (arm, seed), arm_states in progress(states.items(), f"removal {dataset}", len(states)):
        for number, kept in enumerate(arm_states):
            model = retrain(train, dataset, batch, kept)
            state = {"arm": arm, "seed": seed, "round": number, "removed": n - len(kept)}
            state["flipped_removed"] = int(flipped_n.sum() - flipped_n[kept].sum())
            rows += class_rows(*per_class(model, test, len(classes)), classes, state)
            if arm == "influence":
                theta = torch.nn.utils.parameters_to_vector(model.parameters())
                arrays[f"{number}/boundary"] = theta.detach().numpy()
    write_csv(out / "rounds.csv", rows)
    write_npz(out / "rounds.npz", **arrays)
    removed = np.concatenate([step.removed for step in rounds])
    hits, flips = float(flipped_n[removed].sum()), float(flipped_n.sum())
    return {
        "rounds": len(counts),
        "removed": len(removed),
        "precision": hits / len(removed) if len(removed) else float("nan"),
        "recall": hits / flips if flips else float("nan"),
    }


def round_arrays(rounds: list[trimming.Round]) -> dict[str, np.ndarray]:
    """Name the arrays of every round as rounds.npz holds them."""
    arrays = {}
    for number, step in enumerate(rounds):
        arrays[f"{number}/kept"] = step.kept
        arrays[f"{number}/P"] = step.vectors
        arrays[f"{number}/removed"] = step.removed
    return arrays
