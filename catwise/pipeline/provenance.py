"""Record what made a result: the machine, the versions and the code; no host, no user, no path."""

import hashlib
from pathlib import Path
from typing import Any

import joblib
import torch

from catwise.core.device import torch_device
from catwise.core.precision import resolve_precision
from catwise.pipeline.environment import git, processor, versions

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
    is_ours = git("ls-files", "--error-unmatch", "catwise/__init__.py", folder=ROOT) is not None
    commit = git("rev-parse", "HEAD", folder=ROOT) if is_ours else None
    changes = git("status", "--porcelain", "catwise", "stages", folder=ROOT)
    clean = None if commit is None else changes == ""
    return {"commit": commit, "clean": clean, "code_sha256": digest.hexdigest()}
