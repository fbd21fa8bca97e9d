"""Look at this machine before the pipeline runs: what would stop it, and what to do about each finding."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import joblib

from catwise.config import params
from catwise.core.errors import InputError

ROOT = Path(__file__).parents[2]
EMBEDDED = ("linear", "nonlinear", "digits", "imagefolder", "csv")  # sources that need no download
GIGABYTES = 3  # of disk for the default pipeline, its cache and the tracking database


class FindingError(Exception):
    """What is wrong, then what to do."""


def packages() -> str:
    """The pins of requirements.txt, and whether torch and torchvision load as a pair."""
    lines = (
        line.partition("#")[0].strip()
        for line in (ROOT / "requirements.txt").read_text().splitlines()
    )
    pins = dict(line.split("==") for line in lines if "==" in line)
    for name, wanted in pins.items():
        try:
            came = version(name).partition("+")[0]
        except PackageNotFoundError:
            came = "none"
        if came != wanted:
            raise FindingError(
                f"{name} {came} in place of {wanted}", "pip install -r requirements.txt"
            )
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError) as error:
        said = " ".join(str(error).split())[:100]
        raise FindingError(
            f"torchvision does not load: {said}", "install torch and torchvision from one index"
        ) from None
    return f"{len(pins)} as pinned, for Python {sys.version.split()[0]}"


def threads() -> str:
    cores, wanted = joblib.cpu_count(), os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted) > cores:
        raise FindingError(
            f"OMP_NUM_THREADS={wanted} on {cores} cores", f"export OMP_NUM_THREADS={cores}"
        )
    return f"{cores} cores"


def disk() -> str:
    free = shutil.disk_usage(".").free / 1e9
    if free < GIGABYTES:
        raise FindingError(
            f"{free:.1f} GB free", f"make room for {GIGABYTES} GB; `dvc gc -w` drops old results"
        )
    return f"{free:.0f} GB free"


def repository() -> str:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise FindingError("ggot none", "install git: DVC keeps its state in it") from None
    if done.returncode:
        raise FindingError("no commit here", "git init && git add -A && git commit -m start")
    return f"at {done.stdout[:7]}"


def cache() -> str:
    folder = Path(".dvc")
    if not folder.is_dir():
        raise FindingError("no .dvc here", "run from the top of the project")
    if not os.access(folder, os.W_OK):
        raise FindingError("DVC cannot write its cache", "chmod -R u+w .dvc")
    return "writable"


def lock() -> str:
    """DVC notes in a file what it reads and writes, and refuses to start when a kill left half a note."""
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
    path = Path("mlflow.db")
    if not path.exists():
        return "none yet"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            answer = database.execute("pragma quick_check").fetchone()[0]
            half = "select 'half migrated' from sqlite_master where name like '_alembic_tmp%'"
            answer = (database.execute(half).fetchone() or [answer])[0]
    except sqlite3.DatabaseError as error:
        answer = str(error)
    if answer != "ok":
        raise FindingError(
            f"mlflow.db is damaged: {answer[:60]}",
            "move it away; `dvc repro -f -s track@NAME` logs anew",
        )
    return "sound"


def data() -> str:
    """The parameters, and where their data come from."""
    try:
        everything = params.load()
    except InputError as error:
        raise FindingError(str(error), "mend that line") from None
    needed = [
        n for n in everything.run.datasets if everything.datasets[n].prepare.source not in EMBEDDED
    ]
    mirror = os.environ.get("CATWISE_MIRROR")
    if mirror and not Path(mirror).is_dir():
        raise FindingError(
            f"CATWISE_MIRROR names no folder: {mirror}", "correct it, or unset it to download"
        )
    return (
        f"{', '.join(needed)} from {'the mirror' if mirror else 'a download'}"
        if needed
        else "all embedded"
    )


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
    """The number of findings; a line for each check."""
    found = 0
    for check in CHECKS:
        try:
            print(f"ok    {check.__name__}: {check()}")
        except FindingError as finding:
            found += 1
            print(f"MEND  {check.__name__}: {finding.args[0]}\n      {finding.args[1]}")
    return found


if __name__ == "__main__":
    raise SystemExit(2 if main() else 0)
