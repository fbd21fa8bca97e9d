"""The resumable map: every job once, in order, kept to the last bit, under a key of its own."""

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

from catwise.core.errors import InputError
from catwise.experiments import (
    along_training,
    anchored_influence,
    resume,
    retraining,
    reweighted_epoch,
    unrolled_epoch,
    weighted_training,
)
from catwise.experiments.resume import INFLUENCE_CODE, deciding_files, job_key, resumable_map
from catwise.pipeline.files import write_json
from catwise.pipeline.workers import pool
from tests.test_architecture import ROOT, closure

done = []  # the jobs that were really worked on


def work(number):
    done.append(number)
    return [number / 3, math.nan]


def key(number):
    return f"key_{number}"


def here(function, calls):
    return (function(*call) for call in calls)


def results(numbers, stage="removal"):
    jobs = [(number,) for number in numbers]
    return list(resumable_map(stage, "mine", work, key, jobs, here))


def files():
    return sorted(Path("scratch").rglob("*.json"))


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    Path("data/mine").mkdir(parents=True)
    write_json(Path("data/mine/card.json"), {"sha256": "0"})
    done.clear()


def test_what_was_done_is_not_done_again_and_a_job_that_is_given_twice_is_done_once():
    first = results([5, 3, 5])
    assert done == [5, 3]
    assert [values[0] for values in first] == [5 / 3, 1, 5 / 3]
    assert [values[0] for values in results([3, 4, 5])] == [1, 4 / 3, 5 / 3]
    assert done == [5, 3, 4]


def test_a_map_that_is_broken_off_goes_on_with_the_rest():
    jobs = [(number,) for number in range(4)]
    started = resumable_map("removal", "mine", work, key, jobs, here)
    next(started), next(started)
    started.close()
    assert done == [0, 1]
    results(range(4))
    assert done == [0, 1, 2, 3]


def test_results_lie_in_the_repository_that_the_experiment_was_started_from(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "elsewhere"))
    results([1])
    assert [file.stem for file in tmp_path.glob("elsewhere/scratch/removal/mine/*.json")] == [
        "key_1"
    ]


@pytest.mark.parametrize(
    "damage", [b"", b"[[1.0", b"\xff", b"null", b"[[1.0]]", pickle.dumps([[1.0]])]
)
def test_a_damaged_file_counts_as_not_there(damage):
    (whole,) = results([1])
    files()[0].write_bytes(damage)
    assert results([1])[0][0] == whole[0]
    assert done == [1, 1]


def test_numbers_come_back_to_the_last_bit(tmp_path):
    numbers = [0.1 + 0.2, 5e-324, 1 / 3, math.inf, -0.0, math.nan]
    kept = resume.keep(tmp_path / "kept.json", [*numbers, -math.nan], 1.5)
    read = resume.read_kept(tmp_path / "kept.json")
    expected = np.array([*numbers, math.nan])
    assert np.array(read).tobytes() == np.array(kept).tobytes() == expected.tobytes()


def test_clearing_forgets_this_stage_of_this_data_set_and_no_other():
    results([1, 2])
    results([1], stage="fidelity")
    neighbour = files()[0].with_name("of_another_process.json")
    neighbour.touch()
    resume.clear("removal", "mine")
    assert {file.parts[1] for file in files()} == {neighbour.parts[1], "fidelity"}
    assert neighbour.exists() or neighbour.parts[1] == "fidelity"
    resume.clear("fidelity", "mine")
    assert files() == [neighbour]


def test_a_worker_that_sees_something_else_refuses():
    with pytest.raises(
        InputError,
        match="CATWISE_BACKEND: expected workers with the data, checkpoints, code, torch",
    ):
        resume._do(work, key, (1,), Path("scratch/key_of_other_code.json"))
    assert not files()
    assert not done


def test_a_key_changes_with_all_that_a_result_depends_on(monkeypatch):
    def of(device="cpu", threads=1, state=(0,), values=(1.0, 2.0)):
        return job_key(retraining.__name__, "mine", device, threads, state, np.array(values))

    keys = [of(), of(threads=2), of(state=(1,)), of(values=(2.0, 1.0))]
    write_json(Path("data/mine/card.json"), {"sha256": "1"})
    keys.append(of())
    monkeypatch.setattr(resume, "_code", lambda _: "edited")
    keys.append(of())
    monkeypatch.setattr(torch, "__version__", "0")
    keys.append(of())
    other = "float32" if resume.resolve_precision("auto", "cpu") == "bfloat16" else "bfloat16"
    monkeypatch.setattr(resume, "resolve_precision", lambda *_: other)
    keys.append(of())
    assert len(set(keys)) == len(keys)
    assert of() == keys[-1]


KILLED = """
import sys, time
sys.path.insert(0, sys.argv.pop(1))
import torch
from catwise.experiments.resume import resumable_map
from catwise.pipeline.workers import pool
from catwise.pipeline.stage import run

def work(number):
    time.sleep(600 if number > 2 else 0)
    return [number / 3, None]

def key(number):
    return f"key_{number}"

def main(dataset):
    with pool(torch.device("cpu"), 1) as spread:
        list(resumable_map("removal", dataset, work, key, [(n,) for n in range(6)], spread))

if __name__ == "__main__":
    run(main, "")
"""


@pytest.mark.slow
def test_a_single_call_is_done_here_and_several_by_the_workers(monkeypatch):
    monkeypatch.setenv("CATWISE_WORKERS", "2")
    monkeypatch.setenv("CATWISE_BACKEND", "loky")
    with pool("cpu", 1) as spread:
        assert list(spread(os.getpid, [])) == []
        assert list(spread(os.getpid, [()])) == [os.getpid()]
        assert os.getpid() not in list(spread(os.getpid, [(), ()]))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_kill_leaves_no_process_and_only_the_rest_is_done_afterwards(how):
    Path("killed.py").write_text(KILLED)
    variables = os.environ | {"CATWISE_WORKERS": "2", "CATWISE_BACKEND": "loky"}
    command = [sys.executable, "killed.py", str(ROOT), "mine"]
    stage = subprocess.Popen(command, env=variables, start_new_session=True)
    wait(lambda: len(files()) == 3 or stage.poll() is not None, 120)
    stage.send_signal(how)
    assert stage.wait(30) in (-how, 128 + how)
    wait(lambda: not group_is_alive(stage.pid), 20)
    assert [values[0] for values in results(range(6))] == [number / 3 for number in range(6)]
    assert done == [3, 4, 5]


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


@pytest.mark.parametrize(
    ("module", "others"),
    [
        (retraining, ()),
        (reweighted_epoch, ()),
        (unrolled_epoch, unrolled_epoch.OTHERS),
        (along_training, INFLUENCE_CODE),
        (weighted_training, weighted_training.OTHERS),
        (anchored_influence, anchored_influence.OTHERS),
    ],
)
def test_all_code_that_decides_is_in_the_key(module, others):
    needed = closure(Path(module.__file__).relative_to(ROOT).as_posix())
    files = deciding_files(module.__name__, *others)
    hashed = {file.relative_to(ROOT).as_posix() for file in files}
    bystanders = {
        "catwise/pipeline/files.py",
        "catwise/pipeline/stage.py",
        "catwise/experiments/resume.py",
        "catwise/pipeline/workers.py",
        "catwise/experiments/unrolled_epoch.py",  # keeps what it unrolls under a key of its own
        "catwise/influence/kronfluence_reference.py",  # a fit that no experiment uses
    }
    bystanders -= {Path(module.__file__).relative_to(ROOT).as_posix()}
    assert needed - bystanders <= hashed | {"catwise/experiments/__init__.py"}
