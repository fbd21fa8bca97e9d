"""Score each kind of curvature by retraining on random halves, and the number of samples its factors need."""

from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from catwise import fidelity
from catwise.core.progress import progress
from catwise.core.statistics import spearman
from catwise.experiments import resume
from catwise.experiments.retraining import retrained
from catwise.influence import curvature
from catwise.influence.factors import fit_factors
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.artifacts import last_epoch, load_model, read_splits, real_positions
from catwise.pipeline.files import folder, read_npz, write_csv, write_json
from catwise.pipeline.stage import run, settings


def main(dataset: str) -> None:
    parameters = settings(dataset)
    train, section = parameters.train, parameters.fidelity
    device, threads = parameters.device, parameters.threads
    torch.set_num_threads(threads)
    splits, classes = read_splits(dataset, device)
    part, query = splits["train"], splits["validation_a"]
    model = load_model(dataset, train, part, last_epoch(train))
    options = {
        **section.model_dump(include={"damping", "batch_size"}),
        "mask": real_positions(part),
    }

    def vectors(
        kind: str, draw: str = section.draw, samples: int | None = None, seed: int = section.seed
    ) -> np.ndarray:
        if kind == "exact":
            fitted: curvature.Curvature = curvature.exact_hessian(model, part, train.l2)
        else:
            drawn = {"draw": draw, "samples": samples, "seed": seed}
            drawn["embeddings"] = section.embeddings and kind != "ekfac_linear"
            fitted = fit_factors(model, part, kind=kind.removesuffix("_linear"), **drawn, **options)  # type: ignore[arg-type]
        size = {"batch_size": section.batch_size}
        return (
            influence_vectors(model, fitted, part, query, query[-1], len(classes), **size)
            .double()
            .cpu()
            .numpy()
        )

    kept = fidelity.random_halves(len(part[-1]), section.halves, np.random.default_rng(section.seed))
    jobs = [(mask, seed) for mask in kept for seed in range(section.seeds)]
    again = retrained(dataset, device, threads, train, "validation_a", jobs, "fidelity")
    found = progress(again, f"fidelity {dataset}", len(jobs))
    loss_hk = (
        np.stack([loss_k.numpy() for _, loss_k in found])
        .reshape(len(kept), section.seeds, -1)
        .mean(axis=1)
    )

    kinds = {kind: vectors(kind) for kind in section.kinds}
    mean = fidelity.bootstrap_intervals(kinds, kept, loss_hk, np.random.default_rng(section.seed))
    flipped = read_npz(Path("data", dataset, "arrays.npz"))["flipped"]
    scores, curve = [], []
    for kind, p_nk in kinds.items():
        score_k = fidelity.linear_datamodeling_score(p_nk, kept, loss_hk)
        scores += [
            {"kind": kind, "class": name, "lds": rho}
            for name, rho in zip(classes, score_k, strict=True)
        ]
    cases = [
        (draw, samples)
        for draw in ("importance", "balanced")
        for samples in ([*section.samples, len(part[-1])] if section.samples else [])
    ]
    reference = (
        vectors("ekfac", "every") if cases else np.empty(0)
    )  # what is drawn, compared with what it stands for
    for draw, samples in progress(cases, f"fidelity {dataset}", len(cases)):
        for seed in range(section.repeats):
            rho_k = spearman(
                vectors("ekfac", draw, samples, section.seed + seed), reference
            )
            state = {"draw": draw, "samples": samples, "seed": seed}
            curve += [
                {**state, "class": name, "spearman": rho}
                for name, rho in zip(classes, rho_k, strict=True)
            ]
    out = folder("reports", "fidelity", dataset)
    write_csv(out / "scores.csv", scores)
    write_csv(out / "samples.csv", curve, columns=["draw", "samples", "seed", "class", "spearman"])
    auc = (
        {kind: roc_auc_score(flipped, -p_nk.sum(axis=1)) for kind, p_nk in kinds.items()}
        if flipped.any()
        else {}
    )
    write_json(out / "fidelity.json", {"lds": mean, "flipped_label_auc": auc})
    best = max(section.kinds, key=lambda kind: mean[kind][0])
    write_json(out / "metrics.json", {"best_kind": best, "lds_best": mean[best][0]})
    resume.clear("fidelity", dataset)


if __name__ == "__main__":
    run(main, __doc__)
