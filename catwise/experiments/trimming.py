"""Run iterated trimming of a convex model (Figure 5), the removal of the synthetic data sets."""

from pathlib import Path

import numpy as np
import torch

from catwise.config.schema import Logistic, Train, Trimming
from catwise.core.losses import Batch
from catwise.core.progress import progress
from catwise.experiments.retraining import retrain
from catwise.influence.curvature import exact_hessian
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.artifacts import flipped_labels, read_splits
from catwise.pipeline.files import write_csv, write_npz
from catwise.removal.trimming import Round, trim, trim_at_random
from catwise.training import evaluate

__all__ = ["run_trimming"]


def run_trimming(
    dataset: str, device: str, train: Train, section: Trimming, out: Path
) -> dict[str, float]:
    """Remove the samples that harm every class, round by round, and beside it as many at random.

    Writes the tables into ``out``, and returns the metrics.
    """
    assert isinstance(train, Logistic)  # as the parameters are checked
    splits, classes = read_splits(dataset, device)
    flipped_n = flipped_labels(dataset)
    part, n = splits["train"], len(splits["train"][-1])
    rounds = _influence_rounds(dataset, train, splits, len(classes), section.max_rounds)
    cleaning = [step for step in rounds if len(step.removed)]  # the last may remove nothing
    counts = [len(step.removed) for step in cleaning]
    arms = {("influence", 0): [np.arange(n), *(step.left for step in cleaning)]}
    for seed in range(section.seeds):
        arms["random", seed] = trim_at_random(n, counts, np.random.default_rng(seed))
    rows, arrays = [], {}
    for (arm, seed), states in progress(arms.items(), f"removal {dataset}", len(arms)):
        for number, kept in enumerate(states):
            model = retrain(train, dataset, part, kept)
            state = {"arm": arm, "seed": seed, "round": number, "removed": n - len(kept)}
            state["flipped_removed"] = int(flipped_n.sum() - flipped_n[kept].sum())
            accuracy_k, loss_k = evaluate.per_class(model, splits["test"], len(classes))
            rows += evaluate.class_rows(accuracy_k, loss_k, classes, state)
            if arm == "influence":
                theta = torch.nn.utils.parameters_to_vector(model.parameters())
                arrays[f"{number}/boundary"] = theta.detach().numpy()
    for number, step in enumerate(rounds):
        arrays[f"{number}/kept"] = step.kept
        arrays[f"{number}/P"] = step.vectors
        arrays[f"{number}/removed"] = step.removed
    write_csv(out / "rounds.csv", rows)
    write_npz(out / "rounds.npz", **arrays)
    return _metrics(counts, np.concatenate([step.removed for step in rounds]), flipped_n)


def _influence_rounds(
    dataset: str, train: Logistic, splits: dict[str, Batch], num_classes: int, max_rounds: int
) -> list[Round]:
    """Trim by influence: each round refits, and takes the exact Hessian at the new optimum."""
    part, query = splits["train"], splits["validation_a"]

    def vectors(kept: np.ndarray) -> np.ndarray:
        model, left = retrain(train, dataset, part, kept), tuple(values[kept] for values in part)
        hessian = exact_hessian(model, left, train.l2)
        p_nk = influence_vectors(
            model, hessian, left, query, query[-1], num_classes, batch_size=len(kept)
        )
        return p_nk.numpy()

    return trim(len(part[-1]), vectors, max_rounds)


def _metrics(counts: list[int], removed: np.ndarray, flipped_n: np.ndarray) -> dict[str, float]:
    """Compute how many of the removed labels were flipped, and how many of the flipped removed."""
    hits = flipped_n[removed]
    return {
        "rounds": len(counts),
        "removed": len(removed),
        "precision": hits.mean() if len(removed) else float("nan"),
        "recall": hits.sum() / flipped_n.sum() if flipped_n.any() else float("nan"),
    }
