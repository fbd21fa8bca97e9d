"""Iterated trimming of a convex model (Figure 5), the ``removal`` stage of the synthetic data
sets.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from catwise.core.progress import progress
from catwise.experiments.retraining import retrain
from catwise.influence import curvature
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.artifacts import read_splits
from catwise.pipeline.files import read_npz, write_csv, write_npz
from catwise.removal import trimming
from catwise.training import evaluate

__all__ = ["trim"]


def trim(dataset: str, device: str, train: Any, chosen: Any, out: Path) -> dict[str, float]:
    """Rounds of removing the samples that harm every class, beside rounds of removing as many at
    random.
    """
    splits, classes = read_splits(dataset, device)
    flipped = read_npz(Path("data", dataset, "arrays.npz"))["flipped"]
    part, query, n = splits["train"], splits["validation_a"], len(splits["train"][-1])

    def vectors(kept: np.ndarray) -> np.ndarray:
        model, left = retrain(train, dataset, part, kept), tuple(values[kept] for values in part)
        hessian = curvature.exact_hessian(model, left, train.l2)
        found = influence_vectors(
            model, hessian, left, query, query[-1], len(classes), batch_size=len(kept)
        )
        return found.numpy()

    rounds = trimming.trim(n, vectors, chosen.max_rounds)
    cleaning = [
        step for step in rounds if len(step.removed)
    ]  # all but a last one that finds nothing
    counts = [len(step.removed) for step in cleaning]
    arms = {("influence", 0): [np.arange(n), *(step.left for step in cleaning)]}
    for seed in range(chosen.seeds):
        arms["random", seed] = trimming.trim_at_random(n, counts, np.random.default_rng(seed))
    rows, arrays = [], {}
    for (arm, seed), states in progress(arms.items(), f"removal {dataset}", len(arms)):
        for number, kept in enumerate(states):
            model = retrain(train, dataset, part, kept)
            state = {"arm": arm, "seed": seed, "round": number, "removed": n - len(kept)}
            state["flipped_removed"] = int(flipped.sum() - flipped[kept].sum())
            rows += evaluate.class_rows(
                *evaluate.per_class(model, splits["test"], len(classes)), classes, state
            )
            if arm == "influence":
                theta = torch.nn.utils.parameters_to_vector(model.parameters())
                arrays[f"{number}/boundary"] = theta.detach().numpy()
    for number, step in enumerate(rounds):
        arrays |= {
            f"{number}/kept": step.kept,
            f"{number}/P": step.vectors,
            f"{number}/removed": step.removed,
        }
    write_csv(out / "rounds.csv", rows)
    write_npz(out / "rounds.npz", **arrays)
    removed = np.concatenate([step.removed for step in rounds])
    return {
        "rounds": len(counts),
        "removed": len(removed),
        "precision": flipped[removed].mean() if len(removed) else float("nan"),
        "recall": flipped[removed].sum() / flipped.sum() if flipped.any() else float("nan"),
    }
