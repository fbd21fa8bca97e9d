"""One state, one run: whoever logs it, however often, and whatever happens to the first who tries."""

import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from catwise.config import params
from catwise.core.errors import InputError
from catwise.pipeline.files import write_npz
from catwise.tracking import contents, mlflow_log
from catwise.tracking.mlflow_log import Point
from stages.track import STAGES, changes, fingerprint, flat

# SQLAlchemy 2.1 warns about a strategy that mlflow 3.17 still uses
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")

REPOSITORY = Path(__file__).parents[2]
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
        return mlflow_log.MlflowClient(f"sqlite:///{root / 'mlflow.db'}")

    return connect


def points(classes=("red", "blue"), epochs=2):
    return [
        Point(f"{measure}/test", name, epoch, value)
        for epoch in range(epochs)
        for name in classes
        for measure, value in (("accuracy", f"{epoch / 10}"), ("loss", "1.5"))
    ]


def state(**changes):
    figure = Path("reports", "figures", "toy", "plane.png")
    figure.parent.mkdir(parents=True, exist_ok=True)
    figure.write_bytes(PNG)
    base = mlflow_log.State(
        dataset="toy",
        key="a" * 64,
        data_sha256="5" * 64,
        parameters={"train.l2": 0.001, "prepare.flips": [50, 20], "train.model": "logistic"},
        points=points(),
        summaries={"train": {"worst_class": "red", "worst_class_accuracy": 0.1}},
        files=[figure],
        texts={"reports/reweight/toy/weights.csv": "sample,label\n0,red\n"},
        note="**Room.**",
    )
    return replace(base, **changes)


def runs(client, dataset="toy"):
    return client.search_runs([client.get_experiment_by_name(dataset).experiment_id])


def python(*lines):
    """A process of its own that runs ``lines``."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)], text=True, env=environment, **pipes
    )


def killed(*lines):
    """A process of its own that runs ``lines``, which kill it."""
    process = python("import os, signal", "from catwise import tracking", *lines)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL


def test_the_same_state_twice_is_one_run_and_says_so(client):
    assert mlflow_log.log(state()) == "mlflow: logged run aaaaaaaa"
    assert mlflow_log.log(state()) == "mlflow: run aaaaaaaa was logged already"
    assert len(runs(client())) == 1


def test_two_states_are_two_runs_and_coming_back_to_the_first_adds_none(client):
    for key in ("a" * 64, "b" * 64, "a" * 64):
        mlflow_log.log(state(key=key))
    assert sorted(run.data.tags["dvc.key"][0] for run in runs(client())) == ["a", "b"]


def test_a_run_holds_the_whole_state(client, root, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "noble-newt")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "c0ffee")
    mlflow_log.log(state())
    (run,) = runs(client())
    assert (run.info.run_name, run.info.status) == ("aaaaaaaa (noble-newt)", "FINISHED")
    assert run.data.params == {
        "train.l2": "0.001",
        "prepare.flips": "[50, 20]",
        "train.model": "logistic",
    }
    wanted = {
        "dvc.key": "a" * 64,
        "data.sha256": "5" * 64,
        "dvc.experiment": "noble-newt",
        "mlflow.source.git.commit": "c0ffee",
        "mlflow.note.content": "**Room.**",
        "train/worst_class": "red",
    }
    assert run.data.tags.items() >= wanted.items()
    assert run.data.metrics["train/worst_class_accuracy"] == 0.1
    curve = client().get_metric_history(run.info.run_id, "accuracy/test/red")
    assert [(point.step, point.value) for point in curve] == [(0, 0.0), (1, 0.1)]
    stored = Path(run.info.artifact_uri, "reports/figures/toy/plane.png")
    assert stored.is_relative_to(root / "mlartifacts")
    assert stored.read_bytes() == PNG
    table = Path(run.info.artifact_uri, "reports/reweight/toy/weights.csv")
    assert table.read_text() == "sample,label\n0,red\n"
    listed = client().list_artifacts(run.info.run_id, "reports/figures/toy")
    assert [item.path for item in listed] == ["reports/figures/toy/plane.png"]
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("toy", "5" * 8)


def test_a_run_that_was_killed_is_replaced(client):
    killed(
        "tracking._fill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)",
        "tracking.log(tracking.State('toy', 'a' * 64, '5' * 64, {}, [], {}, []))",
    )
    (left,) = runs(client())
    assert left.info.status == "RUNNING"
    assert mlflow_log.log(state()).startswith("mlflow: logged")
    (run,) = runs(client())
    assert run.info.status == "FINISHED"
    assert run.info.run_id != left.info.run_id


def test_a_deleted_experiment_comes_back_with_nothing_but_the_new_run(client):
    mlflow_log.log(state(key="b" * 64))
    mlflow_log.log(state())
    client().delete_experiment(client().get_experiment_by_name("toy").experiment_id)
    assert mlflow_log.log(state()).startswith("mlflow: logged")
    assert [run.data.tags["dvc.key"] for run in runs(client())] == ["a" * 64]


def test_nan_null_and_text_never_become_metrics(client):
    values = {"accuracy": ("", "0.0"), "loss": ("nan", "-inf")}
    curves = [
        Point(f"{key}/test", "red", step, value)
        for key, found in values.items()
        for step, value in enumerate(found)
    ]
    summary = {
        "none": None,
        "nan": float("nan"),
        "infinite": float("-inf"),
        "text": "red",
        "list": [1],
        "number": 2,
    }
    mlflow_log.log(state(points=curves, summaries={"train": summary}))
    (run,) = runs(client())
    assert run.data.metrics == {"accuracy/test/red": 0.0, "train/number": 2.0}
    assert len(client().get_metric_history(run.info.run_id, "accuracy/test/red")) == 1


def test_more_than_one_call_may_carry_arrives_complete(client, monkeypatch):
    """MLflow's limit is 1,000 metrics or 100 parameters a call."""
    calls = []
    log_batch = mlflow_log.MlflowClient.log_batch

    def counted(self, run_id, metrics=(), params=(), **options):
        calls.append((len(metrics), len(params)))
        log_batch(self, run_id, metrics=metrics, params=params, **options)

    monkeypatch.setattr(mlflow_log.MlflowClient, "log_batch", counted)
    classes = [f"class {number}" for number in range(110)]
    parameters = {f"p.{number}": number for number in range(230)}
    mlflow_log.log(state(points=points(classes, epochs=6), parameters=parameters))
    (run,) = runs(client())
    assert run.data.params == {name: str(value) for name, value in parameters.items()}
    curves = [name for name in run.data.metrics if name.startswith(("accuracy/", "loss/"))]
    assert len(curves) == 220
    histories = [client().get_metric_history(run.info.run_id, name) for name in curves]
    assert [[point.step for point in curve] for curve in histories] == [list(range(6))] * 220
    assert sum(metrics for metrics, _ in calls) == 1321
    assert max(metrics for metrics, _ in calls) == 1000
    assert max(params for _, params in calls) == 100


def test_odd_class_names_are_kept_apart(client):
    odd = [
        "T-shirt/top",
        "C++",
        "C--",
        "..",
        "/a",
        "a/",
        "a//b",
        "a:b",
        "a, b",
        "a: b",
        "a,b",
        "a b",
        "naïve 猫",
        "{x}",
        "50 %\n",
        "nan",
        ".x",
    ]
    mlflow_log.log(state(points=points(odd, epochs=1)))
    (run,) = runs(client())
    names = {name for name in run.data.metrics if name.startswith("accuracy/test/")}
    assert len(names) == len(odd)
    assert {"T-shirt/top", "C:2b::2b:", "naïve 猫", "a: b"} <= {
        name.removeprefix("accuracy/test/") for name in names
    }


@pytest.mark.parametrize("name", ["", "x" * 300])
def test_a_class_name_that_mlflow_cannot_hold_is_one_line_and_no_run(name, root):
    with pytest.raises(
        InputError, match=r"^class or metric: expected a name of 1 to \d+ characters.*came .*$"
    ):
        mlflow_log.log(state(points=points([name])))
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
    assert [writer.stdout.readline() for writer in writers] == [
        "ready\n"
    ] * 4  # all have imported mlflow: now
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
    assert all(
        run.info.status == "FINISHED" and run.data.metrics == {"train/loss": 1} for run in found
    )


def test_a_process_that_was_killed_while_it_made_the_database_leaves_none(client, root):
    killed(
        "from sqlalchemy import Engine, event",
        "@event.listens_for(Engine, 'after_cursor_execute')",
        "def kill(connection, cursor, statement, *_):",
        "    if '_alembic_tmp_experiments' in statement:  # amid the migrations",
        "        os.kill(os.getpid(), signal.SIGKILL)",
        "tracking.log(tracking.State('toy', 'a' * 64, '5' * 64, {}, [], {}, []))",
    )
    assert not (root / "mlflow.db").exists()
    mlflow_log.log(state())
    assert [run.info.status for run in runs(client())] == ["FINISHED"]
    assert {path.name for path in root.iterdir()} == {
        "elsewhere",
        "mlartifacts",
        "mlflow.db",
        "mlflow.db.lock",
    }


def test_the_key_changes_with_every_parameter_name_and_byte_and_with_nothing_else():
    first, second = Path("first.csv"), Path("second.csv")
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    key = fingerprint({"a": 1, "b": 2}, [first, second])
    assert fingerprint({"b": 2, "a": 1}, [second, first]) == key
    others = {
        fingerprint({"a": 1, "b": 2.5}, [first, second]),
        fingerprint({"a": 1, "b": 2}, [first]),
    }
    first.write_bytes(b"2")
    others.add(fingerprint({"a": 1, "b": 2}, [first, second]))
    assert len(others | {key}) == 4


def test_flat_joins_names_with_dots():
    assert flat({"train": {"l2": 0.1, "deep": {"x": [1]}}, "threads": 1}) == {
        "train.l2": 0.1,
        "train.deep.x": [1],
        "threads": 1,
    }


@pytest.mark.parametrize(
    ("changed", "experiment", "title"),
    [
        ({"prepare.flip_share": 0.3}, None, "flip_share=0.3"),
        ({"prepare.flip_share": 0.3}, "noble-newt", "flip_share=0.3 (noble-newt)"),
        (
            {"train.seed": 1, "train.l2": 0.1},
            None,
            "train.seed=1, l2=0.1",
        ),  # two sections have a seed
        (
            {"prepare.flip_share": [0.3] * 20},
            None,
            "flip_share=" + "[0.3, 0.3, 0.3, 0.3, 0.3, 0." + "…",
        ),
        ({f"a.{name}": 1 for name in "bcdef"}, None, "b=1, c=1, d=1, 2 more"),
        ({}, None, "as committed in c0ffee1"),
        (None, "noble-newt", "aaaaaaaa (noble-newt)"),
    ],
)
def test_a_run_is_named_by_what_was_changed(client, monkeypatch, changed, experiment, title):
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "c0ffee1234")
    if experiment:
        monkeypatch.setenv("DVC_EXP_NAME", experiment)
    parameters = {"prepare.seed": 0, "prepare.flip_share": 0.1, "train.seed": 0, "train.l2": 0} | {
        f"a.{name}": 0 for name in "bcdef"
    }
    mlflow_log.log(state(parameters=parameters | (changed or {}), changes=changed))
    (run,) = runs(client())
    assert run.info.run_name == title


def test_a_curve_takes_the_place_of_its_summary(client):
    """Else the page would draw a jump at step 0."""
    curve = [Point("ceiling", "headroom", 3, "0.2"), Point("ceiling", "headroom", 6, "0.1")]
    mlflow_log.log(state(points=curve, summaries={"ceiling": {"headroom": 0.1, "room": 1}}))
    (run,) = runs(client())
    assert [
        point.step for point in client().get_metric_history(run.info.run_id, "ceiling/headroom")
    ] == [3, 6]
    assert run.data.metrics == {"ceiling/headroom": 0.1, "ceiling/room": 1}


def test_the_changes_are_those_since_the_commit_that_an_experiment_starts_from(monkeypatch):
    text = (REPOSITORY / "params.yaml").read_text()
    parameters = flat(
        params.parse(text.encode(), Path("params.yaml")).datasets["linear"].model_dump()
    )
    Path("params.yaml").write_text(text)
    assert changes("linear", parameters) is None  # no git
    commit = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qam", "params"]
    for command in (["git", "init", "-q"], ["git", "add", "params.yaml"], commit):
        subprocess.run(command, check=True)
    assert changes("linear", parameters) == {}
    assert changes("linear", parameters | {"train.l2": 0.5}) == {"train.l2": 0.5}
    assert changes("a data set of one's own", parameters) is None
    Path("params.yaml").write_text("of another: version")
    subprocess.run(commit, check=True)
    assert changes("linear", parameters) is None
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "HEAD~1")
    assert changes("linear", parameters) == {}


def reports():
    """What the stages write of a data set with two samples, one case and one search."""
    files = {
        "data/linear/card.json": json.dumps({"sha256": "7" * 64, "classes": ["a,b", "c"]}),
        "reports/figures/linear/captions.json": "{}",
        **{f"reports/{stage}/linear/metrics.json": '{"x": 1}' for stage in STAGES},
        "reports/train/linear/metrics.json": json.dumps(
            {"worst_class": "c", "worst_class_accuracy": 0.5, "mean_class_accuracy": 0.75}
        ),
        "reports/ceiling/linear/metrics.json": json.dumps(
            {"headroom": 0.1, "x": 1, "verdict": "room for all"}
        ),
        "reports/reweight/linear/metrics.json": json.dumps(
            {"improvement": {"case": "improvement, 3 to 4", "worst": -1}}
        ),
        "reports/train/linear/history.csv": 'epoch,split,class,accuracy,loss\n1,test,"a,b",0.1,2\n1,test,c,0.5,1\n',
        "reports/ceiling/linear/epochs.csv": "epoch,figure,value,low,high\n1,headroom,0.3,,\n9,crossfitted,0.1,0,1\n",
        "reports/reweight/linear/history.csv": "case,search,generation,best_fitness,best_gain,mean_gain,diversity\n"
        '"improvement, 3 to 4","GA, start",0,-inf,0.1,0.1,0.1\n"improvement, 3 to 4","GA, start",1,0,0.2,0.1,0.1\n',
        "reports/reweight/linear/table.csv": "case,method,measure,class,target,gain,reading\n"
        + "".join(
            f'"improvement, 3 to 4",GA,{measure},{name},{name == "c"},{gain},better\n'
            for measure in ("accuracy", "loss")
            for name, gain in (("a", -0.02), ("c", 0.5))
        ),
        **{
            f"reports/reweight/linear/{name}.csv": "case\n"
            for name in ("printed", "room", "tradeoff")
        },
    }
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    weights = {"0/all ones": [1, 1], "0/GA, start": [0, 2], "0/oracle": [0.123456, 1.876544]}
    found = {name: np.array(values, dtype=np.float32) for name, values in weights.items()}
    write_npz(Path("reports/reweight/linear/weights.npz"), **found)
    write_npz(
        Path("data/linear/arrays.npz"),
        **{"train/y": np.array([0, 1]), "flipped": np.array([True, False])},
    )


def test_generations_are_steps_and_their_curves_have_the_same_names_whatever_epoch_a_case_finds():
    reports()
    found = list(contents.curves("linear"))
    assert Point("search/improvement/best_gain", "GA, start", 0, "0.1") in found
    assert Point("search/improvement/best_gain", "GA, start", 1, "0.2") in found
    assert Point("accuracy/test", "a,b", 1, "0.1") in found
    assert Point("ceiling", "crossfitted_low", 9, "0") in found
    assert len(found) == 4 + 4 + 8


def test_every_sample_has_a_row_of_weights_and_every_method_that_weighs_a_column():
    reports()
    assert contents.weights("linear") == (
        'sample,label,flipped,"improvement: GA, start",improvement: oracle\n0,"a,b",True,0,0.1235\n1,c,False,2,1.877\n'
    )


def test_the_note_says_the_answer_first_and_holds_table_1():
    reports()
    lines = contents.note("linear").splitlines()
    assert lines[0] == "**Room for all.**"
    assert "c, accuracy 0.500; mean of the classes 0.750" in lines[2]
    assert lines[-1] == "| GA | +50.00 | -2.00 | 2, 0 | +0.5000 | -0.0200 | 2, 0 |"
    assert len({line.count("|") for line in lines[-3:]}) == 1


def test_the_stage_logs_the_files_of_the_pipeline_and_writes_the_key_alone(client, root):
    reports()
    Path("params.yaml").write_text((REPOSITORY / "params.yaml").read_text())
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "stages.track", "linear"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    (run,) = runs(client(), "linear")
    assert (done.stdout, done.stderr) == (f"mlflow: logged run {run.info.run_name}\n", "")
    assert json.loads(Path("reports/track/linear.json").read_text()) == {
        "key": run.data.tags["dvc.key"]
    }
    assert run.data.metrics["ceiling/x"] == 1
    assert run.data.metrics["accuracy/test/a:2c:b"] == 0.1
    assert run.data.metrics["search/improvement/best_gain/GA: start"] == 0.2
    assert run.data.metrics["reweight/improvement.worst"] == -1
    assert "search/improvement/best_fitness/GA: start" in run.data.metrics
    assert Path(
        run.info.artifact_uri, "reports/reweight/linear/weights.csv"
    ).read_text() == contents.weights("linear")
    assert run.data.tags["mlflow.note.content"] == contents.note("linear")
    assert run.data.params["prepare.seed"] == "0"
    assert (root / "mlflow.db.lock").exists()
    assert not Path("mlflow.db").exists()


@pytest.mark.parametrize(
    "content", [b"no database", b"SQLite format 3\x00" + bytes(50), pickle.dumps([1])]
)
def test_a_damaged_database_is_named_and_left_as_it_is(root, content):
    (root / "mlflow.db").write_bytes(content)
    with pytest.raises(InputError, match=r"mlflow\.db: expected a sound MLflow database") as caught:
        mlflow_log.log(state())
    assert "\n" not in str(caught.value)
    assert (root / "mlflow.db").read_bytes() == content
