"""The count of faults, at a small scale: each fault is made as said, and seen if it is not met."""

import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from benchmarks.faults import (
    bad_parameters,
    concurrent_tracking,
    damaged_files,
    full_disk,
    kills,
    pickles,
)
from benchmarks.faults.count import renewed
from benchmarks.faults.parts import PARTS, counted
from benchmarks.faults.workspace import Ended, pipeline, run_apart
from catwise.config import params

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "reports/benchmarks/faults.json"


def test_a_fork_ends_as_the_command_does(forks, tmp_path):
    wanted = run_apart(tmp_path, "stages.prepare", "linear")
    assert wanted.one_line("params.yaml")
    assert forks(tmp_path, "stages.prepare", "linear") == wanted
    assert forks(tmp_path, "no.such.module").code == 1
    assert forks(tmp_path, "stages.prepare", "--help") == Ended(0, "")


@pytest.mark.usefixtures("warm_python")
def test_a_fork_has_the_folder_the_environment_and_the_streams_of_who_asks(tmp_path):
    Path(tmp_path, "inside.py").write_text(
        "import os, sys\nprint(os.getcwd(), os.environ['NAME'], input(), *sys.argv[1:])\n"
    )
    env = os.environ | {"NAME": "value", "PYTHONPATH": str(tmp_path)}
    for python in ([sys.executable, "-m"], [sys.executable]):
        command = [*python, "inside" if "-m" in python else "inside.py", "a b"]
        told = subprocess.run(
            command, cwd=tmp_path, env=env, input="in", text=True, capture_output=True, check=False
        )
        assert (told.stdout, told.stderr) == (f"{tmp_path} value in a b\n", "")


def test_a_stage_by_hand_is_given_the_outputs_of_other_stages_and_no_code():
    deps = {dep for needed, _ in pipeline("digits").values() for dep in needed}
    assert deps
    assert all(dep.startswith(("data/", "models/", "reports/")) for dep in deps)


def test_one_line_is_one_line_with_a_name_and_exit_status_2():
    assert Ended(2, "error: params.yaml: line 3: no\n").one_line("line")
    for other in (
        Ended(1, "error: line 3\n"),
        Ended(2, "error: line\n3\n"),
        Ended(2, "error\n"),
        Ended(2, ""),
    ):
        assert not other.one_line("line")


def test_generated_mistakes_differ_are_the_same_every_time_and_are_refused(forks):
    mistakes = bad_parameters.mistakes(8)
    assert mistakes == bad_parameters.mistakes(8)
    assert len({mistake.content for mistake in mistakes}) == 8
    assert {mistake.kind for mistake in mistakes} <= {
        *bad_parameters.IN_TREE,
        *bad_parameters.IN_TEXT,
    }
    failures = [failure for _, failure in bad_parameters.failures(forks, 8, 0)]
    assert failures == [None] * 8


def test_the_part_of_the_parameters_that_mistakes_are_made_in_is_valid(tmp_path):
    path = tmp_path / "params.yaml"
    for text in (
        bad_parameters.shipped(),
        yaml.safe_dump(bad_parameters.shipped_tree(), sort_keys=False),
    ):
        path.write_text(text)
        assert len(params.load(path).datasets) == 8


def test_a_flip_changes_one_bit():
    content, rng = bytes(range(256)), random.Random(0)
    for _ in range(20):
        changed = damaged_files.flipped(content, rng)
        bits = [(a ^ b).bit_count() for a, b in zip(content, changed, strict=True)]
        assert sum(bits) == 1


def test_an_output_that_was_changed_made_or_removed_is_seen_and_restored(tmp_path):
    space = SimpleNamespace(folder=tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("a", "b"):
        (tmp_path / "data" / name).write_text(name)
    whole = damaged_files.contents(space)
    assert damaged_files.restore(space, whole)
    for change in (
        lambda path: path.write_text("x"),
        lambda path: path.unlink(),
        lambda path: path.with_name("c").write_text(""),
    ):
        change(tmp_path / "data" / "a")
        assert not damaged_files.restore(space, whole)
        assert damaged_files.contents(space) == whole


def test_every_pickle_runs_its_command_where_pickles_are_read():
    assert pickles.dangerous()


def test_a_pickle_that_ran_is_a_failure_though_its_stage_ended_well(tmp_path):
    (tmp_path / pickles.MARKER).write_text("")
    ended = Ended(2, "error: here\n")
    assert "EXECUTED" in pickles.failure(tmp_path, ended, "bare", "here")
    assert pickles.failure(tmp_path, ended, "bare", "here") is None


DVC = """#!{python}
import subprocess, sys, time
print("Running stage 'train@linear':", flush=True)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep({seconds})"])
time.sleep(60)
"""


@pytest.mark.parametrize(("seconds", "orphans"), [(0, 0), (60, 1)])
def test_a_process_that_outlives_a_kill_is_counted(seconds, orphans, tmp_path, monkeypatch):
    dvc = tmp_path / "dvc"
    dvc.write_text(DVC.format(python=sys.executable, seconds=seconds))
    dvc.chmod(0o755)
    search = f"{tmp_path}:{os.environ['PATH']}"
    monkeypatch.setattr(kills, "environment", lambda _: os.environ | {"PATH": search})
    monkeypatch.setattr(kills, "GONE", 1.0)
    monkeypatch.setattr(kills.uuid, "uuid4", lambda: SimpleNamespace(hex="of this test"))
    monkeypatch.setenv("PATH", search)
    killed = kills.kill(SimpleNamespace(folder=tmp_path, workers=1), kills.SIGNALS[0], 1.0)
    left = kills.marked("of this test")
    for number in left:
        os.kill(number, 9)
    assert len(left) == killed.orphans == orphans
    assert killed.stage == "train@linear"
    assert bool(killed.failure()) == bool(orphans)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_full_disk_is_full(tmp_path):
    with (
        full_disk.mounted(tmp_path / "full", 2**20) as folder,
        pytest.raises(OSError, match="No space left"),
    ):
        (folder / "big").write_bytes(bytes(2**21))
    assert not list((tmp_path / "full").iterdir())


def test_a_socket_that_listens_is_seen_with_its_address():
    with socket.socket() as open_to_all:
        open_to_all.bind(("0.0.0.0", 0))
        open_to_all.listen()
        address = f"0.0.0.0:{open_to_all.getsockname()[1]}"
        assert address in concurrent_tracking.listening(os.getsid(0))
    assert not concurrent_tracking.is_loopback(address)
    assert concurrent_tracking.is_loopback("127.0.0.1:5000")
    assert not concurrent_tracking.is_loopback("128.0.0.1:5000")


def test_cases_are_counted_with_their_interval():
    fault = counted("fault", "what", [None, "bad", None, None])
    assert (fault["cases"], fault["passed"], fault["failures"]) == (4, 3, ["bad"])
    assert fault["interval"]["low"] < 0.75 < fault["interval"]["high"]
    # Clopper and Pearson: if all n pass, the lower end p solves p^n = 0.025
    all_passed = counted("fault", "what", [None] * 50)
    assert all_passed["interval"]["low"] == pytest.approx(0.025 ** (1 / 50))


def test_a_renewed_part_replaces_its_faults_and_keeps_the_others():
    old = [{"part": part, "fault": name} for part in ("parameters", "kills") for name in "ab"]
    parts = [fault["part"] for fault in renewed(old, "disk", [{"fault": "c"}])]
    assert parts == ["parameters", "parameters", "disk", "kills", "kills"]
    assert [f["fault"] for f in renewed(old, "kills", [{"fault": "c"}])] == ["a", "b", "c"]


def test_the_faults_in_the_repository_are_whole():
    result = json.loads(SHIPPED.read_text())
    assert not result["quick"]
    assert {fault["part"] for fault in result["faults"]} == set(PARTS)
    for fault in result["faults"]:
        assert 0 <= fault["passed"] <= fault["cases"] > 0
        assert bool(fault["failures"]) == (fault["passed"] < fault["cases"])
