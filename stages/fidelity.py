"""Score each kind of curvature by retraining on random halves, and the samples its factors need."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from catwise.config.schema import Curvature, DataSet, Exact, Factored, Fidelity
from catwise.core.progress import progress
from catwise.core.statistics import spearman
from catwise.experiments import resume
from catwise.experiments.retraining import retrained
from catwise.fidelity import scores as fidelity
from catwise.fidelity import subsets
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.artifacts import last_epoch, load_model, read_splits
from catwise.pipeline.files import folder, read_npz, write_csv, write_json, write_npz
from catwise.pipeline.fitted_factors import fit_curvature
from catwise.pipeline.stage import run, section_errors, settings
from catwise.pipeline.tables import TABLES

Vectors = Callable[[Curvature], np.ndarray]  # P (n, k) with the curvature that a section asks for


def main(dataset: str) -> None:
    parameters = settings(dataset)
    train, section = parameters.train, parameters.fidelity
    torch.set_num_threads(parameters.threads)
    splits, classes = read_splits(dataset, parameters.device)
    part, query = splits["train"], splits["validation_a"]
    n, rng = len(part[-1]), np.random.default_rng
    model = load_model(dataset, train, part, last_epoch(train))

    def vectors(curvature: Curvature) -> np.ndarray:
        with section_errors(dataset, "fidelity", section):
            fitted = fit_curvature(model, part, train, curvature)
        groups, size = query[-1], section.batch_size
        p_nk = influence_vectors(model, fitted, part, query, groups, len(classes), batch_size=size)
        return p_nk.double().cpu().numpy()

    truth = retrained_subsets(dataset, parameters, n)
    out = folder("reports", "fidelity", dataset)
    write_npz(out / "subsets.npz", **truth)
    halves_h = truth["design_h"] == subsets.HALF
    kept_hn, loss_hk = truth["kept_hn"][halves_h], truth["loss_hsk"][halves_h].mean(axis=1)
    by_kind: dict[str, np.ndarray]
    by_kind = {kind: vectors(curvature_section(section, kind)) for kind in section.kinds}
    lds = fidelity.bootstrap_intervals(by_kind, kept_hn, loss_hk, rng(section.seed))
    scores = []
    for kind, p_nk in by_kind.items():
        score_k = fidelity.linear_datamodeling_score(p_nk, kept_hn, loss_hk)
        for name, score in zip(classes, score_k, strict=True):
            scores.append({"kind": kind, "class": name, "lds": score})
    samples = sample_rows(dataset, section, vectors, n, classes)
    flipped_n = read_npz(Path("data", dataset, "arrays.npz"))["flipped"]
    auc = {}
    if flipped_n.any():
        auc = {kind: roc_auc_score(flipped_n, -p_nk.sum(axis=1)) for kind, p_nk in by_kind.items()}
    best = max(section.kinds, key=lambda kind: lds[kind][0])
    write_csv(out / "scores.csv", scores)
    write_csv(out / "samples.csv", samples, list(TABLES["fidelity/samples"]))
    write_json(out / "fidelity.json", {"lds": lds, "flipped_label_auc": auc})
    write_json(out / "metrics.json", {"best_kind": best, "lds_best": lds[best][0]})
    resume.clear("fidelity", dataset)


def retrained_subsets(dataset: str, parameters: DataSet, n: int) -> dict[str, np.ndarray]:
    """Train on random halves, without random tenths, and on all samples, under the same seeds.

    The arrays are those of subsets.npz:

    kept_hn       which samples each subset keeps
    design_h      how it was drawn: a number of ``subsets.DESIGNS``
    loss_hsk      loss of each class on validation A, by subset, seed and class; ``accuracy_hsk``
    loss_sk       the same of the whole training set; ``accuracy_sk``
    """
    section, train = parameters.fidelity, parameters.train
    rng = np.random.default_rng
    halves_hn = subsets.random_halves(n, section.halves, rng(section.seed))
    removals_hn = subsets.random_removals(n, section.removals, rng((section.seed, 1)))
    kept_hn = np.concatenate([halves_hn, removals_hn])
    sets = [np.ones(n, dtype=bool), *kept_hn]
    jobs = [(kept_n, seed) for kept_n in sets for seed in range(section.seeds)]
    device, threads = parameters.device, parameters.threads
    results = retrained(dataset, device, threads, train, "validation_a", jobs, "fidelity")
    shown = progress(results, f"fidelity {dataset}", len(jobs))
    accuracy_jk, loss_jk = (np.array(part) for part in zip(*shown, strict=True))
    shape = (len(sets), section.seeds, -1)
    accuracy_hsk, loss_hsk = accuracy_jk.reshape(shape), loss_jk.reshape(shape)
    return {
        "kept_hn": kept_hn,
        "design_h": np.repeat([subsets.HALF, subsets.REMOVAL], [len(halves_hn), len(removals_hn)]),
        "loss_hsk": loss_hsk[1:],
        "accuracy_hsk": accuracy_hsk[1:],
        "loss_sk": loss_hsk[0],
        "accuracy_sk": accuracy_hsk[0],
    }


def curvature_section(section: Fidelity, kind: str, **changes: Any) -> Curvature:
    """Return the section of a curvature of this kind; ``ekfac_linear`` is ekfac without embeddings.

    ``changes`` are of the draw, the samples and the seed.
    """
    if kind == "exact":
        return Exact(kind="exact")
    drawn = {"draw": section.draw, "samples": "all", "seed": section.seed, **changes}
    return Factored.model_validate(
        {
            "kind": kind.removesuffix("_linear"),
            "earlier": [],
            "damping": section.damping,
            "embeddings": section.embeddings and kind != "ekfac_linear",
            "batch_size": section.batch_size,
            "precision": "float32",
            **drawn,
        }
    )


def sample_rows(
    dataset: str, section: Fidelity, vectors: Vectors, n: int, classes: list[str]
) -> list[dict[str, Any]]:
    """Compare vectors from drawn samples with those from every label of every sample."""
    counts = [*section.samples, n] if section.samples else []
    drawn = [(draw, samples) for draw in ("importance", "balanced") for samples in counts]
    rows = []
    if drawn:
        reference_nk = vectors(curvature_section(section, "ekfac", draw="every"))
    for draw, samples in progress(drawn, f"fidelity {dataset}", len(drawn)):
        for seed in range(section.repeats):
            changes = {"draw": draw, "samples": samples, "seed": section.seed + seed}
            p_nk = vectors(curvature_section(section, "ekfac", **changes))
            for name, rho in zip(classes, spearman(p_nk, reference_nk), strict=True):
                state = {"draw": draw, "samples": samples, "seed": seed}
                rows.append({**state, "class": name, "spearman": rho})
    return rows


if __name__ == "__main__":
    run(main, __doc__)
