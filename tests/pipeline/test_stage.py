"""A stage ends when it is told to, and with whoever started it; its errors name the key to mend."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from catwise.config import params
from catwise.core import precision
from catwise.core.errors import InputError
from catwise.pipeline import files
from catwise.pipeline.stage import run, section_errors, settings

ROOT = Path(__file__).parents[2]
STAGE = """
import stages, signal, time
from pathlib import Path
{first}
from catwise.pipeline.stage import run
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process ignores it
def main():
    try:
        Path("began").touch()
        time.sleep(60)
    finally:
        Path("closed").touch()
run(main, "waits")
"""


def wait_for(path):
    end = time.monotonic() + 20
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert path.exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stage_that_is_told_to_end_closes_what_is_open(tmp_path, number, code):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", STAGE.format(first="")]
    stage = subprocess.Popen(command, cwd=tmp_path, env=environment)
    wait_for(tmp_path / "began")
    stage.send_signal(number)
    assert stage.wait(20) == code
    assert (tmp_path / "closed").exists()


def end_parent(tmp_path, stage, when):
    """Start a stage from a parent, kill the parent ``when`` a file exists, wait for the stage."""
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {stage!r}])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(tmp_path)}
    command = [sys.executable, "-c", start]
    parent = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    wait_for(tmp_path / when)
    parent.kill()
    parent.communicate(timeout=20)  # the stage holds the other end of the pipe until it ends


@pytest.mark.slow
def test_a_stage_ends_with_the_process_that_started_it(tmp_path):
    """DVC leaves a stage to itself when it is killed, or told to end."""
    end_parent(tmp_path, STAGE.format(first=""), when="began")
    assert (tmp_path / "closed").exists()


@pytest.mark.slow
def test_a_stage_ends_although_its_parent_was_gone_before_it_had_imported_all(tmp_path):
    first = "Path('importing').touch(); time.sleep(15)"
    end_parent(tmp_path, STAGE.format(first=first), when="importing")
    assert not (tmp_path / "began").exists()


@pytest.fixture
def no_arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["stage"])
    monkeypatch.setattr("signal.signal", lambda *_: None)


@pytest.mark.usefixtures("no_arguments")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_one_line_that_names_the_file(tmp_path, capsys):
    def fill(_):
        Path("/dev/full").write_text("x")

    table = tmp_path / "table.csv"
    write = partial(files.write_whole, table, fill)
    for main, message in (
        (write, f"{table}: expected to write it; got: No space left"),
        (partial(fill, None), "No space left"),
    ):
        with pytest.raises(SystemExit) as ended:
            run(main, "")
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_under_dvc_a_stage_whose_parameters_were_edited_meanwhile_is_refused(
    tmp_path, monkeypatch, capsys
):
    """DVC would file its result under the parameters that are there when it ends."""
    monkeypatch.chdir(tmp_path)
    text, path = (ROOT / "params.yaml").read_text(), Path("params.yaml")
    start = text.index("\n  linear:")
    own = text[:start] + text[start:].replace("l2: 0.001", "l2: 0.002", 1)
    other = text.replace("width: 16", "width: 17", 1)
    assert text not in (own, other)

    def editing(edited):
        def main(dataset):
            path.write_text(edited)

        return main

    monkeypatch.setattr(sys, "argv", ["stage", "linear"])
    for edited, under_dvc, refused in (
        (own, True, True),
        (own, False, False),
        (other, True, False),
    ):
        path.write_text(text)
        monkeypatch.setenv("DVC_STAGE", "train@linear")
        if not under_dvc:
            monkeypatch.delenv("DVC_STAGE")
        if not refused:
            run(editing(edited), "")
            continue
        with pytest.raises(SystemExit) as ended:
            run(editing(edited), "")
        assert ended.value.code == 2
        assert "expected datasets.linear to stay while a stage runs" in capsys.readouterr().err


def test_an_argument_of_the_library_is_named_as_the_key_of_its_section():
    section = params.load(ROOT / "params.yaml").datasets["linear"].train
    for message, expected in (
        ("l2: expected a penalty; got 0", "datasets.linear.train.l2: expected a penalty; got 0"),
        ("data/arrays.npz: expected arrays", "data/arrays.npz: expected arrays"),
    ):
        with pytest.raises(InputError) as caught, section_errors("linear", "train", section):
            raise InputError(message)
        assert str(caught.value) == expected


@pytest.mark.slow
@pytest.mark.parametrize("fast", [False, True])
def test_an_automatic_precision_is_what_it_means_here_and_nothing_else_changes(monkeypatch, fast):
    """So a key of what was kept, and the record of what was measured, hold what was used."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: fast)
    plain, found = params.load().datasets["cifar10"], settings("cifar10")
    assert plain.train.precision == "auto"
    for name in ("train", "curvature", "influence"):
        asked, got = getattr(plain, name).model_dump(), getattr(found, name).model_dump()
        assert got == asked | {"precision": "bfloat16" if fast else "float32"}
    assert found.reweight == plain.reweight


@pytest.mark.slow
def test_bfloat16_on_a_processor_without_it_names_the_key(tmp_path, monkeypatch):
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("precision: auto", "precision: bfloat16"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    settings("digits")
    with pytest.raises(InputError, match=r"^datasets\.cifar10\.train\.precision: expected auto"):
        settings("cifar10")
