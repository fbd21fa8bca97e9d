"""Hold the schema of what a stage writes, and read a table by its schema.

The schema maps each column to its type. Text is kept as it is written, so that a class may be
called None, NA, True or 1. A bool is written as 0 or 1. An empty cell is NaN in a column of floats,
<NA> in a column of ``int | None``, and the empty string in a column of text.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np
import pandas as pd

from catwise.core.errors import InputError
from catwise.pipeline.files import folder, reading, write_csv, write_json, write_npz

__all__ = [
    "METHOD",
    "TABLES",
    "VECTORS",
    "Schema",
    "kinds_of",
    "read_table",
    "table_names",
    "write_outputs",
]

Schema = Mapping[str, type | UnionType]

# The array of vectors.npz that holds P of each kind; the first is always there.
VECTORS = {
    "endpoint": "P",
    "endpoint_runs": "P_runs",
    "segments": "P_segments",
    "last_layer": "P_last_layer",
}
METHOD: Schema = {  # what a method of Table 1 is; cells that do not apply are empty
    "method": str,  # a unique key, never parsed
    "family": str,  # all_ones, refresh, lp_ga, direction, oracle, best_seeds
    "anchor": str,  # start, end, unrolled
    "rule": str,  # printed, beta
    "program": str,  # linear, quadratic
    "filter": str,  # damped, horizon, exact
    "query": str,  # loss, probability, margin
    "shuffled": bool,
}
HISTORY: Schema = {"epoch": int, "split": str, "class": str, "accuracy": float, "loss": float}
INTERVAL: Schema = {"low": float, "high": float}
SCORED: Schema = {  # whose score, and of what
    "design": str,  # half, removal
    "measure": str,  # loss, accuracy
    "kind": str,
}
CORRELATIONS: Schema = {
    **{"group": str, "measure": str, "pairs": str, "trainings": str, "rho": float, **INTERVAL},
    **{"ceiling": float, "counted": float, "shuffled": float, "shuffled_high": float},
}
TABLES: dict[str, Schema] = {
    "train/history": HISTORY,
    "train/raw": HISTORY,
    "ceiling/epochs": {
        **{"epoch": int, "figure": str, "value": float, **INTERVAL},
        **{"null_middle": float, "null_low": float, "null_high": float},
    },
    "ceiling/gains": {"class": str, "quantity": str, "value": float, **INTERVAL},
    "fidelity/scores": {**SCORED, "class": str, "lds": float, **INTERVAL, "ceiling": float},
    "fidelity/summary": {**SCORED, "lds": float, **INTERVAL, "ceiling": float, "cost": float},
    "fidelity/differences": {
        **{"design": str, "measure": str, "first": str, "second": str, "difference": float},
        **INTERVAL,
    },
    "fidelity/samples": {
        **{"draw": str, "samples": int, "seed": int, "class": str, "spearman": float}
    },
    "removal/rounds": {
        **{"arm": str, "seed": int, "round": int, "removed": int, "flipped_removed": int},
        **{"class": str, "accuracy": float, "loss": float},
    },
    "removal/changes": {
        **{"group": str, "target": str, "draw": int | None, "seed": int, "class": str},
        **{"influence": float, "labelled": int, "accuracy_change": float, "loss_change": float},
    },
    "removal/correlations": CORRELATIONS,
    "removal/rankings": {"vectors": str, **CORRELATIONS},  # endpoint, segments, exact, ...
    "removal/diagonal": {
        **{"class": str, "group": str, "measure": str, "mean": float, **INTERVAL},
        **{"reading": int | None, "net_mean": float, "net_low": float, "net_high": float},
        "net_reading": int | None,
    },
    "improve/path": {  # gains on validation B in points, their lower ends shared by the trials
        **{"round": int, "room": bool, "verdict": str, "proposal": str, "accepted": bool},
        **{"mean": float, "mean_low": float, "mean_high": float},
        **{"worst": float, "worst_low": float, "worst_high": float},
        **{"better": int | None, "worse": int | None},
    },
    "improve/table": {  # on the test split; accuracies in points, the loss in nats
        **{"method": str, "proposed": bool, "measure": str, "value": float, "net": float},
        **INTERVAL,
        **{"up": int, "down": int, "seeds": int},
    },
    "improve/classes": {
        **{"method": str, "proposed": bool, "class": str, "accuracy": float, "net": float},
        **INTERVAL,
        **{"predicted": float, "reading": int},
    },
    "improve/steps": {"round": int, "class": str, "accuracy": float, **INTERVAL},
    "reweight/cases": {
        **{"case": str, "kind": str, "epoch": int, "compared_with": int},
        **{"learning_rate": float, "seeds": int},
    },
    "reweight/table": {
        **{"case": str, **METHOD, "measure": str, "class": str, "target": bool},
        **{"before": float, "control": float, "after": float, "predicted": float},
        **{"gain": float, **INTERVAL, "reading": int | None},
    },
    "reweight/summary": {
        **{"case": str, **METHOD, "measure": str, "targets_gain": float, "worst_gain": float},
        **{"mean_gain": float, "better": int, "worse": int},
    },
    "reweight/printed": {
        **{"case": str, "class": str, "target": bool, "before": float, "original": float},
        **{"all_ones": float, "after": float, "change": float},
    },
    "reweight/refresh": {
        **{"case": str, **METHOD, "measure": str, "seed": int, "class": str, "target": bool},
        **{"before": float, "after": float},
    },
    "reweight/room": {
        **{"case": str, "anchor": str, "filter": str, "headroom": float, "crossfitted": float},
        **INTERVAL,
        **{"sum_over_mass": float, "room": bool},
    },
    "reweight/tradeoff": {
        **{"case": str, **METHOD, "gene": float, "measure": str},
        **{"target_gain": float, "worst_other": float},
    },
    "reweight/history": {
        **{"case": str, **METHOD, "split": str, "generation": int, "evaluations": int},
        **{"trained": int, "diversity": float, "effective_samples": float},
        **{"best_fitness": float, "mean_fitness": float, "worst_fitness": float},
        **{"best_failure": float, "mean_failure": float, "worst_failure": float},
        **{"best_gain": float, "mean_gain": float, "worst_gain": float},
    },
}


def read_table(path: Path, schema: Schema) -> pd.DataFrame:
    """Read the columns of the schema; text is kept as it is written.

    Raises InputError where the file is missing or damaged, lacks a column, or holds a cell that is
    not of its column's type.
    """
    with reading(path, "CSV"):
        content = path.read_bytes()
        if not content.endswith(b"\n"):
            raise ValueError("its last line does not end")
        text = pd.read_csv(io.BytesIO(content), dtype=str, na_filter=False)
    for name in schema:
        if name not in text:
            raise InputError(
                f"{path}: expected a column {name!r}; got {', '.join(text)}; run `dvc repro`"
            )
    return pd.DataFrame({name: _typed(path, text[name], kind) for name, kind in schema.items()})


def table_names(stage: str) -> list[str]:
    """List the tables that a stage writes."""
    return [name.removeprefix(f"{stage}/") for name in TABLES if name.startswith(f"{stage}/")]


def kinds_of(curvature: str, runs: int) -> dict[str, str]:
    """Name the kind of P, as the stage ``fidelity`` scores it, of each array of ``VECTORS``.

    >>> kinds_of("ekfac", runs=4)["endpoint_runs"]
    'ekfac_runs'
    """
    mean = "_runs" if runs > 1 else ""
    return {
        "endpoint": curvature,
        "endpoint_runs": f"{curvature}_runs",
        "segments": f"segments{mean}",
        "last_layer": f"last_layer{mean}",
    }


def write_outputs(
    stage: str,
    dataset: str,
    tables: Mapping[str, list[dict[str, Any]]] | None = None,
    weights: Mapping[str, np.ndarray] | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> None:
    """Write the tables of a stage, the weights of its methods, and its metrics.

    Without them, where a data set leaves the stage out, all files are there and empty.
    """
    out = folder("reports", stage, dataset)
    for name in table_names(stage):
        rows = tables[name] if tables else []
        write_csv(out / f"{name}.csv", rows, list(TABLES[f"{stage}/{name}"]))
    arrays = {name: weights_n.astype(np.float32) for name, weights_n in (weights or {}).items()}
    write_npz(out / "weights.npz", **arrays)
    write_json(out / "metrics.json", dict(metrics or {}))


def _typed(path: Path, column: pd.Series, kind: type | UnionType) -> pd.Series:
    """Convert the cells of one column."""
    if kind is str:
        return column
    try:
        if kind is float:
            return column.where(column != "", "nan").astype(np.float64)
        if kind is int:
            return column.astype(np.int64)
        if kind is bool:
            return column.map({"0": False, "1": True}).astype("boolean").astype(bool)
        return column.where(column != "", None).astype("Int64")
    except (ValueError, TypeError) as error:
        wanted = "0 or 1" if kind is bool else getattr(kind, "__name__", str(kind))
        raise InputError(
            f"{path}: expected {wanted} in column {column.name!r}; got {error}; run `dvc repro`"
        ) from None
