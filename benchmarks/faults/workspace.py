"""A copy of the project in a folder of its own, at a size of its own, in which things may go wrong."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml  # type: ignore[import-untyped]
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
SMALL: dict[str, Any] = {  # of the two data sets at which the whole pipeline takes a minute or two
    "run.datasets": ["linear", "digits"],
    "datasets.linear.prepare.train": 60,
    "datasets.linear.prepare.flips": [10, 4],
    "datasets.linear.removal.seeds": 2,
    "datasets.linear.ceiling.permutations": 20,
    "datasets.digits.prepare.test": 1000,  # of the 1,797 images: 197 are left to train on
    "datasets.digits.train.epochs": 2,
    "datasets.digits.train.width": 2,
    "datasets.digits.curvature.earlier": [1],
    "datasets.digits.ceiling.permutations": 20,
    "datasets.digits.removal.seeds": 2,
    "datasets.digits.removal.controls": 1,
    "datasets.digits.reweight": {
        "cases": [
            {"kind": "direct_improvement", "epoch": 1, "targets": "auto", "recipe": "as_trained"}
        ],
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
} | {
    f"datasets.{name}.fidelity.{key}": value
    for name in ("linear", "digits")
    for key, value in {
        "kinds": ["identity"],
        "halves": 10,
        "seeds": 1,
        "samples": [],
        "repeats": 1,
    }.items()
}
LEFT = ("dvc.lock", "reports/measured/")  # not copied: nothing is there at the beginning


class Ended(NamedTuple):
    """How a process ended."""

    code: int
    said: str

    def one_line(self, *names: str) -> bool:
        """Whether it ended as bad input should: exit status 2, and one line on stderr that holds one of ``names``.

        Lines that tell how far a long loop is do not count.
        """
        lines = [
            line for line in self.said.splitlines() if not re.search(r"about \d+ s left$", line)
        ]
        return self.code == 2 and len(lines) == 1 and any(name in lines[0] for name in names)


class Forks:
    """Runs modules as ``python -m`` does; see ``benchmarks.faults.fork_server``."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "benchmarks.faults.fork_server"]
        self._server = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, folder: Path, module: str, *arguments: str) -> Ended:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        request = {"module": module, "arguments": arguments, "folder": str(folder)}
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return Ended(**json.loads(self._server.stdout.readline()))

    def __enter__(self) -> "Forks":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()


def alone(folder: Path, module: str, *arguments: str, **variables: str) -> Ended:
    """The same in an interpreter of its own, with these variables in its environment."""
    command = [sys.executable, "-m", module, *arguments]
    env = environment() | {"PYTHONPATH": str(ROOT)} | variables
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return Ended(done.returncode, done.stderr)


class Workspace:
    """``sizes``: what params.yaml says otherwise, by dotted key; ``workers``: 0: as many as cores."""

    def __init__(
        self, folder: Path, sizes: dict[str, Any], measured: tuple[str, ...] = (), workers: int = 1
    ) -> None:
        self.folder, self.workers = folder, workers
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        kept = tuple(f"reports/measured/{name}/" for name in measured)
        for name in listed.stdout.splitlines():
            if (ROOT / name).is_file() and (
                name.startswith(kept) if name.startswith(LEFT) else True
            ):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        (folder / "reports" / "measured").mkdir(exist_ok=True)
        resized(folder / "params.yaml", sizes)
        self("git", "init", "-q")
        self("git", "config", "user.name", "nobody")
        self("git", "config", "user.email", "nobody@localhost")
        self("git", "commit", "-qm", "x", "--allow-empty")

    def __call__(self, *command: str) -> str:
        env = environment(self.workers)
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {(done.stdout + done.stderr)[-2000:]}")
        return done.stdout

    def repro(self, *options: str) -> list[str]:
        """Runs the pipeline; the stages whose command was run."""
        return re.findall(r"Running stage '(.*?)'", self("dvc", "repro", *options))

    def commit(self) -> None:
        self("git", "add", "-A")
        self("git", "commit", "-qm", "small")


def environment(workers: int = 1) -> dict[str, str]:
    """As a user has it, with so many workers and this interpreter's programs; nothing of a DVC or git around it."""
    own = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("DVC_", "GIT_", "CATWISE_"))
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
    limit = {"CATWISE_WORKERS": str(workers)} if workers else {}
    return own | {"PATH": path, "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"} | limit


def resized(path: Path, sizes: dict[str, Any]) -> None:
    dialect = YAML()
    tree = dialect.load(path)
    for key, value in sizes.items():
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            node = node[parent]
        node[last] = value
    dialect.dump(tree, path)


def pipeline(dataset: str) -> dict[str, tuple[list[str], list[str]]]:
    """(deps, outs) of every stage of one data set, in the order of dvc.yaml; deps without the code."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        if "matrix" in stage:
            written = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
            outs = [out if isinstance(out, str) else next(iter(out)) for out in written]
            deps = [dep for dep in stage["deps"] if not dep.endswith(".py")]
            named = (
                [path.replace("${item.dataset}", dataset) for path in some] for some in (deps, outs)
            )
            found[name] = (next(named), next(named))
    return found


def files(folder: Path, path: str) -> list[str]:
    """The files of one output: itself, or all below it."""
    place = folder / path
    found = (
        sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
    )
    return [str(file.relative_to(folder)) for file in found]


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of every output that lies in ``folder``, and of dvc.lock."""
    roots = [folder / name for name in ("data", "models", "reports")]
    found = [file for root in roots for file in root.rglob("*") if file.is_file()]
    kept = [file for file in found if file.name != ".gitignore"]
    whole = [*kept, *(file for file in [folder / "dvc.lock"] if file.exists())]
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(whole)
    }
