"""Remove samples by their influence, retrain, and compare with removing as many at random."""

from pathlib import Path

import numpy as np
import torch

from catwise.config.schema import TopShare, Train
from catwise.core.progress import progress
from catwise.experiments import resume
from catwise.experiments.retraining import retrained
from catwise.experiments.trimming import run_trimming
from catwise.pipeline.files import folder, read_json, read_npz, write_csv, write_json
from catwise.pipeline.stage import run, settings
from catwise.removal import effects
from catwise.removal.top_share import plan


def main(dataset: str) -> None:
    parameters = settings(dataset)
    train, section = parameters.train, parameters.removal
    device, threads = parameters.device, parameters.threads
    torch.set_num_threads(threads)
    out = folder("reports", "removal", dataset, "experiment")
    if section.method == "trimming":
        summary = run_trimming(dataset, device, train, section, out)
    else:
        summary = top_share(dataset, device, threads, train, section, out)
    write_json(out.parent / "metrics.json", summary)
    resume.clear("removal", dataset)


def top_share(
    dataset: str, device: str, threads: int, train: Train, section: TopShare, out: Path
) -> dict[str, float]:
    """Train again without the most beneficial or detrimental samples of each class."""
    classes = read_json(Path("data", dataset, "card.json"))["classes"]
    p_nk = read_npz(Path("reports", "influence", dataset, "vectors.npz"))["P"].astype(np.float64)
    planned = plan(p_nk, section.share, section.controls, section.seeds)
    jobs = [(removed.kept(len(p_nk)), seed) for seed, removed in planned]
    again = retrained(dataset, device, threads, train, "test", jobs, "removal")
    measured = [
        (accuracy_k.tolist(), loss_k.tolist())
        for accuracy_k, loss_k in progress(again, f"removal {dataset}", len(jobs))
    ]
    y_n = read_npz(Path("data", dataset, "arrays.npz"))["train/y"]
    changes = effects.changes(planned, measured, p_nk, y_n, classes)
    correlations, diagonal = effects.correlations(changes), effects.diagonal(changes)
    tables = {"changes": changes, "correlations": correlations, "diagonal": diagonal}
    for name, table in tables.items():
        write_csv(out / f"{name}.csv", table.to_dict("records"))
    return effects.summary(correlations, diagonal)


if __name__ == "__main__":
    run(main, __doc__)
