"""Runs `python -m MODULE ARGUMENTS` again and again without the seconds that its imports take.

    echo '{"module": "stages.train", "arguments": ["linear"], "folder": "/some/where"}' | python -m benchmarks.faults.fork_server

Every request on stdin, a line of JSON, is served by a process of its own, forked from this one, which has imported
what the stages share but none of them. The answer is a line {code, said}: the exit status and what stderr got.
"""

import importlib
import json
import os
import pkgutil
import runpy
import signal
import sys
import tempfile
import traceback
from typing import Any

import catwise

SLOW = (
    "pandas",
    "sklearn.metrics",
    "safetensors.torch",
    "catwise.experiments.retraining",
    "catwise.pipeline.results",
    "catwise.tracking.mlflow_log",
)
LIMIT = 600  # seconds; a process that takes longer is ended by SIGALRM


def main() -> None:
    for name in (
        *SLOW,
        *(f"catwise.{module.name}" for module in pkgutil.iter_modules(catwise.__path__)),
    ):
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(served(**json.loads(line))), flush=True)


def served(module: str, arguments: list[str], folder: str) -> dict[str, Any]:
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        child = os.fork()
        if child == 0:
            os._exit(_run(module, arguments, folder, said.fileno()))
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return {"code": os.waitstatus_to_exitcode(status), "said": said.read()}


def _run(module: str, arguments: list[str], folder: str, errors: int) -> int:
    """In the child: the exit status, as the interpreter would make it."""
    signal.alarm(LIMIT)
    for target, stream in (
        (os.open(os.devnull, os.O_RDONLY), 0),
        (os.open(os.devnull, os.O_WRONLY), 1),
        (errors, 2),
    ):
        os.dup2(target, stream)
    try:
        os.chdir(folder)
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return 0
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stderr.flush()


if __name__ == "__main__":
    main()
