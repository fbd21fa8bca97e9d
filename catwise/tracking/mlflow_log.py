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
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from filelock import FileLock

from catwise.core.errors import InputError

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # mlflow reads both while it is imported
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LifecycleStage, Metric, Param
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

__all__ = ["Point", "State", "committed", "log"]

Item = TypeVar("Item")
PATIENCE = 600  # seconds to wait for the lock; a run takes about one, and a killed writer frees it
LONGEST_NAME = 250  # of a metric, in MLflow
DIGEST = 8  # characters of the digest of a data set that a table has room for; the tag has them all
CHANGES, WIDTH = 3, 40  # that a run's name shows, and how much of each
KIND = {
    "mlflow.experimentKind": "custom_model_development"
}  # else the UI shows an experiment as one of prompts


class Point(NamedTuple):
    """A point of the curve ``prefix/name``. MLflow shows the curves of one prefix, those of all classes, together."""

    prefix: str  # ours
    name: str  # anybody's: a class, a search
    step: int
    value: str  # as in a table, blank where there is none


@dataclass(frozen=True)
class State:
    """What one data set looks like after a pass through the pipeline."""

    dataset: str
    key: str  # the same for the same state, and for no other
    data_sha256: str
    parameters: Mapping[str, Any]  # by dotted name
    points: Sequence[Point]
    summaries: Mapping[str, Mapping[str, Any]]  # metrics.json by stage
    files: Sequence[Path]  # relative; artifacts keep these paths
    texts: Mapping[str, str] = field(default_factory=dict)  # more artifacts, by path
    note: str = ""  # markdown that heads the page of the run
    changes: Mapping[str, Any] | None = (
        None  # those of the parameters that are not as committed, if that is known
    )


def log(state: State) -> str:
    """Logs ``state`` into ``mlflow.db`` of the repository if it is new, and returns one line that says so."""
    root = Path(
        os.environ.get("DVC_ROOT") or "."
    ).resolve()  # of the parent, when DVC runs in a folder of its own
    metrics, strings = _measurements(state)  # before a run exists, for a name can be refused
    with FileLock(root / "mlflow.db.lock", timeout=PATIENCE), _usable(root / "mlflow.db") as path:
        client = _client(path)
        experiment = _experiment(client, state.dataset, root / "mlartifacts")
        for run in client.search_runs([experiment], f"tags.`dvc.key` = '{state.key}'"):
            if run.info.status == "FINISHED":
                return f"mlflow: run {run.info.run_name} was logged already"
            client.delete_run(run.info.run_id)
        commit = os.environ.get("DVC_EXP_BASELINE_REV") or _git("rev-parse", "HEAD")
        name = _title(state, commit)
        run = client.create_run(experiment, run_name=name, tags=_tags(state, commit) | strings)
        points = [
            Metric(metric, value, run.info.start_time, step) for metric, value, step in metrics
        ]
        _fill(client, run.info.run_id, state, points)
        client.set_terminated(run.info.run_id, "FINISHED")
    return f"mlflow: logged run {name}"


@contextmanager
def _usable(path: Path) -> Iterator[Path]:
    """The database, if it is sound: MLflow tries a damaged one for minutes. What goes wrong with it is one line."""
    expected = f"{path}: expected a sound MLflow database that has room"
    try:
        if path.exists():
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                (said,) = database.execute("pragma quick_check(1)").fetchone()
            if said != "ok":
                raise sqlite3.DatabaseError(said)
        yield path
    except (sqlite3.Error, SQLAlchemyError, MlflowException) as error:
        said = " ".join(str(error).split("[SQL")[0].split())[:200]
        raise InputError(f"{expected}; got: {said}; `make doctor` looks at it") from None


def _client(path: Path) -> MlflowClient:
    """A client of the database. A new one gets its name when it is whole: MLflow cannot go on with half of one."""
    if not path.exists():
        new = path.with_name(f"{path.name}.new")
        for left in path.parent.glob(
            f"{new.name}*"
        ):  # by a process that was killed here, with its journal
            left.unlink()
        MlflowClient(f"sqlite:///{new}")  # makes the tables
        os.replace(new, path)
    return MlflowClient(f"sqlite:///{path}")


def _experiment(client: MlflowClient, name: str, artifacts: Path) -> str:
    """The id of the data set's experiment; one that a user deleted comes back empty, because its name stays taken."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return client.create_experiment(name, artifact_location=str(artifacts), tags=KIND)
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
    client.log_inputs(
        run_id, datasets=[DatasetInput(data, [InputTag("mlflow.data.context", "training")])]
    )
    for file in state.files:
        client.log_artifact(run_id, str(file), file.parent.as_posix())
    for path, text in state.texts.items():
        client.log_text(run_id, text, path)


def _measurements(state: State) -> tuple[list[tuple[str, float, int]], dict[str, str]]:
    """(name, value, step) of every finite number, and the strings, which become tags."""
    curves = [
        (_name(point.prefix, point.name), float(point.value or "nan"), point.step)
        for point in state.points
    ]
    drawn = {name for name, _, _ in curves}
    found: list[tuple[str, Any]] = []
    for stage, summary in state.summaries.items():
        found += [(_name(stage, key), value) for key, value in summary.items()]
    strings = {name: value for name, value in found if isinstance(value, str)}
    numbers = [
        (name, float(value), 0)
        for name, value in found
        if isinstance(value, int | float) and name not in drawn
    ]
    return [
        (name, value, step) for name, value, step in curves + numbers if math.isfinite(value)
    ], strings


def _name(prefix: str, last: str) -> str:
    """``prefix/last`` with what MLflow refuses written differently, so that no two names become one: a comma and a
    blank as a colon and a blank, any other character as :hex:."""
    unclear = posixpath.normpath(f"x/{last}") != f"x/{last}"  # "a//b", "..", "/a"
    refused = r", |[^\w -]" if unclear else r", |[^\w ./-]"
    name = f"{prefix}/" + re.sub(
        refused, lambda odd: ": " if odd[0] == ", " else f":{ord(odd[0]):x}:", last
    )
    if not last or len(name) > LONGEST_NAME:
        raise InputError(
            f"class or metric: expected a name of 1 to {LONGEST_NAME - len(prefix) - 1} characters "
            f"for MLflow; got {last[:60]!r}"
        )
    return name


def _title(state: State, commit: str | None) -> str:
    """What a person looks for in a list or a legend: changed parameters, and DVC's name of the experiment."""
    last = [name.rpartition(".")[2] for name in state.parameters]
    changes = []
    for name, value in (state.changes or {}).items():
        short = name.rpartition(".")[2]
        change = f"{short if last.count(short) == 1 else name}={_text(value)}"
        changes.append(change if len(change) <= WIDTH else change[: WIDTH - 1] + "…")
    shown = changes[:CHANGES] + (
        [f"{len(changes) - CHANGES} more"] if len(changes) > CHANGES else []
    )
    unchanged = (
        [f"as committed in {commit[:7]}"] if state.changes == {} and commit else [state.key[:8]]
    )
    experiment = os.environ.get("DVC_EXP_NAME")
    return ", ".join(shown or unchanged) + (f" ({experiment})" if experiment else "")


def _tags(state: State, commit: str | None) -> dict[str, str]:
    """With a name of its own what MLflow's pages know how to show."""
    tags = {
        "dvc.key": state.key,
        "data.sha256": state.data_sha256,
        "mlflow.note.content": state.note,
    }
    tags |= {"mlflow.source.type": "PROJECT", "mlflow.source.name": "dvc.yaml"}
    if commit:
        tags["mlflow.source.git.commit"] = commit
    if experiment := os.environ.get("DVC_EXP_NAME"):
        tags["dvc.experiment"] = experiment
    return tags


def committed(path: Path) -> bytes | None:
    """``path`` as it is in the commit that an experiment starts from, if git is there and has it."""
    text = _git("show", f"{os.environ.get('DVC_EXP_BASELINE_REV') or 'HEAD'}:./{path.as_posix()}")
    return text.encode() if text else None


def _git(*arguments: str) -> str | None:
    """What git says, if it is there, this is a repository and it can answer."""
    try:
        shown = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, encoding="utf-8", check=True
        )
    except (OSError, subprocess.CalledProcessError, UnicodeDecodeError):
        return None
    return shown.stdout.strip()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _parts(items: list[Item], size: int) -> Iterator[list[Item]]:
    """``items`` in lists no longer than MLflow's own limit for one call, which its local store does not enforce."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
