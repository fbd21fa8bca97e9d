"""Score how well influence predicts the trainings on subsets."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from catwise.config.schema import Curvature, DataSet, Fidelity, Influence
from catwise.core.errors import InputError
from catwise.core.losses import Batch
from catwise.core.precision import precision
from catwise.core.progress import progress
from catwise.core.statistics import area_under_curve, spearman
from catwise.experiments import resume
from catwise.experiments.scored_kinds import costs, curvature_section, vectors_by_kind
from catwise.fidelity.tables import headlines, tabulate
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.artifacts import flipped_labels, last_epoch, load_model, read_splits
from catwise.pipeline.files import folder, read_npz, write_csv, write_json
from catwise.pipeline.fitted_factors import as_trained, fit_curvature
from catwise.pipeline.stage import run, section_errors, settings
from catwise.pipeline.tables import TABLES, table_names


def main(dataset: str) -> None:
    parameters = settings(dataset)
    torch.set_num_threads(parameters.threads)
    splits, classes = read_splits(dataset, parameters.device)
    out = folder("reports", "fidelity", dataset)
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in table_names("fidelity")}
    auc: dict[str, float] = {}
    if parameters.fidelity:
        truth = read_npz(Path("reports", "subsets", dataset, "subsets.npz"))
        tables, auc = scores(dataset, parameters, parameters.fidelity, splits, classes, truth)
    for name, rows in tables.items():
        write_csv(out / f"{name}.csv", rows, list(TABLES[f"fidelity/{name}"]))
    write_json(out / "fidelity.json", {"flipped_label_auc": auc})
    write_json(out / "metrics.json", headlines(tables["summary"]))
    resume.clear("fidelity", dataset)


def scores(
    dataset: str,
    parameters: DataSet,
    section: Fidelity,
    splits: dict[str, Batch],
    classes: list[str],
    truth: dict[str, np.ndarray],
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, float]]:
    """Score every kind of P by the truth; return the tables, and how well each finds flips."""
    train, part, query = parameters.train, splits["train"], splits["validation_a"]
    n, num_classes = len(part[-1]), len(classes)
    model = load_model(dataset, train, part, last_epoch(train))

    def vectors(curvature: Curvature, influence: Influence) -> np.ndarray:
        with section_errors(dataset, "curvature", curvature):
            fitted = fit_curvature(model, part, train, curvature)
        about = (as_trained(part, influence), query, query[-1], num_classes)
        with precision(influence.precision, part[-1].device.type):
            p_nk = influence_vectors(
                model,
                fitted,
                *about,
                batch_size=influence.batch_size,
                statistics=influence.statistics,
            )
        return p_nk.double().cpu().numpy()

    labels_n = part[-1].cpu().numpy()
    by_kind = vectors_by_kind(dataset, parameters, section.kinds, vectors, labels_n, num_classes)
    cost = costs(parameters, section.kinds, n, len(query[-1]), num_classes)
    tables: dict[str, list[dict[str, Any]]]
    tables = tabulate(by_kind, truth, cost, classes)
    fit = partial(vectors, influence=parameters.influence)
    tables["samples"] = sample_rows(dataset, parameters, section, fit, n, classes)
    flipped_n = flipped_labels(dataset)
    auc = {}
    if flipped_n.any():
        auc = {
            kind: area_under_curve(flipped_n, -p_nk.sum(axis=1)) for kind, p_nk in by_kind.items()
        }
    return tables, auc


def sample_rows(
    dataset: str,
    parameters: DataSet,
    section: Fidelity,
    vectors: Callable[[Curvature], np.ndarray],
    n: int,
    classes: list[str],
) -> list[dict[str, Any]]:
    """Compare vectors from drawn samples with those from every label of every sample."""
    if max(section.samples, default=0) > n:
        raise InputError(
            f"datasets.{dataset}.fidelity.samples: expected at most {n}, the training samples;"
            f" got {max(section.samples)}"
        )
    counts = [*section.samples, n] if section.samples else []
    drawn = [(draw, samples) for draw in ("importance", "balanced") for samples in counts]
    rows = []
    if drawn:
        reference_nk = vectors(curvature_section(parameters, "ekfac", draw="every", samples="all"))
    for draw, samples in progress(drawn, f"fidelity {dataset}", len(drawn)):
        for seed in range(section.repeats):
            changes = {"draw": draw, "samples": samples, "seed": seed}
            p_nk = vectors(curvature_section(parameters, "ekfac", **changes))
            for name, rho in zip(classes, spearman(p_nk, reference_nk), strict=True):
                state = {"draw": draw, "samples": samples, "seed": seed}
                rows.append({**state, "class": name, "spearman": rho})
    return rows


if __name__ == "__main__":
    run(main, __doc__)
