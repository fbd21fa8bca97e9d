"""Make what a run in MLflow shows beside the files: curves, weights of all samples, and a note."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from catwise.figures.labels import (
    case_labels,
    improvement_label,
    method_label,
    method_labels,
)
from catwise.pipeline.results import Results
from catwise.report.table1 import method_rows
from catwise.tracking.mlflow_log import Point

__all__ = ["curves", "note", "weights"]

SEARCHED = ("best_fitness", "best_gain", "mean_gain", "diversity")  # columns of history.csv
CELLS = (0, 1, 2, 4, 5, 6, 8)  # of a row of Table 1: all but the means over all classes


def curves(results: Results) -> Iterator[Point]:
    """Yield classes by epoch, estimates of the ceiling by epoch, searches by generation."""
    for row in results.history.to_dict("records"):
        for measure in ("accuracy", "loss"):
            yield Point(f"{measure}/{row['split']}", row["class"], row["epoch"], row[measure])
    for row in results.epochs.to_dict("records"):
        yield Point("ceiling", row["figure"], row["epoch"], row["value"])
        if row["figure"] == "crossfitted":  # the one that decides
            for end in ("low", "high"):
                yield Point("ceiling", f"crossfitted_{end}", row["epoch"], row[end])
    if results.reweight is not None:
        for row in results.reweight.history.to_dict("records"):
            name = method_label(row) + (", one split" if row["split"] == "test" else "")
            for measure in SEARCHED:
                prefix = f"search/{row['case']}/{measure}"
                yield Point(prefix, name, row["generation"], row[measure])
    if results.improve is not None:
        for row in results.improve.steps.to_dict("records"):
            yield Point("improve/accuracy", row["class"], row["round"], row["accuracy"])


def weights(results: Results) -> dict[str, str]:
    """Return for each stage that makes weights a table as csv: a row for each training sample.

    ``reweight`` has a column for each case of Table 1 and method, ``improve`` one for each method.
    Weights that are all 1 have no column; a stage that weighs nothing has no table.
    """
    named: dict[str, dict[str, np.ndarray]] = {"reweight": {}, "improve": {}}
    if results.reweight is not None and not results.reweight.cases.empty:
        labels = method_labels(results.reweight.table)
        for (case, method), weights_n in results.reweight.weights.items():
            named["reweight"][f"{case}: {labels[method]}"] = weights_n
    if results.improve is not None:
        for name, weights_n in results.improve.weights.items():
            method = name.removeprefix("proposed ")
            named["improve"][improvement_label(method, method != name)] = weights_n
    labels_n = np.array(results.classes, dtype=object)[results.labels_n]
    samples = {"sample": range(len(labels_n)), "label": labels_n}
    samples["flipped"] = results.flipped_n.astype(int)
    tables = {}
    for stage, columns in named.items():
        weighed = {name: weights_n for name, weights_n in columns.items() if np.ptp(weights_n) > 0}
        if weighed:
            table = pd.DataFrame(samples | weighed)
            tables[stage] = table.to_csv(index=False, float_format="%.4g")
    return tables


def note(results: Results) -> str:
    """Write in markdown the verdict, the worst class, and the gains of Table 1."""
    train = results.metrics("train")
    lines = [
        f"**{results.ceiling.verdict.text}**",
        "",
        f"Worst class on the test split: {train['worst_class']}, accuracy"
        f" {train['worst_class_accuracy']:.3f}. Mean of the classes:"
        f" {train['mean_class_accuracy']:.3f}.",
    ]
    if results.reweight is None:
        return "\n".join(lines)
    for case, label in case_labels(results.reweight.cases).items():
        heading, *rows = (
            [row[cell] for cell in CELLS] for row in method_rows(results.reweight, case)
        )
        lines += [
            "",
            f"Table 1, {label}: gains beyond all-ones weights, and how many classes are"
            " significantly better, worse.",
            "",
        ]
        lines += [f"| {' | '.join(row)} |" for row in (heading, ["---"] * len(CELLS), *rows)]
    return "\n".join(lines)
