"""The benchmark of faults at a small scale: it makes the fault that it says, and can tell when it is not met."""

import json
import os
import random
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.faults import (
    bad_parameters,
    concurrent_tracking,
    damaged_files,
    full_disk,
    kills,
    pickles,
)
from benchmarks.faults.count import PARTS, counted
from benchmarks.faults.workspace import Ended, Forks, alone
from catwise.config import params

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def forks():
    with Forks() as forks:
        yield forks


def test_a_fork_ends_as_the_command_does(forks, tmp_path):
    assert forks(tmp_path, "stages.prepare", "linear") == alone(
        tmp_path, "stages.prepare", "linear"
    )
    assert forks(tmp_path, "no.such.module").code == 1
    assert forks(tmp_path, "stages.prepare", "--help") == Ended(0, "")


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
    made = bad_parameters.generated(8)
    assert made == bad_parameters.generated(8)
    assert len({mistake.content for mistake in made}) == 8
    assert {mistake.kind for mistake in made} <= {*bad_parameters.IN_TREE, *bad_parameters.IN_TEXT}
    assert [wrong for _, wrong in bad_parameters.refused(forks, 8, 0)] == [None] * 8


def test_the_part_of_the_parameters_that_mistakes_are_made_in_is_valid(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(bad_parameters.shipped())
    assert len(params.load(path).datasets) == 5
    path.write_text(bad_parameters.yaml.safe_dump(bad_parameters._tree(), sort_keys=False))
    assert len(params.load(path).datasets) == 5


def test_a_flip_changes_one_bit():
    content, rng = bytes(range(256)), random.Random(0)
    for _ in range(20):
        came = damaged_files.flipped(content, rng)
        bits = [(a ^ b).bit_count() for a, b in zip(content, came, strict=True)]
        assert sum(bits) == 1


def test_what_was_changed_made_or_removed_is_told_and_restored(tmp_path):
    space = SimpleNamespace(folder=tmp_path)
    for name in ("a", "b"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / name).write_text(name)
    whole = damaged_files.contents(space)
    assert damaged_files.restored(space, whole)
    for change in (
        lambda f: f.write_text("x"),
        lambda f: f.unlink(),
        lambda f: f.with_name("c").write_text(""),
    ):
        change(tmp_path / "data" / "a")
        assert not damaged_files.restored(space, whole)
        assert damaged_files.contents(space) == whole


def test_every_pickle_runs_its_command_where_pickles_are_read():
    assert pickles.dangerous()


def test_the_pickles_in_a_place_of_no_use_are_told(tmp_path):
    (tmp_path / pickles.MARKER).write_text("")
    assert "EXECUTED" in pickles._wrong(tmp_path, Ended(2, "error: here\n"), "bare", "here")
    assert pickles._wrong(tmp_path, Ended(2, "error: here\n"), "bare", "here") is None


DVC = """#!{python}
import subprocess, sys, time
print("Running stage 'train@linear':", flush=True)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep({seconds})"])
time.sleep(60)
"""


@pytest.mark.parametrize(("seconds", "left"), [(0, 0), (60, 1)])
def test_a_process_that_outlives_a_kill_is_counted(seconds, left, tmp_path, monkeypatch):
    dvc = tmp_path / "dvc"
    dvc.write_text(DVC.format(python=sys.executable, seconds=seconds))
    dvc.chmod(0o755)
    monkeypatch.setattr(
        kills, "environment", lambda _: os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    monkeypatch.setattr(kills, "GONE", 3.0)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = kills._killed(SimpleNamespace(folder=tmp_path, workers=1), kills.SIGNALS[0], 3.0)
    assert found["orphans"] == left
    assert found["stage"] == "train@linear"
    assert bool(kills.wrong(found)) == bool(left)
    for token in [
        value.split(b"=")[1].decode()
        for place in Path("/proc").glob("[0-9]*/environ")
        for value in readable(place).split(b"\0")
        if value.startswith(kills.MARK.encode())
    ]:
        for number in kills.marked(token):
            os.kill(number, 9)


def readable(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_full_disk_is_full(tmp_path):
    with (
        full_disk.mounted(tmp_path / "full", 2**20) as folder,
        pytest.raises(OSError, match="No space left"),
    ):
        (folder / "big").write_bytes(bytes(2**21))
    assert not list((tmp_path / "full").iterdir())


def test_a_socket_that_listens_is_found_with_its_address():
    with socket.socket() as open_to_all:
        open_to_all.bind(("0.0.0.0", 0))
        open_to_all.listen()
        place = f"0.0.0.0:{open_to_all.getsockname()[1]}"
        assert place in concurrent_tracking.listening(os.getsid(0))
    assert not concurrent_tracking.loopback(place)
    assert concurrent_tracking.loopback("127.0.0.1:5000")
    assert not concurrent_tracking.loopback("128.0.0.1:5000")


def test_cases_are_counted_with_their_interval():
    found = counted("fault", "what", [None, "bad", None, None])
    assert (found["cases"], found["passed"], found["failures"]) == (4, 3, ["bad"])
    assert found["interval"]["low"] < 0.75 < found["interval"]["high"]
    assert counted("fault", "what", [None] * 50)["interval"]["low"] == pytest.approx(
        0.025 ** (1 / 50)
    )


def test_the_faults_in_the_repository_are_whole():
    found = json.loads((ROOT / "reports/benchmarks/faults.json").read_text())
    assert not found["quick"]
    assert {fault["part"] for fault in found["faults"]} == set(PARTS)
    for fault in found["faults"]:
        assert 0 <= fault["passed"] <= fault["cases"] > 0
        assert bool(fault["failures"]) == (fault["passed"] < fault["cases"])
