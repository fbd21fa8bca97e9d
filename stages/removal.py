"""Remove samples by their influence, retrain, and compare with removing as many at random."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from catwise import curvature, influence, metrics, removal
from catwise.progress import progress
from stages.io import folder, read_npz, run, settings, write_csv, write_json, write_npz
from stages.retrain import retrain, retrained
from stages.tensors import Split, read_splits


def main(dataset: str) -> None:
    train, chosen, device, threads = settings(dataset, "train", "removal", "device", "threads")
    torch.set_num_threads(threads)
    splits, classes = read_splits(dataset, device)
    out = folder("reports", "removal", dataset, "experiment")
    if chosen.method == "trimming":
        flipped = read_npz(Path("data", dataset, "arrays.npz"))["flipped"]
        summary = trimming(out, train, chosen, splits, classes, flipped)
    else:
        p_nk = read_npz(Path("reports", "influence", dataset, "vectors.npz"))["P"].astype(np.float64)
        summary = top_share(out, train, chosen, threads, splits, classes, p_nk)
    write_json(out.parent / "metrics.json", summary)


def trimming(
    out: Path, train: Any, chosen: Any, splits: dict[str, Split], classes: list[str], flipped: np.ndarray
) -> dict[str, float]:
    """Figure 5 for a convex model: rounds of removing the samples that harm every class."""
    x, y = splits["train"]

    def vectors(kept: np.ndarray) -> np.ndarray:
        model, part = retrain(train, (x, y), kept, len(classes)), (x[kept], y[kept])
        hessian = curvature.exact(model, part, train.l2)
        query = splits["validation_a"]
        found = influence.influence_vectors(model, hessian, part, query, query[1], len(classes), batch_size=len(kept))
        return found.numpy()

    rounds = removal.trim(len(y), vectors, chosen.max_rounds)
    cleaning = [step for step in rounds if len(step.removed)]  # all but a last one that finds nothing
    counts = [len(step.removed) for step in cleaning]
    arms = {("influence", 0): [np.arange(len(y)), *(step.left for step in cleaning)]}
    for seed in range(chosen.seeds):
        arms["random", seed] = removal.trim_at_random(len(y), counts, np.random.default_rng(seed))
    rows, arrays = [], {}
    for (arm, seed), states in progress(arms.items(), "removal", len(arms)):
        for number, kept in enumerate(states):
            model = retrain(train, (x, y), kept, len(classes))
            state = {"arm": arm, "seed": seed, "round": number, "removed": len(y) - len(kept)}
            state["flipped_removed"] = int(flipped.sum() - flipped[kept].sum())
            rows += metrics.table(*metrics.per_class(model, *splits["test"], len(classes)), classes, state)
            if arm == "influence":
                theta = torch.nn.utils.parameters_to_vector(model.parameters())
                arrays[f"{number}/boundary"] = theta.detach().numpy()
    for number, step in enumerate(rounds):
        arrays |= {f"{number}/kept": step.kept, f"{number}/P": step.vectors, f"{number}/removed": step.removed}
    write_csv(out / "rounds.csv", rows)
    write_npz(out / "rounds.npz", **arrays)
    removed = np.concatenate([step.removed for step in rounds])
    return {
        "rounds": len(counts),
        "removed": len(removed),
        "precision": flipped[removed].mean() if len(removed) else float("nan"),
        "recall": flipped[removed].sum() / flipped.sum() if flipped.any() else float("nan"),
    }


def top_share(
    out: Path, train: Any, chosen: Any, threads: int, splits: dict[str, Split], classes: list[str], p_nk: np.ndarray
) -> dict[str, float]:
    """Figures 3 and 4: remove each class's most beneficial or detrimental samples and train again from the start."""
    everyone = np.arange(len(p_nk))
    nothing = removal.TopShare("none", 0, everyone[:0])
    plan = []
    for seed in range(chosen.seeds):
        control = removal.random_rows(p_nk, chosen.share, np.random.default_rng(seed))
        plan += [(seed, removed) for removed in [nothing, *removal.top_rows(p_nk, chosen.share), *control]]
    jobs = [(np.delete(everyone, removed.rows), seed) for seed, removed in plan]
    found = retrained(train, threads, splits["train"], splits["test"], len(classes), jobs)
    rows: list[dict[str, Any]] = []
    for (seed, removed), measured in zip(plan, progress(found, "removal", len(jobs)), strict=True):
        if removed is nothing:
            baseline = measured
            continue
        for k, name in enumerate(classes):
            rows.append(
                {
                    "group": removed.group,
                    "target": classes[removed.target],
                    "seed": seed,
                    "class": name,
                    "influence": float(p_nk[removed.rows, k].sum()),
                    "accuracy_change": float(measured[0][k] - baseline[0][k]),
                    "loss_change": float(measured[1][k] - baseline[1][k]),
                }
            )
    write_csv(out / "changes.csv", rows)
    return removal.rank_correlations(rows)


if __name__ == "__main__":
    run(main, __doc__)
