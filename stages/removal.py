"""Remove samples by their influence, retrain, and compare with removing as many at random."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from catwise.core.progress import progress
from catwise.experiments import resume
from catwise.experiments.retraining import retrained
from catwise.experiments.trimming import trim
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
        summary = trim(dataset, device, train, section, out)
    else:
        summary = top_share(dataset, device, threads, train, section, out)
    write_json(out.parent / "metrics.json", summary)
    resume.clear("removal", dataset)


def top_share(
    dataset: str, device: str, threads: int, train: Any, section: Any, out: Path
) -> dict[str, float]:
    """Figures 3 and 4: remove each class's most beneficial or detrimental samples and train again from the start."""
    classes = read_json(Path("data", dataset, "card.json"))["classes"]
    p_nk = read_npz(Path("reports", "influence", dataset, "vectors.npz"))["P"].astype(np.float64)
    planned = plan(p_nk, section.share, section.controls, section.seeds)
    jobs = [(removed.kept(len(p_nk)), seed) for seed, removed in planned]
    again = retrained(dataset, device, threads, train, "test", jobs, "removal")
    measured = [
        (a_k.tolist(), l_k.tolist())
        for a_k, l_k in progress(again, f"removal {dataset}", len(jobs))
    ]
    y_n = read_npz(Path("data", dataset, "arrays.npz"))["train/y"]
    rows = effects.changes(planned, measured, p_nk, y_n, classes)
    correlated, own = effects.correlations(pd.DataFrame(rows)), effects.diagonal(pd.DataFrame(rows))
    write_csv(out / "changes.csv", rows)
    write_csv(out / "correlations.csv", correlated.to_dict("records"))
    write_csv(out / "diagonal.csv", own.to_dict("records"))
    return effects.summary(correlated, own)


if __name__ == "__main__":
    run(main, __doc__)
