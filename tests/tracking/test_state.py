"""What is logged of a data set follows from its results, under a key made of all of them."""

import json
import subprocess
from pathlib import Path

import pytest

from catwise.config import params
from catwise.core.errors import InputError
from catwise.pipeline.results import live
from catwise.pipeline.stage import settings
from catwise.report.metrics import flat
from catwise.tracking import contents
from catwise.tracking.mlflow_log import Point
from catwise.tracking.state import changes, fingerprint, state_of
from stages import track
from tests.helpers.reports import write_results

pytestmark = pytest.mark.slow

PARAMETERS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def results(root):
    """Write the reports of a data set that params.yaml has, where the pipeline does."""
    results = write_results(live("linear"), ("a,b", "None"), dataset="linear", flips=1)
    figure = Path("reports/figures/linear/captions.json")
    figure.parent.mkdir(parents=True)
    figure.write_text("{}")
    return results


def test_the_key_changes_with_every_parameter_name_and_byte_and_with_nothing_else(new_root):
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


def test_the_changes_are_those_since_the_commit_that_an_experiment_starts_from(
    new_root, monkeypatch
):
    text = PARAMETERS.read_text()
    section = params.parse(text.encode(), Path("params.yaml")).datasets["linear"]
    parameters = flat(section.model_dump())
    Path("params.yaml").write_text(text)
    assert changes("linear", parameters) is None  # no git
    commit = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qam", "params"]
    for command in (["git", "init", "-q"], ["git", "add", "params.yaml"], commit):
        subprocess.run(command, check=True)
    assert changes("linear", parameters) == {}
    automatic = flat(settings("cifar10_clean").model_dump())  # what auto means here is no change
    assert changes("cifar10_clean", automatic) == {}
    assert changes("linear", parameters | {"train.l2": 0.5}) == {"train.l2": 0.5}
    assert changes("a data set of one's own", parameters) is None
    Path("params.yaml").write_text("of another: version")
    subprocess.run(commit, check=True)
    assert changes("linear", parameters) is None
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "HEAD~1")
    assert changes("linear", parameters) == {}


def test_curves_are_named_by_class_case_and_method_and_a_generation_is_a_step(results):
    curves = list(contents.curves(results))
    prefix, name = "search/direct_improvement/best_gain", "LP-GA printed linear, start"
    assert Point(prefix, name, 0, 0.1) in curves
    assert Point(prefix, f"{name}, one split", 1, 0.2) in curves
    assert Point("accuracy/test", "a,b", 1, 0.1) in curves
    assert Point("accuracy/test", "None", 2, 0.2) in curves
    assert Point("ceiling", "crossfitted_low", 2, 0.03) in curves
    assert len(curves) == 8 + 2 * (4 + 2) + 4 * 4 + 4  # of improve: two classes, plain and one step


def test_every_sample_has_a_row_of_weights_and_every_method_that_weighs_a_column(results):
    heading, first, second, *rest = contents.weights(results)["reweight"].splitlines()
    assert heading.startswith('sample,label,flipped,"direct_improvement: LP-GA printed linear')
    assert "all ones" not in heading
    assert first.startswith('0,"a,b",1,0,')
    assert second.startswith("1,None,0,0.1053,")
    assert len(rest) == 18
    heading, first, *rest = contents.weights(results)["improve"].splitlines()
    assert heading == "sample,label,flipped,path to the ceiling"
    assert first == '0,"a,b",1,0'
    assert len(rest) == 19


def test_where_nothing_is_weighed_there_are_no_weights(root):
    results = write_results(live("linear"), dataset="linear", cases=False)
    assert contents.weights(results) == {}
    assert "Table 1" not in contents.note(results)


def test_the_note_says_the_verdict_first_and_holds_table_1(results):
    lines = contents.note(results).splitlines()
    assert lines[0].startswith("**Room: every class can gain at once")
    assert "None, accuracy 0.500. Mean of the classes: 0.750" in lines[2]
    row = "| LP-GA printed linear, start | -9.95 | -9.95 | 0, 2 | -0.0995 | -0.0995 | 0, 2 |"
    assert row in lines
    assert len({line.count("|") for line in lines[-5:]}) == 1


def test_without_figures_nothing_is_logged(results):
    Path("reports/figures/linear/captions.json").unlink()
    with pytest.raises(InputError, match="expected figures; got none"):
        state_of(results)


def test_the_stage_logs_the_files_of_the_pipeline_and_writes_the_key_alone(
    results, runs, root, capsys
):
    Path("params.yaml").write_text(PARAMETERS.read_text())
    track.main("linear")
    (run,) = runs("linear")
    assert capsys.readouterr() == (f"mlflow: logged run {run.info.run_name}\n", "")
    key = json.loads(Path("reports/track/linear.json").read_text())
    assert key == {"key": run.data.tags["dvc.key"]}
    assert run.data.metrics["ceiling/headroom"] == 0.1
    assert run.data.metrics["accuracy/test/a:2c:b"] == 0.2
    name = "LP-GA printed linear: start"
    assert run.data.metrics[f"search/direct_improvement/best_gain/{name}"] == 0.2
    assert run.data.metrics["reweight/direct_improvement.search.loss.worst"] == -1
    for stage, table in contents.weights(results).items():
        stored = Path(run.info.artifact_uri, f"reports/{stage}/linear/weights.csv")
        assert stored.read_text() == table
    assert run.data.tags["mlflow.note.content"] == contents.note(results)
    assert run.data.params["prepare.seed"] == "0"
    assert (root / "mlflow.db.lock").exists()
    assert not Path("mlflow.db").exists()
