"""Ask the fork server to run `python -m MODULE ARGUMENTS` as this process would.

    python -IS fork_client.py ADDRESS -m stages.train linear

The folder, the environment and the streams are those of this process. It imports no more than it
needs, because a stage that DVC starts waits for it. A command without `-m` goes to the interpreter.
"""

import json
import os
import socket
import sys

__all__ = ["ask"]


def ask(
    address: str,
    module: str,
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    streams: tuple[int, int, int],
) -> int:
    """Return the exit status of ``module``; ``streams`` are its stdin, stdout and stderr."""
    request = {"module": module, "arguments": arguments, "folder": folder}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        content = json.dumps(request | {"environment": environment}).encode()
        socket.send_fds(connection, [content], streams)
        connection.shutdown(socket.SHUT_WR)
        return int(connection.recv(100))


def main() -> None:
    address, *command = sys.argv[1:]
    if command[:1] != ["-m"]:
        os.execv(sys.executable, [sys.executable, *command])
    _, module, *arguments = command
    sys.exit(ask(address, module, arguments, os.getcwd(), dict(os.environ), (0, 1, 2)) & 255)


if __name__ == "__main__":
    main()
