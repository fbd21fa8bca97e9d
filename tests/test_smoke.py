"""The pipeline as its users run it: from a clone, again, with a changed parameter, in a queue; at a tiny size."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from markupsafe import escape
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
TINY = {
    "run.datasets": ["linear", "digits"],
    "datasets.linear.prepare.train": 60,
    "datasets.linear.prepare.flips": [10, 4],
    "datasets.linear.removal.seeds": 2,
    "datasets.linear.fidelity.halves": 10,
    "datasets.linear.fidelity.samples": [20],
    "datasets.linear.fidelity.repeats": 1,
    "datasets.digits.fidelity.halves": 10,
    "datasets.digits.fidelity.seeds": 1,
    "datasets.digits.fidelity.samples": [50],
    "datasets.digits.fidelity.repeats": 1,
    "datasets.digits.train.epochs": 3,
    "datasets.digits.curvature.earlier": [1, 2],
    "datasets.digits.ceiling.permutations": 20,
    "datasets.digits.train.width": 2,
    "datasets.digits.removal.seeds": 2,
    "datasets.digits.reweight": {
        "cases": [{"kind": "direct_improvement", "epoch": 2, "targets": "auto", "recipe": "as_trained"}],
        "generations": 1,
        "population": 8,
        "seeds": 2,
        "w_max": 2.0,
        "slack": 0.1,
        "trust": 1.0,
        "searches": [{"anchor": "start", "rule": "printed", "program": "linear"}],
        "directions": [{"anchor": "end", "filter": "horizon", "measure": "loss"}],
        "sizes": [0.5],
        "tradeoff": 2,
    },
}


class Workspace:
    def __init__(self, folder: Path):
        self.folder = folder
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "GIT_"))}
        self.env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{self.env['PATH']}"

    def __call__(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def repro(self, *options: str) -> list[str]:
        """Runs the pipeline; the names of the stages whose command was run."""
        return re.findall(r"Running stage '(.*?)'", self("dvc", "repro", *options))

    def set(self, **values: object) -> None:
        yaml = YAML()
        path = self.folder / "params.yaml"
        tree = yaml.load(path)
        for key, value in values.items():
            *parents, last = key.split(".")
            node = tree
            for parent in parents:
                node = node[parent]
            node[last] = value
        yaml.dump(tree, path)

    def runs(self) -> list[tuple[str, str]]:
        """(experiment, key) of every finished run in the tracking database."""
        query = """select experiments.name, tags.value from runs join experiments using (experiment_id)
                   join tags using (run_uuid) where tags.key = 'dvc.key' and runs.status = 'FINISHED'"""
        with sqlite3.connect(self.folder / "mlflow.db") as database:
            return sorted(database.execute(query).fetchall())


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    space = Workspace(tmp_path_factory.mktemp("clone"))
    files = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    for name in files:
        if name != "dvc.lock" and (ROOT / name).is_file():
            (space.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, space.folder / name)
    space.set(**TINY)
    space("git", "init", "-q")
    space("git", "config", "user.name", "test")
    space("git", "config", "user.email", "test@localhost")
    first = space.repro()
    assert len(first) == 2 * 10 + 3  # ten stages per data set; what was measured elsewhere, the claims and the report
    space("git", "add", "-A")
    space("git", "commit", "-qm", "tiny")
    return space


def test_the_same_again_runs_nothing(workspace):
    assert workspace.repro() == []


def test_the_same_seed_gives_the_same_bytes_for_every_output(workspace):
    lock = (workspace.folder / "dvc.lock").read_text()
    assert len(workspace.repro("--force")) == 23
    assert (workspace.folder / "dvc.lock").read_text() == lock


def test_a_parameter_of_one_data_set_leaves_the_others_alone_and_comes_back_from_the_cache(workspace):
    before = workspace.runs()
    workspace.set(**{"datasets.linear.removal.seeds": 3})
    changed = workspace.repro()
    assert sorted(changed) == ["claims", "figures@linear", "removal@linear", "report", "track@linear"]
    assert len(workspace.runs()) == len(before) + 1
    workspace.set(**{"datasets.linear.removal.seeds": 2})
    assert set(workspace.repro()) <= {"track@linear", "report"}  # without a run cache; they find nothing to do
    assert len(workspace.runs()) == len(before) + 1


def test_queued_experiments_at_once_lose_no_run(workspace):
    before = workspace.runs()
    for seed in (1, 2):
        workspace("dvc", "exp", "run", "--queue", "-S", f"datasets.linear.prepare.seed={seed}", "track@linear")
    workspace("dvc", "queue", "start", "-j", "2")
    workspace("dvc", "queue", "logs", "--follow", experiments(workspace)[0])
    workspace("dvc", "queue", "logs", "--follow", experiments(workspace)[1])
    after = workspace.runs()
    assert len(after) == len(before) + 2
    assert len(set(after)) == len(after)


def experiments(workspace: Workspace) -> list[str]:
    return re.findall(r"^([0-9a-f]{7})", workspace("dvc", "queue", "status"), re.MULTILINE)


def test_the_page_needs_no_network_and_holds_every_figure(workspace):
    page = (workspace.folder / "reports/index.html").read_text()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    for dataset in TINY["run.datasets"]:
        captions = json.loads((workspace.folder / f"reports/figures/{dataset}/captions.json").read_text())
        for caption in captions.values():
            assert escape(caption["title"]) in page
    images = re.findall(r"<img [^>]*>", page)
    assert images
    assert all('src="data:image/png;base64,' in image and 'alt="' in image for image in images)
