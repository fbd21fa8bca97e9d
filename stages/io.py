"""What every stage shares: one argument, parameters by section, files written whole or not at all."""

import argparse
import inspect
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from catwise import params
from catwise.errors import InputError

__all__ = ["folder", "read_json", "read_npz", "run", "settings", "write_csv", "write_json", "write_npz", "written"]


def run(main: Callable[..., None], description: str | None) -> None:
    """Calls ``main`` with what it takes from the command line; bad input is one line and exit code 2."""
    parser = argparse.ArgumentParser(description=description)
    if inspect.signature(main).parameters:
        parser.add_argument("dataset", help="a name under `datasets` in params.yaml")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is open is closed
    if os.environ.get("DVC_ROOT"):
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    try:
        main(**vars(parser.parse_args()))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _end_with(parent: int) -> None:
    """Ends this process when its parent is gone: DVC, told to end, leaves its stage running."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def settings(dataset: str, *sections: str) -> tuple[Any, ...]:
    """The named sections of one data set; dvc.yaml lists the same names under the stage's ``params``."""
    everything = params.load().datasets
    if dataset not in everything:
        raise InputError(f"data set: expected one of {', '.join(everything)}; came {dataset!r}")
    return tuple(getattr(everything[dataset], section) for section in sections)


def folder(root: str, *parts: str) -> Path:
    """A folder for outputs, made if it is missing."""
    path = Path(root, *parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def written(path: Path, write: Callable[[Path], object]) -> None:
    """``write`` to a scratch name beside ``path``, then move it there: a killed stage leaves no half a file."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")  # two experiments may write the same
    try:
        write(scratch)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    def write(scratch: Path) -> None:
        with scratch.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    written(path, write)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def write_json(path: Path, value: Any) -> None:
    """JSON with null in place of NaN, which is not JSON."""

    def plain(item: Any) -> Any:
        if isinstance(item, dict):
            return {str(key): plain(inner) for key, inner in item.items()}
        if isinstance(item, list | tuple | np.ndarray):
            return [plain(inner) for inner in item]
        if isinstance(item, np.generic):
            item = item.item()
        return None if isinstance(item, float) and not math.isfinite(item) else item

    text = json.dumps(plain(value), indent=2, allow_nan=False) + "\n"
    written(path, lambda scratch: scratch.write_text(text))


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def write_csv(path: Path, rows: list[dict[str, Any]], columns: list[str] | None = None) -> None:
    """A header and a line per row; ``columns`` names them where there may be no row."""
    written(path, lambda scratch: pd.DataFrame(rows, columns=columns).to_csv(scratch, index=False))
