"""The map over retrainings: the same bytes from every backend, and nothing done twice or left running after a kill."""

import importlib.util
import math
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from test_pipeline import closure

from catwise.config import params
from catwise.core.errors import InputError
from catwise.experiments import resume, retraining
from catwise.experiments.retraining import DECIDING, retrain, retrained
from catwise.pipeline.artifacts import new_model, read_splits, training_recipe
from catwise.pipeline.files import write_json, write_npz
from catwise.training import epochs
from catwise.training.models import fingerprint

ROOT = Path(__file__).parents[2]
SECTION = (
    params.load(ROOT / "params.yaml")
    .datasets["digits"]
    .train.model_copy(update={"width": 2, "epochs": 2})
)
JOBS = [(np.random.default_rng(seed).permutation(60) < 40, seed) for seed in range(6)]
CARD = {
    "name": "mine",
    "classes": ["a", "b", "c"],
    "counts": {"train": 60, "test": 30},
    "sha256": "0",
}


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch, rng):
    """A folder with data of two classes out of three, and this process as the only worker."""
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "CATWISE_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CATWISE_WORKERS", "1")
    Path("data/mine").mkdir(parents=True)
    arrays = {}
    for split, count in CARD["counts"].items():
        y = np.arange(count) % 2
        arrays |= {
            f"{split}/y": y,
            f"{split}/x": rng.normal(y[:, None, None, None], size=(count, 1, 8, 8)),
        }
    write_npz(
        Path("data/mine/arrays.npz"),
        **{k: v.astype(np.float32 if "x" in k else int) for k, v in arrays.items()},
    )
    write_json(Path("data/mine/card.json"), CARD)
    return tmp_path


@pytest.fixture
def runs(monkeypatch):
    """(rows, seed) of each training that is really done in this process."""
    seen = []

    def spy(train, dataset, batch, rows, seed=0):
        seen.append((rows, seed))
        return retrain(train, dataset, batch, rows, seed)

    monkeypatch.setattr(retraining, "retrain", spy)
    return seen


def results(jobs=JOBS, section=SECTION, threads=1, measured_on="test", stage="removal"):
    found = list(retrained("mine", "cpu", threads, section, measured_on, jobs, stage))
    return [
        (accuracy_k.numpy().tobytes(), loss_k.numpy().tobytes()) for accuracy_k, loss_k in found
    ]


def files():
    return sorted(Path("scratch").rglob("*.json"))


@pytest.mark.parametrize("backend", ["loky", "dask", "ray"])
def test_every_backend_gives_the_bytes_of_this_process_in_the_same_order(
    backend, monkeypatch, tmp_path
):
    if (
        importlib.util.find_spec({"loky": "joblib", "dask": "distributed"}.get(backend, backend))
        is None
    ):
        pytest.skip(f"requirements-cluster.txt is not installed: no {backend}")
    here = results()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("CATWISE_BACKEND", backend)
    monkeypatch.setenv("CATWISE_WORKERS", "2")
    assert results() == here
    assert len(list(tmp_path.glob("elsewhere/scratch/removal/mine/*.json"))) == len(JOBS)
    assert len(set(here)) == len(JOBS)  # so that an order can be told


def test_every_row_and_no_seed_is_the_training_of_the_pipeline_bit_for_bit():
    splits, _ = read_splits("mine", "cpu")
    baseline = new_model("mine", SECTION, splits["train"])
    for _ in epochs.train_epochs(baseline, splits["train"], training_recipe(SECTION)):
        pass
    again = retrain(SECTION, "mine", splits["train"], np.arange(60))
    assert fingerprint(again) == fingerprint(baseline)
    other = retrain(SECTION, "mine", splits["train"], np.arange(60), seed=1)
    assert fingerprint(other) != fingerprint(baseline)


def test_a_class_without_samples_has_no_accuracy_and_no_loss(runs):
    for _ in range(2):  # as trained, and as found
        ((accuracy_k, loss_k),) = retrained("mine", "cpu", 1, SECTION, "test", JOBS[:1], "removal")
        assert accuracy_k.dtype == loss_k.dtype == torch.float64
        assert accuracy_k.isnan().tolist() == loss_k.isnan().tolist() == [False, False, True]
    assert len(runs) == 1


KILLED = """
import sys
sys.path[:0] = sys.argv.pop(1), sys.argv.pop(1)
from catwise.pipeline.stage import run

def main(dataset):
    import test_retrain
    from catwise.experiments.retraining import retrained
    section = test_retrain.SECTION.model_copy(update={"epochs": 300})
    list(retrained(dataset, "cpu", 1, section, "test", test_retrain.JOBS, "removal"))

if __name__ == "__main__":
    run(main, "")
"""


def test_rows_may_be_read_only_as_some_backends_send_them():
    rows = np.arange(60)
    rows.flags.writeable = False
    retrain(SECTION, "mine", read_splits("mine", "cpu")[0]["train"], rows)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_kill_leaves_no_process_and_only_the_rest_is_done_afterwards(how, runs):
    Path("killed.py").write_text(KILLED)
    command = [sys.executable, "killed.py", str(ROOT / "tests"), str(ROOT), "mine"]
    stage = subprocess.Popen(
        command, env=os.environ | {"CATWISE_WORKERS": "2"}, start_new_session=True
    )
    wait(lambda: files() or stage.poll() is not None, 120)
    stage.send_signal(how)
    assert stage.wait(30) in (-how, 128 + how)
    wait(lambda: not group_is_alive(stage.pid), 20)
    kept = len(files())
    assert 0 < kept < len(JOBS)
    section = SECTION.model_copy(update={"epochs": 300})
    resumed = results(section=section)
    assert len(runs) == len(JOBS) - kept
    for file in files():
        file.unlink()
    assert results(section=section) == resumed


def wait(until, seconds):
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)


def group_is_alive(leader):
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_was_done_is_not_done_again_and_the_same_job_only_once(runs):
    first = results([*JOBS, JOBS[0]])
    assert len(runs) == len(JOBS)
    assert first[-1] == first[0]
    assert results([*JOBS, JOBS[0]]) == first
    assert len(runs) == len(JOBS)


def test_a_mask_and_its_rows_are_one_job(runs):
    mask, seed = JOBS[0]
    assert results([(mask, seed)]) == results([(np.flatnonzero(mask), seed)])
    assert len(runs) == 1
    np.testing.assert_array_equal(runs[0][0], np.flatnonzero(mask))


@pytest.mark.parametrize(
    "change",
    [
        {"jobs": [(JOBS[0][0], JOBS[0][1] + 1)]},
        {"jobs": [JOBS[1]]},
        {"jobs": [(np.flatnonzero(JOBS[0][0])[::-1], JOBS[0][1])]},
        {"section": SECTION.model_copy(update={"weight_decay": 0.0})},
        {"threads": 2},
        {"measured_on": "train"},
        {"stage": "fidelity"},
    ],
    ids=["seed", "rows", "order", "section", "threads", "split", "stage"],
)
def test_whatever_a_result_depends_on_is_in_its_key(change, runs):
    results(JOBS[:1])
    results(**({"jobs": JOBS[:1]} | change))
    torch.set_num_threads(1)
    assert len(runs) == len(files()) == 2


def test_other_data_other_code_and_other_torch_are_other_keys(runs, monkeypatch):
    results(JOBS[:1])
    write_json(Path("data/mine/card.json"), CARD | {"sha256": "1"})
    results(JOBS[:1])
    monkeypatch.setattr(retraining, "_code", lambda: "edited")
    results(JOBS[:1])
    monkeypatch.setattr(torch, "__version__", "0")
    results(JOBS[:1])
    assert len(runs) == len(files()) == 4


def test_every_module_that_decides_is_in_the_key():
    bystanders = {"catwise/errors.py", "stages/io.py", "stages/pool.py", "stages/scratch.py"}
    deciding = {
        Path(decides.__file__).relative_to(ROOT).as_posix() for decides in [*DECIDING, retraining]
    }
    assert deciding | bystanders == closure("stages/retrain.py")


@pytest.mark.parametrize(
    "damage", [b"", b"[[1.0", b"\xff", b"null", b"[[1.0]]", pickle.dumps([[1.0]])]
)
def test_a_damaged_file_counts_as_not_there(damage, runs):
    whole = results(JOBS[:1])
    files()[0].write_bytes(damage)
    assert results(JOBS[:1]) == whole
    assert len(runs) == 2


def test_numbers_come_back_to_the_last_bit(tmp_path):
    numbers = [0.1 + 0.2, 5e-324, 1 / 3, math.inf, -0.0, math.nan]
    kept = resume.keep(tmp_path / "kept.json", [*numbers, -math.nan])
    found = resume.found(tmp_path / "kept.json")
    assert (
        np.array(found).tobytes()
        == np.array(kept).tobytes()
        == np.array([*numbers, math.nan]).tobytes()
    )


def test_clearing_forgets_this_stage_of_this_data_set_and_no_other():
    results(JOBS[:2])
    results(JOBS[:1], stage="fidelity")
    neighbour = files()[0].with_name("of_another_process.json")
    neighbour.touch()
    resume.clear("removal", "mine")
    assert {file.parts[1] for file in files()} == {neighbour.parts[1], "fidelity"}
    assert neighbour.exists() or neighbour.parts[1] == "fidelity"
    resume.clear("fidelity", "mine")
    assert files() == [neighbour]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CATWISE_BACKEND", "spark", "CATWISE_BACKEND: expected loky, dask, ray; got 'spark'"),
        (
            "CATWISE_BACKEND",
            "ray",
            "CATWISE_BACKEND: expected requirements-cluster.txt to be installed; got no ray",
        ),
        (
            "CATWISE_WORKERS",
            "0",
            "CATWISE_WORKERS: expected a whole number of at least 1; got '0'",
        ),
        (
            "CATWISE_WORKERS",
            "-1",
            "CATWISE_WORKERS: expected a whole number of at least 1; got '-1'",
        ),
    ],
)
def test_a_mistake_in_the_environment_is_named(name, value, said, monkeypatch):
    monkeypatch.setattr("catwise.experiments.workers.find_spec", lambda _: None)
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError) as caught:
        results()
    assert str(caught.value) == said


def test_a_worker_that_sees_something_else_refuses():
    setting = retraining.Setting("mine", "cpu", 1, SECTION, "test")
    with pytest.raises(
        InputError,
        match="CATWISE_BACKEND: expected workers with the data, code, torch and device of",
    ):
        retraining._measured(setting, np.arange(60), 0, Path("scratch/key_of_other_code.json"))
    assert not files()
