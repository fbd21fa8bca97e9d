"""One MLflow run for every state of the pipeline, however often and from wherever that state is logged.

DVC runs nothing for a stage that it has cached, and runs an experiment (``--temp``, ``--queue``) in a folder that it
deletes. So no stage logs while it works: ``stages/track.py`` hands over the finished files with a key made of their
bytes, and a state is logged if no *finished* run has its key. A run that was killed half-way is replaced.

A file lock beside the database serialises the writers, its first use included: processes that open a new database at
the same time break it for good. Nothing here returns anything that reaches an output of the pipeline.
"""

import json
import math
import os
import posixpath
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from catwise.errors import InputError

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # mlflow reads both while it is imported
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, LifecycleStage, Metric, Param

__all__ = ["State", "log"]

Item = TypeVar("Item")
PATIENCE = 600  # seconds to wait for the lock; a run takes about one, and a killed writer frees it
LONGEST_NAME = 250  # of a metric, in MLflow
DIGEST = 36  # characters that MLflow keeps of the digest of a data set


@dataclass(frozen=True)
class State:
    """What one data set looks like after a pass through the pipeline."""

    dataset: str
    key: str  # the same for the same state, and for no other
    data_sha256: str
    parameters: dict[str, Any]  # by dotted name
    history: Sequence[dict[str, str]]  # rows with epoch, split, class and one column per measure
    summaries: dict[str, dict[str, Any]]  # metrics.json by stage
    files: Sequence[Path]  # relative; artifacts keep these paths


def log(state: State) -> str:
    """Logs ``state`` into ``mlflow.db`` of the repository if it is new, and returns one line that says so."""
    root = Path(os.environ.get("DVC_ROOT") or ".").resolve()  # of the parent, when DVC runs in a folder of its own
    metrics, strings = _measurements(state)  # before a run exists, for a name can be refused
    with FileLock(root / "mlflow.db.lock", timeout=PATIENCE):
        client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
        experiment = _experiment(client, state.dataset, root / "mlartifacts")
        for run in client.search_runs([experiment], f"tags.`dvc.key` = '{state.key}'"):
            if run.info.status == "FINISHED":
                return f"mlflow: run {run.info.run_name} was logged already"
            client.delete_run(run.info.run_id)
        name = os.environ.get("DVC_EXP_NAME") or state.key[:8]
        run = client.create_run(experiment, run_name=name, tags=_tags(state) | strings)
        points = [Metric(metric, value, run.info.start_time, epoch) for metric, value, epoch in metrics]
        _fill(client, run.info.run_id, state, points)
        client.set_terminated(run.info.run_id, "FINISHED")
    return f"mlflow: logged run {name}"


def _experiment(client: MlflowClient, name: str, artifacts: Path) -> str:
    """The id of the data set's experiment; one that a user deleted comes back empty, because its name stays taken."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return client.create_experiment(name, artifact_location=str(artifacts))
    if experiment.lifecycle_stage == LifecycleStage.DELETED:
        client.restore_experiment(experiment.experiment_id)
        while runs := client.search_runs([experiment.experiment_id]):
            for run in runs:
                client.delete_run(run.info.run_id)
    return experiment.experiment_id


def _fill(client: MlflowClient, run_id: str, state: State, metrics: list[Metric]) -> None:
    parameters = [Param(name, _text(value)) for name, value in state.parameters.items()]
    for params in _parts(parameters, 100):
        client.log_batch(run_id, params=params, synchronous=True)
    for part in _parts(metrics, 1000):
        client.log_batch(run_id, metrics=part, synchronous=True)
    source = json.dumps({"uri": f"data/{state.dataset}"})
    data = Dataset(state.dataset, state.data_sha256[:DIGEST], "local", source)
    client.log_inputs(run_id, datasets=[DatasetInput(data)])
    for file in state.files:
        client.log_artifact(run_id, str(file), file.parent.as_posix())


def _measurements(state: State) -> tuple[list[tuple[str, float, int]], dict[str, str]]:
    """(name, value, epoch) of every finite number, and the strings, which become tags."""
    found: list[tuple[str, Any, int]] = []
    for row in state.history:
        for measure in row.keys() - {"epoch", "split", "class"}:
            value = float(row[measure] or "nan")
            found.append((_name(f"{row['split']}/{measure}", row["class"]), value, int(row["epoch"])))
    for stage, summary in state.summaries.items():
        found += [(_name(stage, key), value, 0) for key, value in summary.items()]
    strings = {name: value for name, value, _ in found if isinstance(value, str)}
    return [(n, float(v), step) for n, v, step in found if isinstance(v, int | float) and math.isfinite(v)], strings


def _name(prefix: str, last: str) -> str:
    """``prefix/last``, each character of ``last`` that MLflow refuses as :hex:, so that no two names become one."""
    unclear = posixpath.normpath(f"x/{last}") != f"x/{last}"  # "a//b", "..", "/a"
    name = f"{prefix}/" + re.sub(r"[^\w -]" if unclear else r"[^\w ./-]", lambda odd: f":{ord(odd[0]):x}:", last)
    if not last or len(name) > LONGEST_NAME:
        raise InputError(
            f"class or metric: expected a name of 1 to {LONGEST_NAME - len(prefix) - 1} characters "
            f"for MLflow; came {last[:60]!r}"
        )
    return name


def _tags(state: State) -> dict[str, str]:
    tags = {"dvc.key": state.key, "data.sha256": state.data_sha256}
    if commit := os.environ.get("DVC_EXP_BASELINE_REV") or _head():
        tags["git.commit"] = commit
    if experiment := os.environ.get("DVC_EXP_NAME"):
        tags["dvc.experiment"] = experiment
    return tags


def _head() -> str | None:
    """The commit checked out here, if git is there and this is a repository with one."""
    try:
        shown = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return shown.stdout.strip()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _parts(items: list[Item], size: int) -> Iterator[list[Item]]:
    """``items`` in lists no longer than MLflow's own limit for one call, which its local store does not enforce."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
