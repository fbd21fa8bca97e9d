"""What a long stage has finished so far, kept apart from its outputs: a killed stage goes on from where it was.

One small file for each result, named by a hash of all that the result depends on, in ``scratch/`` of the repository
that experiments were started from (DVC deletes the folders that they run in).
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from catwise.pipeline.files import write_whole

__all__ = ["clear", "found", "keep", "place"]

_mine: set[Path] = set()  # an experiment beside this one keeps its own results in the same folder


def place(stage: str, dataset: str, key: str) -> Path:
    """Where the result with this key is kept; ``clear`` removes what this process asked for."""
    root = Path(os.environ.get("DVC_ROOT") or ".").resolve()
    path = root / "scratch" / stage / dataset / f"{key}.json"
    _mine.add(path)
    return path


def keep(path: Path, value: Any) -> Any:
    """Keeps ``value`` and returns it as it will be found: floats to the last bit, but every NaN as one and the same."""
    text = json.dumps(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(
        path, lambda part: part.write_text(json.dumps({"sha256": _sha256(text), "value": text}))
    )
    return json.loads(text)


def found(path: Path) -> Any | None:
    """What was kept; None if nothing was, or if the file is damaged."""
    try:
        kept = json.loads(path.read_text())
        return json.loads(kept["value"]) if kept["sha256"] == _sha256(kept["value"]) else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def clear(stage: str, dataset: str) -> None:
    """Forgets this process's results, which the outputs of the stage now hold."""
    for path in [path for path in _mine if path.parts[-3:-1] == (stage, dataset)]:
        path.unlink(missing_ok=True)
        _mine.remove(path)
