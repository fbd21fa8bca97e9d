"""Remove samples by their influence, retrain, and compare with removing as many at random."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from catwise.config.schema import DataSet, TopShare
from catwise.core.device import torch_device
from catwise.core.progress import progress
from catwise.experiments import resume
from catwise.experiments.along_training import training_of, vectors_along
from catwise.experiments.retraining import retrained
from catwise.experiments.trimming import run_trimming
from catwise.influence.trajectory import average
from catwise.pipeline.files import folder, read_json, read_npz, write_csv, write_json
from catwise.pipeline.stage import run, settings
from catwise.pipeline.tables import TABLES, VECTORS
from catwise.pipeline.workers import pool
from catwise.removal import effects
from catwise.removal.top_share import plan


def main(dataset: str) -> None:
    parameters = settings(dataset)
    section = parameters.removal
    torch.set_num_threads(parameters.threads)
    out = folder("reports", "removal", dataset, "experiment")
    if section.method == "trimming":
        summary = run_trimming(dataset, parameters.device, parameters.train, section, out)
    else:
        summary = top_share(dataset, parameters, section, out)
    write_json(out.parent / "metrics.json", summary)
    resume.clear("removal", dataset)


def top_share(dataset: str, parameters: DataSet, section: TopShare, out: Path) -> dict[str, float]:
    """Train again without the most beneficial or detrimental samples of each class.

    Each P of the parameters ranks the samples anew; the trainings on all samples and those without
    random ones are the same for all.
    """
    classes = read_json(Path("data", dataset, "card.json"))["classes"]
    arrays = read_npz(Path("reports", "influence", dataset, "vectors.npz"))
    vectors: dict[str, np.ndarray] = {
        name: exact(dataset, parameters)
        if name == "exact"
        else arrays[VECTORS[name]].astype(np.float64)
        for name in section.influence
    }
    plans = {
        name: plan(p_nk, section.share, section.controls, section.seeds)
        for name, p_nk in vectors.items()
    }
    jobs = [
        (removed.kept(len(arrays[VECTORS["endpoint"]])), seed)
        for planned in plans.values()
        for seed, removed in planned
    ]
    device, threads = parameters.device, parameters.threads
    again = retrained(dataset, device, threads, parameters.train, "test", jobs, "removal")
    measured = [
        (accuracy_k.tolist(), loss_k.tolist())
        for accuracy_k, loss_k in progress(again, f"removal {dataset}", len(jobs))
    ]
    labels_n = read_npz(Path("data", dataset, "arrays.npz"))["train/y"]
    changed, rankings = [], []
    for name, planned in plans.items():
        own, measured = measured[: len(planned)], measured[len(planned) :]
        changed.append(effects.changes(planned, own, vectors[name], labels_n, classes))
        rankings.append(effects.correlations(changed[-1]).assign(vectors=name))
    first = changed[0]
    correlations, diagonal = rankings[0].drop(columns="vectors"), effects.diagonal(first)
    tables = {"changes": first, "correlations": correlations, "diagonal": diagonal}
    tables["rankings"] = pd.concat(rankings)[[*TABLES["removal/rankings"]]]
    for name, table in tables.items():
        write_csv(out / f"{name}.csv", table.to_dict("records"))
    return effects.summary(correlations, diagonal)


def exact(dataset: str, parameters: DataSet) -> np.ndarray:
    """Compute P (n, k) through every step, the mean over as many new trainings as ``runs`` says."""
    along = training_of(dataset, parameters, bins=1)
    runs = range(1, along.influence.runs + 1)  # run 0 would read checkpoints of the stage train
    with pool(torch_device(along.device), along.threads) as spread:
        return average(vectors_along(along, ["exact"], runs, "removal", spread)["exact"])


if __name__ == "__main__":
    run(main, __doc__)
