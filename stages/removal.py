"""Remove samples by their influence, retrain, and compare with removing as many at random."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from torch import Tensor

from catwise import curvature, influence, metrics, removal, training
from catwise.progress import progress
from stages.io import folder, read_npz, run, settings, write_csv, write_json, write_npz
from stages.tensors import Split, new_model, read_splits


def main(dataset: str) -> None:
    train, chosen, threads = settings(dataset, "train", "removal", "threads")
    torch.set_num_threads(threads)
    splits, classes = read_splits(dataset)
    method = trimming if chosen.method == "trimming" else top_share
    method(dataset, train, chosen, threads, splits, classes)


def trimming(
    dataset: str, train: Any, chosen: Any, threads: int, splits: dict[str, Split], classes: list[str]
) -> None:
    """Figure 5 for a convex model: rounds of removing the samples that harm every class."""
    x, y = splits["train"]
    flipped = read_npz(Path("data", dataset, "arrays.npz"))["flipped"]

    def fit(kept: np.ndarray) -> Any:
        model = new_model(train, x, len(classes))
        training.fit_convex(model, x[kept], y[kept], train.l2)
        return model

    def vectors(kept: np.ndarray) -> np.ndarray:
        model, part = fit(kept), (x[kept], y[kept])
        hessian = curvature.exact(model, *part, train.l2)
        p_nk = influence.influence_vectors(model, hessian, part, splits["validation_a"], len(classes), len(kept))
        return p_nk.numpy()

    rounds = removal.trim(len(y), vectors, chosen.max_rounds)
    arms = {("influence", 0): [step.kept for step in rounds]}
    counts = [len(step.removed) for step in rounds[:-1]]
    for seed in range(chosen.seeds):
        arms["random", seed] = removal.trim_at_random(len(y), counts, np.random.default_rng(seed))
    rows = []
    for (arm, seed), states in progress(arms.items(), f"removal {dataset}", len(arms)):
        for number, kept in enumerate(states):
            accuracy_k, loss_k = metrics.per_class(fit(kept), *splits["test"], len(classes))
            state = {"arm": arm, "seed": seed, "round": number, "removed": len(y) - len(kept)}
            state["flipped_removed"] = int(flipped.sum() - flipped[kept].sum())
            for k, name in enumerate(classes):
                rows.append({**state, "class": name, "accuracy": float(accuracy_k[k]), "loss": float(loss_k[k])})
    out = folder("reports", "removal", dataset)
    write_csv(folder(str(out), "experiment") / "rounds.csv", rows)
    arrays = {}
    for number, step in enumerate(rounds):
        arrays |= {f"{number}/kept": step.kept, f"{number}/P": step.vectors, f"{number}/removed": step.removed}
        model = fit(step.kept)
        arrays[f"{number}/boundary"] = torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()
    write_npz(out / "experiment" / "rounds.npz", **arrays)
    removed = np.concatenate([step.removed for step in rounds])
    write_json(
        out / "metrics.json",
        {
            "rounds": len(counts),
            "removed": len(removed),
            "precision": flipped[removed].mean() if len(removed) else float("nan"),
            "recall": flipped[removed].sum() / flipped.sum() if flipped.any() else float("nan"),
        },
    )


def top_share(
    dataset: str, train: Any, chosen: Any, threads: int, splits: dict[str, Split], classes: list[str]
) -> None:
    """Figures 3 and 4: remove each class's most beneficial or detrimental samples and train again from the start."""
    p_nk = read_npz(Path("reports", "influence", dataset, "vectors.npz"))["P"].astype(np.float64)
    jobs = [(seed, removal.TopShare("none", 0, np.array([], dtype=int))) for seed in range(chosen.seeds)]
    for seed in range(chosen.seeds):
        control = removal.random_rows(p_nk, chosen.share, np.random.default_rng(seed))
        jobs += [(seed, removed) for removed in removal.top_rows(p_nk, chosen.share) + control]
    recipe = train.model_dump(include={"epochs", "batch_size", "learning_rate", "weight_decay"})
    x, y = splits["train"]

    def retrain(seed: int, removed: removal.TopShare) -> tuple[Tensor, Tensor]:
        torch.set_num_threads(threads)
        kept = np.delete(np.arange(len(y)), removed.rows)
        model = new_model(train.model_copy(update={"seed": train.seed + seed}), x, len(classes))
        for _ in training.train_epochs(model, x[kept], y[kept], seed=train.seed + seed, **recipe):
            pass
        return metrics.per_class(model, *splits["test"], len(classes))

    parallel = Parallel(n_jobs=-1, return_as="generator")
    results = parallel(delayed(retrain)(*job) for job in jobs)
    results = list(progress(results, f"removal {dataset}", len(jobs)))
    baseline = dict(enumerate(results[: chosen.seeds]))
    rows = []
    for (seed, removed), (accuracy_k, loss_k) in zip(jobs[chosen.seeds :], results[chosen.seeds :], strict=True):
        influence_k = p_nk[removed.rows].sum(axis=0)
        for k, name in enumerate(classes):
            rows.append(
                {
                    "group": removed.group,
                    "target": classes[removed.target],
                    "seed": seed,
                    "class": name,
                    "influence": float(influence_k[k]),
                    "accuracy_change": float(accuracy_k[k] - baseline[seed][0][k]),
                    "loss_change": float(loss_k[k] - baseline[seed][1][k]),
                }
            )
    out = folder("reports", "removal", dataset)
    write_csv(folder(str(out), "experiment") / "changes.csv", rows)
    write_json(out / "metrics.json", removal.rank_correlations(rows))


if __name__ == "__main__":
    run(main, __doc__)
