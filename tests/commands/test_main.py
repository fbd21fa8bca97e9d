"""The command line: what it offers, and how it says that something is missing."""

import re
import sys
from pathlib import Path

import pytest

import catwise
from catwise import __main__ as command_line
from catwise.commands import doctor


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Run a command in an empty folder; return its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command_line.signal, "signal", lambda *_: None)  # of the tests' own process

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["catwise", *arguments])
        with pytest.raises(SystemExit) as end:
            command_line.main()
        return end.value.code, *capsys.readouterr()

    return run


def test_the_version_is_that_of_the_package(call):
    assert call("--version") == (0, f"catwise {catwise.__version__}\n", "")


def test_help_names_every_command(call):
    code, out, _ = call("--help")
    assert code == 0
    for name in command_line.MODULES:
        assert re.search(rf"^ +{name} ", out, re.MULTILINE)


@pytest.mark.parametrize("command", [("doctor",), ("measure", "digits")])
def test_what_needs_the_repository_says_so_in_one_line(call, command):
    code, out, error = call(*command)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: dvc.yaml: expected the repository .*; got none here\n", error)


def test_bad_input_is_one_line_and_exit_code_2(call):
    code, out, error = call("diagnose", "nowhere")
    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: DATA: expected .*; got 'nowhere'\n", error)


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        (("diagnose", "photos"), "'.[pipeline]' in the folder of catwise"),
        (("doctor",), "-r requirements.txt"),
    ],
)
def test_a_missing_package_is_named_with_the_way_to_install_it(
    arguments, remedy, call, monkeypatch
):
    def missing(name: str):
        raise ModuleNotFoundError("No module named 'PIL'", name="PIL")

    Path("dvc.yaml").touch()
    monkeypatch.setattr(command_line, "import_module", missing)
    code, out, error = call(*arguments)
    assert (code, out) == (2, "")
    assert error == f"error: PIL: expected this package; got none; pip install {remedy}\n"


def test_a_finding_of_the_doctor_is_exit_code_2(call, monkeypatch):
    Path("dvc.yaml").touch()
    monkeypatch.setattr(doctor, "main", lambda: 1)
    assert call("doctor")[0] == 2
    monkeypatch.setattr(doctor, "main", lambda: 0)
    assert call("doctor")[0] == 0


def test_in_the_repository_its_own_code_runs_and_not_an_installed_copy(call, monkeypatch):
    class ReplacedError(Exception):
        pass

    def replace(_: str, command: list[str]) -> None:
        raise ReplacedError(command[1:])

    Path("dvc.yaml").touch()
    Path("catwise").mkdir()
    Path("catwise/__main__.py").touch()
    monkeypatch.setattr(command_line.os, "execv", replace)
    monkeypatch.setattr(sys, "argv", ["catwise", "doctor"])
    with pytest.raises(ReplacedError, match=r"\['-m', 'catwise', 'doctor'\]"):
        command_line.main()
