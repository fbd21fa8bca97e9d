"""One state is one run, complete and under names that a person finds."""

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from catwise.core.errors import InputError
from catwise.tracking import mlflow_log
from catwise.tracking.mlflow_log import Point

pytestmark = pytest.mark.slow

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c6360000000020001e221bc330000000049454e44ae426082"
)


@pytest.fixture(autouse=True)
def there(root):
    """Run every test in the repository."""


def points(classes=("red", "blue"), epochs=2):
    return [
        Point(f"{measure}/test", name, epoch, value)
        for epoch in range(epochs)
        for name in classes
        for measure, value in (("accuracy", epoch / 10), ("loss", 1.5))
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


def test_the_same_state_twice_is_one_run_and_says_so(runs):
    assert mlflow_log.log(state()) == "mlflow: logged run aaaaaaaa"
    assert mlflow_log.log(state()) == "mlflow: run aaaaaaaa was logged already"
    assert len(runs()) == 1


def test_two_states_are_two_runs_and_coming_back_to_the_first_adds_none(runs):
    for key in ("a" * 64, "b" * 64, "a" * 64):
        mlflow_log.log(state(key=key))
    assert sorted(run.data.tags["dvc.key"][0] for run in runs()) == ["a", "b"]


def test_a_run_holds_the_whole_state(client, runs, root, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "noble-newt")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "c0ffee")
    mlflow_log.log(state())
    (run,) = runs()
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


def test_a_deleted_experiment_comes_back_with_nothing_but_the_new_run(client, runs):
    mlflow_log.log(state(key="b" * 64))
    mlflow_log.log(state())
    client().delete_experiment(client().get_experiment_by_name("toy").experiment_id)
    assert mlflow_log.log(state()).startswith("mlflow: logged")
    assert [run.data.tags["dvc.key"] for run in runs()] == ["a" * 64]


def test_artifacts_never_go_to_where_the_folder_was_copied_from(monkeypatch, root):
    mlflow_log.log(state())
    copy = Path(shutil.copytree(root, root.with_name("copy")))
    monkeypatch.setenv("DVC_ROOT", str(copy))
    with pytest.raises(InputError, match=rf"expected artifacts in {copy}/mlartifacts; got {root}"):
        mlflow_log.log(state(key="b" * 64))


def test_nan_null_and_text_never_become_metrics(client, runs):
    values = {"accuracy": (float("nan"), 0.0), "loss": (float("nan"), float("-inf"))}
    curves = [
        Point(f"{measure}/test", "red", step, value)
        for measure, pair in values.items()
        for step, value in enumerate(pair)
    ]
    summary = {"none": None, "nan": float("nan"), "infinite": float("-inf"), "text": "red"}
    summary |= {"list": [1], "number": 2}
    mlflow_log.log(state(points=curves, summaries={"train": summary}))
    (run,) = runs()
    assert run.data.metrics == {"accuracy/test/red": 0.0, "train/number": 2.0}
    assert len(client().get_metric_history(run.info.run_id, "accuracy/test/red")) == 1


def test_more_than_one_call_may_carry_arrives_complete(client, runs, monkeypatch):
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
    (run,) = runs()
    assert run.data.params == {name: str(value) for name, value in parameters.items()}
    curves = [name for name in run.data.metrics if name.startswith(("accuracy/", "loss/"))]
    assert len(curves) == 220
    connection = client()
    histories = [connection.get_metric_history(run.info.run_id, name) for name in curves]
    assert [[point.step for point in curve] for curve in histories] == [list(range(6))] * 220
    assert sum(metrics for metrics, _ in calls) == 1321
    assert max(metrics for metrics, _ in calls) == 1000
    assert max(params for _, params in calls) == 100


def test_odd_class_names_are_kept_apart(runs):
    odd = ["T-shirt/top", "C++", "C--", "..", "/a", "a/", "a//b", "a:b", "a, b", "a: b", "a,b"]
    odd += ["a b", "naïve 猫", "{x}", "50 %\n", "nan", "None", "NA", "True", "1", ".x"]
    mlflow_log.log(state(points=points(odd, epochs=1)))
    (run,) = runs()
    prefix = "accuracy/test/"
    names = {name.removeprefix(prefix) for name in run.data.metrics if name.startswith(prefix)}
    assert len(names) == len(odd)
    assert {"T-shirt/top", "C:2b::2b:", "naïve 猫", "a: b", "None", "NA", "True", "1"} <= names


@pytest.mark.parametrize("name", ["", "x" * 300])
def test_a_class_name_that_mlflow_cannot_hold_is_one_line_and_no_run(name, client):
    expected = r"^class or metric: expected a name of 1 to \d+ characters.*got .*$"
    with pytest.raises(InputError, match=expected):
        mlflow_log.log(state(points=points([name])))
    assert client().get_experiment_by_name("toy") is None


@pytest.mark.parametrize(
    ("changed", "experiment", "title"),
    [
        ({"prepare.flip_share": 0.3}, None, "flip_share=0.3"),
        ({"prepare.flip_share": 0.3}, "noble-newt", "flip_share=0.3 (noble-newt)"),
        ({"train.seed": 1, "train.l2": 0.1}, None, "train.seed=1, l2=0.1"),  # two seeds
        ({"prepare.flip_share": [0.3] * 20}, None, "flip_share=[0.3, 0.3, 0.3, 0.3, 0.3, 0.…"),
        ({f"a.{name}": 1 for name in "bcdef"}, None, "b=1, c=1, d=1, 2 more"),
        ({}, None, "as committed in c0ffee1"),
        (None, "noble-newt", "aaaaaaaa (noble-newt)"),
    ],
)
def test_a_run_is_named_by_what_was_changed(monkeypatch, changed, experiment, title):
    if experiment:
        monkeypatch.setenv("DVC_EXP_NAME", experiment)
    parameters = {"prepare.seed": 0, "prepare.flip_share": 0.1, "train.seed": 0, "train.l2": 0}
    parameters |= {f"a.{name}": 0 for name in "bcdef"}
    changed_state = state(parameters=parameters | (changed or {}), changes=changed)
    assert mlflow_log._title(changed_state, "c0ffee1234") == title


def test_the_name_of_a_run_is_its_title(runs, monkeypatch):
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "c0ffee1234")
    mlflow_log.log(state(changes={}))
    (run,) = runs()
    assert run.info.run_name == "as committed in c0ffee1"


def test_a_curve_takes_the_place_of_its_summary(client, runs):
    """Else the page would draw a jump at step 0."""
    curve = [Point("ceiling", "headroom", 3, 0.2), Point("ceiling", "headroom", 6, 0.1)]
    mlflow_log.log(state(points=curve, summaries={"ceiling": {"headroom": 0.1, "room": 1}}))
    (run,) = runs()
    history = client().get_metric_history(run.info.run_id, "ceiling/headroom")
    assert [point.step for point in history] == [3, 6]
    assert run.data.metrics == {"ceiling/headroom": 0.1, "ceiling/room": 1}


@pytest.mark.parametrize(
    "content", [b"no database", b"SQLite format 3\x00" + bytes(50), pickle.dumps([1])]
)
def test_a_damaged_database_is_named_and_left_as_it_is(root, content):
    (root / "mlflow.db").write_bytes(content)
    expected = r"mlflow\.db: expected a sound MLflow database"
    with pytest.raises(InputError, match=expected) as caught:
        mlflow_log.log(state())
    assert "\n" not in str(caught.value)
    assert (root / "mlflow.db").read_bytes() == content
