"""What made a result: the machine, the versions and the code; no name of a host or a user, and no path."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import joblib
import torch

from catwise.core.errors import InputError
from catwise.pipeline.artifacts import torch_device
from catwise.pipeline.environment import processor, versions
from catwise.pipeline.results import CARRIED, hashes

__all__ = ["ROOT", "code", "machine"]


ROOT = Path(__file__).parents[2]


def machine(device: str) -> dict[str, Any]:
    """Processor, cores that are used, GPU (None where ``device`` means none here) and versions."""
    on_gpu = torch_device(device).type == "cuda"
    return {
        "processor": processor(),
        "cores": joblib.cpu_count(),
        "gpu": torch.cuda.get_device_name() if on_gpu else None,
        "versions": versions(),
    }


def code() -> dict[str, Any]:
    """Commit (None without git), whether the code is as committed there, and the sha256 of all of it."""
    digest = hashlib.sha256()
    for path in sorted([*ROOT.glob("catwise/*.py"), *ROOT.glob("stages/*.py")]):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    # an unpacked archive may lie in a repository that is not ours
    ours = git("ls-files", "--error-unmatch", "catwise/__init__.py") is not None
    commit = git("rev-parse", "HEAD") if ours else None
    clean = None if commit is None else git("status", "--porcelain", "catwise", "stages") == ""
    return {"commit": commit, "clean": clean, "code_sha256": digest.hexdigest()}


def git(*arguments: str) -> str | None:
    """What git says; None where it fails or is missing."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def check(dataset: str, expected: dict[str, str]) -> None:
    """Raises InputError unless the files are those that were measured, byte for byte, and no others."""
    came = hashes(CARRIED / dataset)
    for name in sorted({*expected, *came}):
        if expected.get(name) != came.get(name):
            wanted, found = (sums.get(name, "no such file")[:12] for sums in (expected, came))
            raise InputError(
                f"{CARRIED / dataset / name}: expected sha256 {wanted} as measured; got {found}"
            )
