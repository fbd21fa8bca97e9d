"""Keep what a long stage has finished so far, so that a stage that was killed goes on from there.

Each result is one small file, named by a hash of all that the result depends on. The files lie
apart from the outputs of the stage, in ``scratch/`` of the repository that experiments were started
from, because DVC deletes the folders in which queued experiments run.
"""

import base64
import functools
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch

from catwise.core.device import torch_device
from catwise.core.errors import InputError
from catwise.core.precision import resolve_precision
from catwise.core.spread import Spread
from catwise.pipeline.artifacts import card_text
from catwise.pipeline.files import write_whole

__all__ = [
    "INFLUENCE_CODE",
    "clear",
    "file_sha256",
    "job_key",
    "keep",
    "kept_path",
    "kept_results",
    "pack",
    "read_kept",
    "resumable_map",
    "unpack",
]

PACKAGE = Path(__file__).parents[1]
DECIDING = ("core", "training")  # packages that a training and its measurement run
INFLUENCE_CODE = (
    "catwise.influence",
    "catwise.pipeline.fitted_factors",
)  # and that P is computed by

_asked_for: set[Path] = set()  # an experiment beside this one keeps its results in the same folder

Job = tuple[Any, ...]


def resumable_map(
    stage: str,
    dataset: str,
    work: Callable[..., Any],
    key: Callable[..., str],
    jobs: Sequence[Job],
    spread: Spread,
) -> Iterator[Any]:
    """Yield ``work(*job)`` for each job, in order, as JSON gives it back.

    ``key(*job)`` names all that the result depends on. A result is kept as soon as it is there, and
    a job whose result is kept, or which is given twice, is done once. So a stage that was killed
    repeats what it asked for, is given it, and goes on to the same answer. ``spread`` is that of
    ``catwise.pipeline.workers``; both functions must be those of a module, as workers import
    them.
    """
    paths = [kept_path(stage, dataset, key(*job)) for job in jobs]
    results = {path: read_kept(path) for path in paths}
    missing = {path: job for path, job in zip(paths, jobs, strict=True) if results[path] is None}
    calls = ((work, key, job, path) for path, job in missing.items())
    with closing(spread(_do, calls)) as fresh:
        for path in paths:
            if results[path] is None:
                results[path] = next(fresh)
            yield results[path]


def _do(work: Callable[..., Any], key: Callable[..., str], job: Job, path: Path) -> Any:
    """Do one job, in a worker, and keep its result before it is handed back."""
    if key(*job) != path.stem:
        raise InputError(
            "CATWISE_BACKEND: expected workers with the data, checkpoints, code, torch and device "
            "of this process; got others: run again, after a new start of the cluster if any"
        )
    begin = time.perf_counter()
    value = work(*job)
    return keep(path, value, time.perf_counter() - begin)


def job_key(
    module: str,
    dataset: str,
    device: str,
    threads: int,
    state: Any,
    values: np.ndarray,
    *others: str,
) -> str:
    """Hash all that a result depends on, as this process sees it.

    ``module`` is the name of the one that does the work, with ``others``; ``state`` is JSON, and
    ``values`` are the rows or weights that the job trains with.
    """
    kind = torch_device(device).type
    libraries = [library.__version__ for library in (torch, np, scipy)]
    here = [kind, resolve_precision("auto", kind), *libraries, threads, card_text(dataset)]
    text = json.dumps([_code(module, *others), *here, state])
    return hashlib.sha256(text.encode() + values.tobytes()).hexdigest()


@functools.cache
def _code(*modules: str) -> str:
    """Hash the code that decides, when the process first asks: what it runs, not later edits."""
    return hashlib.sha256(
        b"".join(file.read_bytes() for file in deciding_files(*modules))
    ).hexdigest()


def deciding_files(*modules: str) -> list[Path]:
    """List the files whose code decides what the work of the modules results in.

    The name of a package stands for all of its modules.
    """
    files = [file for name in DECIDING for file in sorted((PACKAGE / name).glob("*.py"))]
    for name in modules:
        own = Path(sys.modules[name].__file__ or "")
        files += sorted(own.parent.glob("*.py")) if own.stem == "__init__" else [own]
    return [*files, PACKAGE / "pipeline" / "artifacts.py"]


def file_sha256(path: Path) -> str:
    """Hash a file, once for as long as it is not written again."""
    return _content_sha256(path.resolve(), path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=512)
def _content_sha256(path: Path, _written: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def keep(path: Path, value: Any, seconds: float) -> Any:
    """Keep ``value``, and return it as it will be read: floats to the last bit.

    ``seconds`` is how long it took, for whoever asks how long the rest will take.
    """
    text = json.dumps(value)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"sha256": _sha256(text), "seconds": seconds, "value": text})
    write_whole(path, lambda part: part.write_text(content))
    return json.loads(text)


def pack(values: torch.Tensor) -> dict[str, Any]:
    """Return an array as JSON, in float32."""
    array = values.detach().float().cpu().numpy()
    return {"shape": array.shape, "float32": base64.b64encode(array.tobytes()).decode()}


def unpack(part: dict[str, Any]) -> np.ndarray:
    """Return the array that ``pack`` made JSON of."""
    values = np.frombuffer(base64.b64decode(part["float32"]), np.float32)
    return values.reshape(part["shape"])


def read_kept(path: Path) -> Any | None:
    """Return what was kept; None if nothing was, or if the file is damaged."""
    try:
        kept = json.loads(path.read_text())
        return json.loads(kept["value"]) if kept["sha256"] == _sha256(kept["value"]) else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def kept_results(stage: str, dataset: str) -> list[tuple[Any, float]]:
    """Return each result that is kept for a stage, whatever it depends on, and its seconds."""
    results = []
    for path in sorted(_folder(stage, dataset).glob("*.json")):
        if (value := read_kept(path)) is not None:
            results.append((value, float(json.loads(path.read_text()).get("seconds", math.nan))))
    return results


def clear(stage: str, dataset: str) -> None:
    """Delete the results that this process asked for: the outputs of the stage hold them now."""
    for path in [path for path in _asked_for if path.parts[-3:-1] == (stage, dataset)]:
        path.unlink(missing_ok=True)
        _asked_for.remove(path)


def kept_path(stage: str, dataset: str, key: str) -> Path:
    """Return the file in which a result with this key is kept, and note that it was asked for."""
    path = _folder(stage, dataset) / f"{key}.json"
    _asked_for.add(path)
    return path


def _folder(stage: str, dataset: str) -> Path:
    root = Path(os.environ.get("DVC_ROOT") or ".").resolve()
    return root / "scratch" / stage / dataset


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
