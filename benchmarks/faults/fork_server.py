"""Run `python -m MODULE ARGUMENTS` again and again without the seconds that its imports take.

``benchmarks.faults.workspace.Forks`` starts it and gives it a socket that listens. Every request is
served by a process forked from this one, which has imported the whole project. A request is JSON
with the module, its arguments, the folder and the environment, and comes with three file
descriptors: stdin, stdout and stderr. The answer is the exit status.
"""

import faulthandler
import importlib
import json
import os
import pkgutil
import runpy
import select
import socket
import sys
import traceback
from typing import Any

import catwise
import stages

LATER = ("mlflow.store.tracking.sqlalchemy_store", "sklearn.datasets")  # imported by functions
LIMIT = 300  # seconds; a process that takes longer says where it is, and ends


def main() -> None:
    listener = socket.socket(fileno=int(sys.argv[1]))
    for name in LATER:
        importlib.import_module(name)
    for package in (catwise, stages):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    serving: set[int] = set()
    while listener in select.select([listener, sys.stdin], [], [])[0]:  # else stdin was closed
        connection, _ = listener.accept()
        child = os.fork()
        if child == 0:
            serve(connection)
            os._exit(0)
        connection.close()
        serving.add(child)
        serving -= {child for child in serving if os.waitpid(child, os.WNOHANG) != (0, 0)}


def serve(connection: socket.socket) -> None:
    """Run what is asked for in a process of its own, and answer with its exit status."""
    content, streams, _, _ = socket.recv_fds(connection, 2**20, 3)
    while part := connection.recv(2**20):
        content += part
    child = os.fork()
    if child == 0:
        connection.close()
        os._exit(run(streams=streams, **json.loads(content)))
    _, status = os.waitpid(child, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def run(
    module: str, arguments: list[str], folder: str, environment: dict[str, str], streams: list[int]
) -> int:
    """Run the module in this process; return the exit status that an interpreter would have."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    os.environ.update(environment)
    search = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [folder, *filter(None, search)]
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)
    try:
        os.chdir(folder)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return 0
    except SystemExit as ended:
        return _exit_status(ended.code)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _exit_status(code: Any) -> int:
    """Return the status that ``sys.exit(code)`` gives; a text is printed, and means failure."""
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    main()
