"""A stage ends when it is told to, and with whoever started it; a file is whole, or named."""

import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from catwise.core.errors import InputError
from catwise.pipeline import files
from catwise.pipeline.artifacts import read_tensors, write_tensors
from catwise.pipeline.stage import run

ROOT = Path(__file__).parents[2]
STAGE = """
import signal, sys, time
from pathlib import Path
from catwise.pipeline.stage import run
signal.signal(signal.SIGINT, signal.default_int_handler)  # what starts in the background has it ignored
def main():
    try:
        Path("began").write_text("")
        time.sleep(60)
    finally:
        Path("closed").write_text("")
run(main, "waits")
"""


def appeared(path, within=20.0):
    end = time.monotonic() + within
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
    return path.exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stage_that_is_told_to_end_closes_what_is_open(tmp_path, number, code):
    stage = subprocess.Popen(
        [sys.executable, "-c", STAGE], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert appeared(tmp_path / "began")
    stage.send_signal(number)
    assert stage.wait(20) == code
    assert (tmp_path / "closed").exists()


def test_a_stage_ends_with_the_process_that_started_it(tmp_path):
    """As DVC does when it is killed, or told to end: the stage is left to itself."""
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {STAGE!r}])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", start], cwd=tmp_path, env=environment)
    assert appeared(tmp_path / "began")
    parent.kill()
    parent.wait(20)
    assert appeared(tmp_path / "closed")


def test_a_stage_ends_although_its_parent_was_gone_before_it_had_imported_all(tmp_path):
    early = "import stages, time; from pathlib import Path; Path('early').touch(); time.sleep(4)"
    slow = early + STAGE
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {slow!r}])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", start], cwd=tmp_path, env=environment)
    assert appeared(tmp_path / "early")
    parent.kill()
    parent.wait(20)
    assert not appeared(tmp_path / "began", within=12)


WRITERS = {
    "arrays.npz": (lambda path: files.write_npz(path, P=np.arange(500.0)), files.read_npz),
    "table.csv": (
        lambda path: files.write_csv(path, [{"class": "1", "loss": 0.5}] * 9),
        files.read_csv,
    ),
    "about.json": (lambda path: files.write_json(path, {"P": [1.5] * 9}), files.read_json),
    "weights.safetensors": (
        lambda path: write_tensors(path, {"P": torch.arange(500.0)}),
        read_tensors,
    ),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"",
        lambda whole: pickle.dumps({"P": 1}),
        lambda whole: None,
    ],
    ids=["truncated", "empty", "pickle", "missing"],
)
def test_a_damaged_file_is_one_line_that_names_it(name, damage, tmp_path):
    path = tmp_path / name
    write, read = WRITERS[name]
    write(path)
    read(path)
    content = damage(path.read_bytes())
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: expected .*`dvc repro`") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["arrays.npz", "weights.safetensors"])
def test_no_flipped_bit_of_an_array_is_missed(name, tmp_path):
    path = tmp_path / name
    write, read = WRITERS[name]
    write(path)
    whole, before = path.read_bytes(), read(path)["P"]
    for place in range(0, len(whole), 7):
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        )
        with suppress(InputError):
            assert bool((read(path)["P"] == before).all())  # of a date, say


def test_a_key_that_a_file_lacks_is_named_with_the_file(tmp_path):
    files.write_json(tmp_path / "about.json", {"counts": {"train": 3}})
    found = files.read_json(tmp_path / "about.json")
    assert found == {"counts": {"train": 3}}
    with pytest.raises(InputError, match=r"about\.json: expected 'classes' in it; got 'counts'"):
        found["classes"]
    with pytest.raises(InputError, match=r"about\.json: expected 'test' in it; got 'train'"):
        found["counts"]["test"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_one_line_that_names_the_file(tmp_path, capsys):
    def main():
        files.write_whole(tmp_path / "table.csv", lambda _: Path("/dev/full").write_text("x"))

    def other():
        Path("/dev/full").write_text("x")

    for start, said in (
        (main, f"{tmp_path}/table.csv: expected to write it; got: No space left"),
        (other, "No space"),
    ):
        with pytest.raises(SystemExit) as ended:
            without_arguments(start)
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def without_arguments(main):
    arguments, handler = sys.argv, signal.getsignal(signal.SIGTERM)
    sys.argv = ["stage"]
    try:
        run(main, "")
    finally:
        sys.argv = arguments
        signal.signal(signal.SIGTERM, handler)
