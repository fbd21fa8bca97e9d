"""What a run in MLflow shows beside the files: curves, the weights of every sample, and a note with the answer."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from catwise.pipeline.files import read_csv, read_json, read_npz
from catwise.report.table1 import digest
from catwise.tracking.mlflow_log import Point

__all__ = ["curves", "note", "weights"]

Rows = Sequence[dict[str, str]]
SEARCHED = ("best_fitness", "best_gain", "mean_gain", "diversity")  # all are in history.csv
CELLS = (0, 1, 2, 4, 5, 6, 8)  # of a row of the digest: all but the means


def curves(dataset: str) -> Iterator[Point]:
    """Each class by epoch, the ceiling's figures by epoch, and each genetic search by generation."""
    for row in _rows("train", dataset, "history.csv"):
        for measure in ("accuracy", "loss"):
            yield Point(f"{measure}/{row['split']}", row["class"], int(row["epoch"]), row[measure])
    for row in _rows("ceiling", dataset, "epochs.csv"):
        yield Point("ceiling", row["figure"], int(row["epoch"]), row["value"])
        if row["figure"] == "crossfitted":  # that decides
            for end in ("low", "high"):
                yield Point("ceiling", f"crossfitted_{end}", int(row["epoch"]), row[end])
    short = _short(dataset)
    for row in _rows("reweight", dataset, "history.csv"):
        for measure in SEARCHED:
            place = f"search/{short[row['case']]}/{measure}"
            yield Point(place, row["search"], int(row["generation"]), row[measure])


def weights(dataset: str) -> str | None:
    """As csv, a row per training sample and a column per case and method; methods whose weights are all 1 have none."""
    short = list(_short(dataset).values())
    if not short:
        return None
    arrays = read_npz(Path("data", dataset, "arrays.npz"))
    label_n = np.array(read_json(Path("data", dataset, "card.json"))["classes"])[arrays["train/y"]]
    columns: dict[str, Any] = {
        "sample": range(len(label_n)),
        "label": label_n,
        "flipped": arrays["flipped"],
    }
    for name, weight_n in read_npz(Path("reports", "reweight", dataset, "weights.npz")).items():
        case, method = name.split("/", 1)
        if np.ptp(weight_n) > 0:
            columns[f"{short[int(case)]}: {method}"] = weight_n
    return pd.DataFrame(columns).to_csv(index=False, float_format="%.4g")


def note(dataset: str) -> str:
    """In markdown the verdict, the worst class, and Table 1 net of the control."""
    trained, verdict = (
        read_json(Path("reports", stage, dataset, "metrics.json")) for stage in ("train", "ceiling")
    )
    lines = [
        f"**{verdict['verdict'].capitalize()}.**",
        "",
        f"Worst class on the test split: {trained['worst_class']}, accuracy {trained['worst_class_accuracy']:.3f}; "
        f"mean of the classes {trained['mean_class_accuracy']:.3f}.",
    ]
    for case, table in digest(_rows("reweight", dataset, "table.csv")).items():
        heading, *rows = ([row[cell] for cell in CELLS] for row in table)
        lines += [
            "",
            f"Table 1, {case}: gain beyond all-ones weights, and how many classes are surely better, worse",
        ]
        lines += ["", *(f"| {' | '.join(row)} |" for row in (heading, ["---"] * len(CELLS), *rows))]
    return "\n".join(lines)


def _short(dataset: str) -> dict[str, str]:
    """The key in metrics.json of each case; it stays the same when the epoch that a case finds does not."""
    return {
        found["case"]: key
        for key, found in read_json(Path("reports", "reweight", dataset, "metrics.json")).items()
    }


def _rows(stage: str, dataset: str, name: str) -> list[dict[str, str]]:
    path = Path("reports", stage, dataset, name)
    return read_csv(path, dtype=str, na_values=[]).to_dict("records")
