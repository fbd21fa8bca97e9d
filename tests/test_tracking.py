"""One state, one run: whoever logs it, however often, and whatever happens to the first who tries."""

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from catwise import tracking
from catwise.errors import InputError
from stages.track import STAGES, fingerprint, flat

# SQLAlchemy 2.1 warns about a strategy that mlflow 3.17 still uses
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")

REPOSITORY = Path(__file__).parents[1]
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """A repository that DVC calls its root, with a blank in its path; stages run in a folder beside it."""
    root = tmp_path / "the root"
    (root / "elsewhere").mkdir(parents=True)
    monkeypatch.chdir(root / "elsewhere")
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    monkeypatch.delenv("DVC_EXP_BASELINE_REV", raising=False)
    return root


@pytest.fixture
def client(root):
    def connect():
        return tracking.MlflowClient(f"sqlite:///{root / 'mlflow.db'}")

    return connect


def rows(classes=("red", "blue"), epochs=2):
    return [
        {"epoch": str(epoch), "split": "test", "class": name, "accuracy": f"{epoch / 10}", "loss": "1.5"}
        for epoch in range(epochs)
        for name in classes
    ]


def state(**changes):
    figure = Path("reports", "figures", "toy", "plane.png")
    figure.parent.mkdir(parents=True, exist_ok=True)
    figure.write_bytes(PNG)
    base = tracking.State(
        dataset="toy",
        key="a" * 64,
        data_sha256="5" * 64,
        parameters={"train.l2": 0.001, "prepare.flips": [50, 20], "train.model": "logistic"},
        history=rows(),
        summaries={"train": {"worst_class": "red", "worst_class_accuracy": 0.1}},
        files=[figure],
    )
    return replace(base, **changes)


def runs(client, dataset="toy"):
    return client.search_runs([client.get_experiment_by_name(dataset).experiment_id])


def python(*lines):
    """A process of its own that runs ``lines``."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen([sys.executable, "-c", "\n".join(lines)], text=True, env=environment, **pipes)


def test_the_same_state_twice_is_one_run_and_says_so(client):
    assert tracking.log(state()) == "mlflow: logged run aaaaaaaa"
    assert tracking.log(state()) == "mlflow: run aaaaaaaa was logged already"
    assert len(runs(client())) == 1


def test_two_states_are_two_runs_and_coming_back_to_the_first_adds_none(client):
    for key in ("a" * 64, "b" * 64, "a" * 64):
        tracking.log(state(key=key))
    assert sorted(run.data.tags["dvc.key"][0] for run in runs(client())) == ["a", "b"]


def test_a_run_holds_the_whole_state(client, root, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "noble-newt")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "c0ffee")
    tracking.log(state())
    (run,) = runs(client())
    assert (run.info.run_name, run.info.status) == ("noble-newt", "FINISHED")
    assert run.data.params == {"train.l2": "0.001", "prepare.flips": "[50, 20]", "train.model": "logistic"}
    wanted = {
        "dvc.key": "a" * 64,
        "data.sha256": "5" * 64,
        "dvc.experiment": "noble-newt",
        "git.commit": "c0ffee",
        "train/worst_class": "red",
    }
    assert run.data.tags.items() >= wanted.items()
    assert run.data.metrics["train/worst_class_accuracy"] == 0.1
    curve = client().get_metric_history(run.info.run_id, "test/accuracy/red")
    assert [(point.step, point.value) for point in curve] == [(0, 0.0), (1, 0.1)]
    stored = Path(run.info.artifact_uri, "reports/figures/toy/plane.png")
    assert stored.is_relative_to(root / "mlartifacts")
    assert stored.read_bytes() == PNG
    listed = client().list_artifacts(run.info.run_id, "reports/figures/toy")
    assert [item.path for item in listed] == ["reports/figures/toy/plane.png"]
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("toy", "5" * 36)


def test_a_run_that_was_killed_is_replaced(client):
    killed = python(
        "import os, signal",
        "from catwise import tracking",
        "tracking._fill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)",
        "tracking.log(tracking.State('toy', 'a' * 64, '5' * 64, {}, [], {}, []))",
    )
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    (left,) = runs(client())
    assert left.info.status == "RUNNING"
    assert tracking.log(state()).startswith("mlflow: logged")
    (run,) = runs(client())
    assert run.info.status == "FINISHED"
    assert run.info.run_id != left.info.run_id


def test_a_deleted_experiment_comes_back_with_nothing_but_the_new_run(client):
    tracking.log(state(key="b" * 64))
    tracking.log(state())
    client().delete_experiment(client().get_experiment_by_name("toy").experiment_id)
    assert tracking.log(state()).startswith("mlflow: logged")
    assert [run.data.tags["dvc.key"] for run in runs(client())] == ["a" * 64]


def test_nan_null_and_text_never_become_metrics(client):
    history = [
        {"epoch": "0", "split": "test", "class": "red", "accuracy": "", "loss": "nan"},
        {"epoch": "1", "split": "test", "class": "red", "accuracy": "0.5", "loss": "inf"},
    ]
    summary = {"none": None, "nan": float("nan"), "infinite": float("-inf"), "text": "red", "list": [1], "number": 2}
    tracking.log(state(history=history, summaries={"train": summary}))
    (run,) = runs(client())
    assert run.data.metrics == {"test/accuracy/red": 0.5, "train/number": 2.0}
    assert len(client().get_metric_history(run.info.run_id, "test/accuracy/red")) == 1


def test_more_than_one_call_may_carry_arrives_complete(client, monkeypatch):
    """MLflow's limit is 1,000 metrics or 100 parameters a call."""
    calls = []
    log_batch = tracking.MlflowClient.log_batch

    def counted(self, run_id, metrics=(), params=(), **options):
        calls.append((len(metrics), len(params)))
        log_batch(self, run_id, metrics=metrics, params=params, **options)

    monkeypatch.setattr(tracking.MlflowClient, "log_batch", counted)
    classes = [f"class {number}" for number in range(110)]
    parameters = {f"p.{number}": number for number in range(230)}
    tracking.log(state(history=rows(classes, epochs=6), parameters=parameters))
    (run,) = runs(client())
    assert run.data.params == {name: str(value) for name, value in parameters.items()}
    curves = [name for name in run.data.metrics if name.startswith("test/")]
    assert len(curves) == 220
    points = [client().get_metric_history(run.info.run_id, name) for name in curves]
    assert [[point.step for point in curve] for curve in points] == [list(range(6))] * 220
    assert sum(metrics for metrics, _ in calls) == 1321
    assert max(metrics for metrics, _ in calls) == 1000
    assert max(params for _, params in calls) == 100


def test_odd_class_names_are_kept_apart(client):
    odd = ["T-shirt/top", "C++", "C--", "..", "/a", "a/", "a//b", "a:b", "naïve 猫", "{x}", "50 %\n", "nan", ".x"]
    tracking.log(state(history=rows(odd, epochs=1)))
    (run,) = runs(client())
    names = {name for name in run.data.metrics if name.startswith("test/accuracy/")}
    assert len(names) == len(odd)
    assert {"test/accuracy/T-shirt/top", "test/accuracy/C:2b::2b:", "test/accuracy/naïve 猫"} <= names


@pytest.mark.parametrize("name", ["", "x" * 300])
def test_a_class_name_that_mlflow_cannot_hold_is_one_line_and_no_run(name, root):
    with pytest.raises(InputError, match=r"^class or metric: expected a name of 1 to \d+ characters.*came .*$"):
        tracking.log(state(history=rows([name])))
    assert not (root / "mlflow.db").exists()


def test_four_processes_that_open_a_new_database_lose_no_run(client):
    writers = [
        python(
            "import sys",
            "from catwise import tracking",
            "print('ready', flush=True)",
            "sys.stdin.readline()",
            f"for key in ('{letter}' * 64, 'f' * 64):",
            "    print(tracking.log(tracking.State('toy', key, '5' * 64, {}, [], {'train': {'loss': 1}}, [])))",
        )
        for letter in "abcd"
    ]
    assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 4  # all have imported mlflow: now
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    said = [writer.communicate(timeout=120) for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4
    assert [errors for _, errors in said] == [""] * 4  # no noise from mlflow or alembic
    lines = [line for output, _ in said for line in output.splitlines()]
    assert sum(line.startswith("mlflow: logged run") for line in lines) == 5
    assert lines.count("mlflow: run ffffffff was logged already") == 3
    found = runs(client())
    assert sorted(run.data.tags["dvc.key"][0] for run in found) == list("abcdf")
    assert all(run.info.status == "FINISHED" and run.data.metrics == {"train/loss": 1} for run in found)


def test_the_key_changes_with_every_parameter_name_and_byte_and_with_nothing_else():
    first, second = Path("first.csv"), Path("second.csv")
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    key = fingerprint({"a": 1, "b": 2}, [first, second])
    assert fingerprint({"b": 2, "a": 1}, [second, first]) == key
    others = {fingerprint({"a": 1, "b": 2.5}, [first, second]), fingerprint({"a": 1, "b": 2}, [first])}
    first.write_bytes(b"2")
    others.add(fingerprint({"a": 1, "b": 2}, [first, second]))
    assert len(others | {key}) == 4


def test_flat_joins_names_with_dots():
    assert flat({"train": {"l2": 0.1, "deep": {"x": [1]}}, "threads": 1}) == {
        "train.l2": 0.1,
        "train.deep.x": [1],
        "threads": 1,
    }


def test_the_stage_logs_the_files_of_the_pipeline_and_writes_the_key_alone(client, root):
    files = {
        "data/linear/card.json": json.dumps({"sha256": "7" * 64}),
        "reports/figures/linear/captions.json": "{}",
        **{f"reports/{stage}/linear/metrics.json": '{"x": 1}' for stage in STAGES},
    }
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    with Path("reports/train/linear/history.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["epoch", "split", "class", "accuracy", "loss"])
        writer.writeheader()
        writer.writerows(rows(["a,b"]))
    Path("params.yaml").write_text((REPOSITORY / "params.yaml").read_text())
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "stages.track", "linear"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    (run,) = runs(client(), "linear")
    assert (done.stdout, done.stderr) == (f"mlflow: logged run {run.info.run_name}\n", "")
    assert json.loads(Path("reports/track/linear.json").read_text()) == {"key": run.data.tags["dvc.key"]}
    assert run.data.metrics["ceiling/x"] == 1
    assert run.data.metrics["test/accuracy/a:2c:b"] == 0.1
    assert run.data.params["prepare.seed"] == "0"
    assert (root / "mlflow.db.lock").exists()
    assert not Path("mlflow.db").exists()
