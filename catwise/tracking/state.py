"""Collect the state of one data set: what is logged of it, under a key made of all its bytes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from catwise.config import params
from catwise.core.errors import InputError
from catwise.pipeline.results import STAGES, Results
from catwise.pipeline.stage import with_precision
from catwise.pipeline.tables import table_names
from catwise.report.metrics import flat
from catwise.tracking import contents
from catwise.tracking.mlflow_log import State, committed

__all__ = ["changes", "fingerprint", "state_of"]

TABLES = {"train": ["history"]} | {
    stage: table_names(stage) for stage in ("ceiling", "improve", "reweight")
}


def state_of(results: Results) -> State:
    """Return all that MLflow is to hold of these results."""
    parameters = flat(results.parameters)
    files = logged_files(results)
    weights = [results.folder_of(stage) / "weights.npz" for stage in ("reweight", "improve")]
    tables = contents.weights(results)
    return State(
        dataset=results.dataset,
        key=fingerprint(parameters, [*files, *weights]),
        data_sha256=results.card.record["sha256"],
        parameters=parameters,
        points=list(contents.curves(results)),
        summaries={stage: flat(results.metrics(stage)) for stage in STAGES},
        files=files,
        texts={
            (results.folder_of(stage) / "weights.csv").as_posix(): table
            for stage, table in tables.items()
        },
        note=contents.note(results),
        changes=changes(results.dataset, parameters),
    )


def logged_files(results: Results) -> list[Path]:
    """List the card, the metrics, the tables and the figures; raise InputError without figures."""
    drawn = results.folder_of("figures")
    figures = sorted(path for path in drawn.rglob("*") if path.is_file())
    if not figures:
        raise InputError(
            f"{drawn}: expected figures; got none; `dvc repro figures@{results.dataset}` draws them"
        )
    return [
        results.folder_of("data") / "card.json",
        *(results.folder_of(stage) / "metrics.json" for stage in STAGES),
        *(
            results.folder_of(stage) / f"{name}.csv"
            for stage, names in TABLES.items()
            for name in names
        ),
        *figures,
    ]


def fingerprint(parameters: Mapping[str, Any], files: Sequence[Path]) -> str:
    """Return sha256 over the parameters, and the name and bytes of every file."""
    hashes = {path.as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    state = json.dumps({"parameters": parameters, "files": hashes}, sort_keys=True)
    return hashlib.sha256(state.encode()).hexdigest()


def changes(dataset: str, parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the parameters that differ from those of the commit that this state starts from.

    None if that cannot be known: without git, for a data set that the commit does not have, or
    if its params.yaml belongs to another version of this project.
    """
    path = Path("params.yaml")
    text = committed(path)
    if text is None:
        return None
    try:
        datasets = params.parse(text, path).datasets
    except InputError:
        return None
    if dataset not in datasets:
        return None
    before = flat(with_precision(dataset, datasets[dataset]).model_dump())
    return {
        name: value
        for name, value in parameters.items()
        if name not in before or before[name] != value
    }
