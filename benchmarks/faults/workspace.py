"""Make a small copy of the project in a folder of its own, in which things may go wrong."""

import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import yaml  # type: ignore[import-untyped]
from ruamel.yaml import YAML

from benchmarks.faults import fork_client
from catwise.pipeline.provenance import ROOT

__all__ = [
    "ROOT",
    "SMALL",
    "Ended",
    "Forks",
    "Workspace",
    "environment",
    "files",
    "hashes",
    "pipeline",
    "resize",
    "run_apart",
]

SMALL: dict[str, Any] = {  # sizes at which the pipeline of two data sets takes a minute or two
    "run.datasets": ["linear", "digits"],
    "datasets.linear.prepare.train": 60,
    "datasets.linear.prepare.flips": [10, 4],
    "datasets.linear.removal.seeds": 2,
    "datasets.linear.ceiling.permutations": 20,
    "datasets.digits.prepare.test": 1000,  # of the 1,797 images: 197 are left to train on
    "datasets.digits.train.epochs": 2,
    "datasets.digits.train.width": 2,
    "datasets.digits.curvature.earlier": [1],
    "datasets.digits.influence.runs": 2,
    "datasets.digits.ceiling.permutations": 20,
    "datasets.digits.removal.seeds": 2,
    "datasets.digits.removal.controls": 1,
    "datasets.digits.improve": {
        "runs": 1,
        "influence": ["endpoint"],
        "seeds": 2,
        "fresh": 2,
        "rounds": 1,
        "level": 0.05,
        "allowed_loss": 0.0,
        "w_max": 2.0,
        "trust": 1.0,
        "proposals": ["direction"],
        "sizes": [0.5],
        "folds": 2,
        "best_of": 2,
        "baselines": "all",
        "generations": 1,
        "population": 8,
    },
    "datasets.digits.reweight": {
        "cases": [
            {
                "kind": "direct_improvement",
                "epoch": 1,
                "targets": "auto",
                "recipe": "as_trained",
                "budget": "full",
            }
        ],
        "generations": 1,
        "population": 8,
        "seeds": 2,
        "w_max": 2.0,
        "slack": 0.1,
        "trust": 1.0,
        "merge": 0.002,
        "searches": [{"anchor": "start", "rule": "printed", "program": "linear"}],
        "directions": [{"anchor": "end", "filter": "horizon", "query": "loss"}],
        "unrolled": {"orders": 1, "relinearise": 0, "at_once": 10},
        "sizes": [0.5],
        "tradeoff": 2,
    },
} | {
    f"datasets.{name}.{key}": value
    for name in ("linear", "digits")
    for key, value in {
        "subsets": {"left_out": "weights", "halves": 10, "removals": 2, "seeds": 1, "seed": 0},
        "fidelity": {"kinds": ["identity"], "samples": [], "repeats": 1},
    }.items()
}
CODE = ("catwise", "stages")
NOT_COPIED = ("dvc.lock", "reports/measured/")


class Ended(NamedTuple):
    """Hold how a process ended: its exit status and what it wrote to stderr."""

    code: int
    said: str

    def one_line(self, *names: str) -> bool:
        """Return whether the process ended as bad input should end it.

        That is with exit status 2 and one line on stderr, in which one of ``names`` stands. Lines
        that tell how far a long loop is do not count.
        """
        lines = [
            line for line in self.said.splitlines() if not re.search(r"about \d+ s left$", line)
        ]
        return self.code == 2 and len(lines) == 1 and any(name in lines[0] for name in names)

    def last_line(self) -> str:
        """Return the beginning of the last line on stderr."""
        return (self.said.splitlines() or ["nothing on stderr"])[-1][:160]


class Forks:
    """Run modules as ``python -m`` does, without the time of its imports; see ``fork_server``.

    ``python`` is a program that stands in for the interpreter where ``python -m`` is called.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._address = str(Path(self._folder.name, "socket"))
        self.python = Path(self._folder.name, "python")
        client = Path(__file__).with_name("fork_client.py")
        self.python.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -IS "{client}" "{self._address}" "$@"\n'
        )
        self.python.chmod(0o755)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._address)
            listener.listen()
            number = listener.fileno()
            self._server = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.faults.fork_server", str(number)],
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.PIPE,
                pass_fds=[number],
            )

    def __call__(self, folder: Path, module: str, *arguments: str) -> Ended:
        """Run ``python -m MODULE ARGUMENTS`` in ``folder``; what it writes to stdout is dropped."""
        with tempfile.TemporaryFile("w+", errors="replace") as said, open(os.devnull, "r+") as null:
            streams = null.fileno(), null.fileno(), said.fileno()
            code = fork_client.ask(
                self._address, module, list(arguments), str(folder), environment(), streams
            )
            said.seek(0)
            return Ended(code, said.read())

    def __enter__(self) -> "Forks":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()  # closes its stdin, which ends it
        self._folder.cleanup()


def run_apart(folder: Path, module: str, *arguments: str, **variables: str) -> Ended:
    """Run the same in an interpreter of its own, with these variables in its environment."""
    command = [sys.executable, "-m", module, *arguments]
    env = environment() | {"PYTHONPATH": str(ROOT)} | variables
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    return Ended(done.returncode, done.stderr)


class Workspace:
    """Hold a copy of the project in ``folder``, a git repository of its own.

    ``sizes``     values in params.yaml that differ from the shipped ones, by dotted key
    ``measured``  those of the results that come with the repository which are copied too
    ``workers``   how many a stage may start; 0: as many as there are cores
    ``forks``     runs the stages; None: each runs in an interpreter of its own
    """

    def __init__(
        self,
        folder: Path,
        sizes: dict[str, Any],
        measured: tuple[str, ...] = (),
        workers: int = 1,
        forks: Forks | None = None,
    ) -> None:
        self.folder, self.workers, self.forks = folder, workers, forks
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        kept = tuple(f"reports/measured/{name}/" for name in measured)
        for name in listed.stdout.splitlines():
            if name.startswith(NOT_COPIED) and not name.startswith(kept):
                continue
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        (folder / "reports" / "measured").mkdir(exist_ok=True)
        resize(folder / "params.yaml", sizes)
        self("git", "init", "-q")
        self("git", "config", "user.name", "nobody")
        self("git", "config", "user.email", "nobody@localhost")
        self("git", "commit", "-qm", "x", "--allow-empty")

    def __call__(self, *command: str) -> str:
        """Run a command in the folder and return its stdout; raise RuntimeError if it fails."""
        env = environment(self.workers)
        if self.forks:
            env["PATH"] = f"{self.forks.python.parent}{os.pathsep}{env['PATH']}"
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {(done.stdout + done.stderr)[-2000:]}")
        return done.stdout

    def repro(self, *options: str) -> list[str]:
        """Run the pipeline; return the stages whose command was run."""
        return re.findall(r"Running stage '(.*?)'", self("dvc", "repro", *options))

    def commit(self) -> None:
        """Commit all that git does not ignore, be it nothing."""
        self("git", "add", "-A")
        self("git", "commit", "-qm", "small", "--allow-empty")


def environment(workers: int = 1) -> dict[str, str]:
    """Return a user's environment, with nothing of a DVC or git around it.

    The programs are those of this interpreter; ``workers`` is 0 for as many as there are cores.
    """
    own = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("DVC_", "GIT_", "CATWISE_"))
    }
    path = f"{Path(sys.prefix, 'bin')}{os.pathsep}{own['PATH']}"
    limit = {"CATWISE_WORKERS": str(workers)} if workers else {}
    return own | {"PATH": path, "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"} | limit


def resize(path: Path, sizes: dict[str, Any]) -> None:
    """Change values of params.yaml, given by dotted key."""
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
    """Return (deps, outs) of every stage of a data set, in the order of dvc.yaml, without code."""
    stages: dict[str, tuple[list[str], list[str]]] = {}
    for name, stage in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        if "matrix" in stage:
            written = [out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])]
            outs = [out if isinstance(out, str) else next(iter(out)) for out in written]
            deps = [dep for dep in stage["deps"] if not dep.startswith(CODE)]
            stages[name] = (_of(dataset, deps), _of(dataset, outs))
    return stages


def _of(dataset: str, paths: list[str]) -> list[str]:
    return [path.replace("${item.dataset}", dataset) for path in paths]


def files(folder: Path, path: str) -> list[str]:
    """Return the files of one output: the output itself, or all files below it."""
    output = folder / path
    inside = output.rglob("*") if output.is_dir() else [output]
    return sorted(str(file.relative_to(folder)) for file in inside if not file.is_dir())


def hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of every output in ``folder``, and of dvc.lock if there is one."""
    roots = [folder / name for name in ("data", "models", "reports")]
    paths = [path for root in roots for path in root.rglob("*") if path.is_file()]
    paths = [path for path in paths if path.name != ".gitignore"]
    lock = folder / "dvc.lock"
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted([*paths, lock] if lock.exists() else paths)
    }
