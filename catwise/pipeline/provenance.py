"""Record what made a result: the machine, the versions and the code; no host, no user, no path."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import joblib
import torch

from catwise.core.device import torch_device
from catwise.core.precision import resolve_precision
from catwise.pipeline.environment import processor, versions

__all__ = ["ROOT", "code", "machine"]


ROOT = Path(__file__).parents[2]


def machine(device: str) -> dict[str, Any]:
    """Describe the processor, the cores in use, the versions, and the GPU if ``device`` uses it.

    ``auto`` is the number format that ``precision: auto`` means there.
    """
    kind = torch_device(device).type
    return {
        "processor": processor(),
        "cores": joblib.cpu_count(),
        "gpu": torch.cuda.get_device_name() if kind == "cuda" else None,
        "auto": resolve_precision("auto", kind),
        "versions": versions(),
    }


def code() -> dict[str, Any]:
    """Return the commit, whether the code is as committed there, and the sha256 of all code.

    Without git the first two are None.
    """
    digest = hashlib.sha256()
    for path in sorted([*ROOT.glob("catwise/**/*.py"), *ROOT.glob("stages/*.py")]):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    # an unpacked archive may lie in a repository that is not ours
    is_ours = _git("ls-files", "--error-unmatch", "catwise/__init__.py") is not None
    commit = _git("rev-parse", "HEAD") if is_ours else None
    clean = None if commit is None else _git("status", "--porcelain", "catwise", "stages") == ""
    return {"commit": commit, "clean": clean, "code_sha256": digest.hexdigest()}


def _git(*arguments: str) -> str | None:
    """Return what git prints, or None where it fails or is missing."""
    command = ["git", *arguments]
    try:
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return process.stdout.strip() if process.returncode == 0 else None
