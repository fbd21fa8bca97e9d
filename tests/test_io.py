"""A stage ends when it is told to, and with whoever started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAGE = """
import signal, sys, time
from pathlib import Path
from stages.io import run
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
    stage = subprocess.Popen([sys.executable, "-c", STAGE], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
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
