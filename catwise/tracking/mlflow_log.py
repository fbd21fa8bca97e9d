"""Log one MLflow run for every state of the pipeline, however often and from wherever.

DVC runs nothing for a stage that it has cached, and it runs an experiment (``--temp``, ``--queue``)
in a folder that it deletes. So no stage logs while it works. The stage ``track`` hands over the
finished files with a key made of their bytes, and a state is logged if no *finished* run has its
key. A run that was killed half-way is replaced.

A file lock beside the database lets one writer in at a time, on its first use too: processes that
open a new database at the same time break it for good. Nothing here returns anything that reaches
an output of the pipeline.
"""

import json
import math
import os
import posixpath
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from filelock import FileLock

from catwise.core.errors import InputError
from catwise.pipeline.environment import git

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # mlflow reads both while it is imported
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LifecycleStage, Metric, Param
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

__all__ = ["Point", "State", "committed", "log"]

Item = TypeVar("Item")
PATIENCE = 600  # seconds to wait for the lock; a run takes about one, a killed writer frees it
LONGEST_NAME = 250  # characters of a metric's name, in MLflow
DIGEST = 8  # characters of the data's sha256 that a table has room for; a tag has all of them
CHANGES, WIDTH = 3, 40  # how many changes the name of a run shows, and how much of each
KIND = {"mlflow.experimentKind": "custom_model_development"}  # else the UI shows it as prompts


class Point(NamedTuple):
    """Hold a point of the curve ``prefix/name``; MLflow shows the curves of a prefix together."""

    prefix: str  # one of ours
    name: str  # anybody's: a class, a search
    step: int
    value: float  # NaN where there is none


@dataclass(frozen=True)
class State:
    """Hold what one data set looks like after a pass through the pipeline."""

    dataset: str
    key: str  # the same for the same state, and for no other
    data_sha256: str
    parameters: Mapping[str, Any]  # by dotted name
    points: Sequence[Point]
    summaries: Mapping[str, Mapping[str, Any]]  # metrics.json by stage
    files: Sequence[Path]  # relative; artifacts keep these paths
    texts: Mapping[str, str] = field(default_factory=dict)  # more artifacts, by path
    note: str = ""  # markdown that heads the page of the run
    changes: Mapping[str, Any] | None = None  # parameters that are not as committed, if known


def log(state: State) -> str:
    """Log ``state`` into ``mlflow.db`` of the repository if it is new; return a line that says so.

    When DVC runs an experiment in a folder of its own, the database is that of the repository.
    """
    root = Path(os.environ.get("DVC_ROOT") or ".").resolve()
    metrics, strings = _measurements(state)  # before a run exists, because a name can be refused
    with FileLock(root / "mlflow.db.lock", timeout=PATIENCE), _usable(root / "mlflow.db") as path:
        client = _client(path)
        experiment = _experiment(client, state.dataset, root / "mlartifacts")
        for run in client.search_runs([experiment], f"tags.`dvc.key` = '{state.key}'"):
            if run.info.status == "FINISHED":
                return f"mlflow: run {run.info.run_name} was logged already"
            client.delete_run(run.info.run_id)
        commit = os.environ.get("DVC_EXP_BASELINE_REV") or git("rev-parse", "HEAD")
        name = _title(state, commit)
        run = client.create_run(experiment, run_name=name, tags=_tags(state, commit) | strings)
        start = run.info.start_time
        points = [Metric(metric, value, start, step) for metric, value, step in metrics]
        _fill(client, run.info.run_id, state, points)
        client.set_terminated(run.info.run_id, "FINISHED")
    return f"mlflow: logged run {name}"


@contextmanager
def _usable(path: Path) -> Iterator[Path]:
    """Give the database if it is sound, because MLflow tries a damaged one for minutes.

    Whatever goes wrong with it meanwhile becomes an InputError of one line.
    """
    try:
        if path.exists():
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                (report,) = database.execute("pragma quick_check(1)").fetchone()
            if report != "ok":
                raise sqlite3.DatabaseError(report)
        yield path
    except (sqlite3.Error, SQLAlchemyError, MlflowException) as error:
        reason = " ".join(str(error).split("[SQL")[0].split())[:200]
        raise InputError(
            f"{path}: expected a sound MLflow database that has room; got: {reason}; "
            "`make doctor` looks at it"
        ) from None


def _client(path: Path) -> MlflowClient:
    """Open the database; a new one gets its name when it is whole.

    MLflow cannot go on with half of one. What a process left that was killed here, a database with
    its journal, is removed.
    """
    if not path.exists():
        new = path.with_name(f"{path.name}.new")
        for left in path.parent.glob(f"{new.name}*"):
            left.unlink()
        MlflowClient(f"sqlite:///{new}")  # makes the tables
        os.replace(new, path)
    return MlflowClient(f"sqlite:///{path}")


def _experiment(client: MlflowClient, name: str, artifacts: Path) -> str:
    """Return the id of the data set's experiment.

    One that a user deleted is restored without its runs, because its name stays taken. Raises
    InputError where artifacts would go elsewhere, as MLflow remembers from before a folder moved.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return client.create_experiment(name, artifact_location=str(artifacts), tags=KIND)
    if (place := experiment.artifact_location.removeprefix("file://")) != str(artifacts):
        raise InputError(
            f"mlflow.db: expected artifacts in {artifacts}; got {place}, where this folder was"
            " before; move mlflow.db away, for a new one"
        )
    if experiment.lifecycle_stage == LifecycleStage.DELETED:
        client.restore_experiment(experiment.experiment_id)
        while runs := client.search_runs([experiment.experiment_id]):
            for run in runs:
                client.delete_run(run.info.run_id)
    return experiment.experiment_id


def _fill(client: MlflowClient, run_id: str, state: State, metrics: list[Metric]) -> None:
    """Log parameters, metrics, the data set, files and texts."""
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
    """Return (name, value, step) of every finite number, and the strings, which become tags.

    A summary that has a curve is left out: it would be a jump at step 0.
    """
    numbers = [(_name(point.prefix, point.name), point.value, point.step) for point in state.points]
    curves = {name for name, _, _ in numbers}
    strings = {}
    for stage, summary in state.summaries.items():
        for key, value in summary.items():
            name = _name(stage, key)
            if isinstance(value, str):
                strings[name] = value
            elif isinstance(value, int | float) and name not in curves:
                numbers.append((name, float(value), 0))
    return [number for number in numbers if math.isfinite(number[1])], strings


def _name(prefix: str, last: str) -> str:
    """Return ``prefix/last`` with what MLflow refuses written differently.

    A comma and a blank become a colon and a blank, any other character becomes :hex:, so that two
    names stay two. A slash stays unless the path would then be another one ("a//b", "..", "/a").
    """
    unclear = posixpath.normpath(f"x/{last}") != f"x/{last}"
    refused = r", |[^\w -]" if unclear else r", |[^\w ./-]"
    allowed = re.sub(refused, lambda odd: ": " if odd[0] == ", " else f":{ord(odd[0]):x}:", last)
    name = f"{prefix}/{allowed}"
    if not last or len(name) > LONGEST_NAME:
        raise InputError(
            f"class or metric: expected a name of 1 to {LONGEST_NAME - len(prefix) - 1} characters "
            f"for MLflow; got {last[:60]!r}"
        )
    return name


def _title(state: State, commit: str | None) -> str:
    """Name a run by what a person looks for: changed parameters, and DVC's name of the experiment.

    A parameter goes by its last name unless two sections have one of this name.
    """
    last = [name.rpartition(".")[2] for name in state.parameters]
    shown = []
    for name, value in (state.changes or {}).items():
        short = name.rpartition(".")[2]
        change = f"{short if last.count(short) == 1 else name}={_text(value)}"
        shown.append(change if len(change) <= WIDTH else change[: WIDTH - 1] + "…")
    if len(shown) > CHANGES:
        shown[CHANGES:] = [f"{len(shown) - CHANGES} more"]
    if not shown:
        shown = [state.key[:8]]
        if commit is not None and state.changes is not None:
            shown = [f"as committed in {commit[:7]}"]
    experiment = os.environ.get("DVC_EXP_NAME")
    return ", ".join(shown) + (f" ({experiment})" if experiment else "")


def _tags(state: State, commit: str | None) -> dict[str, str]:
    """Return the tags, under MLflow's own names where its pages know how to show them."""
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
    """Return the file as it is in the commit that an experiment starts from, if git has it."""
    text = git("show", f"{os.environ.get('DVC_EXP_BASELINE_REV') or 'HEAD'}:./{path.as_posix()}")
    return text.encode() if text else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _parts(items: list[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists within MLflow's limit for one call, which a local store does not enforce."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
