"""Run experiments at once that share a tracking database, and find where its UI can be reached."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from benchmarks.faults.kills import finished_runs
from benchmarks.faults.workspace import ROOT, Workspace, environment

__all__ = ["failures", "is_loopback", "listening", "ui_addresses"]

PATIENCE = 900.0  # seconds for a queue to be worked off
LISTENING = "0A"  # the state of a socket in /proc/net/tcp


def failures(space: Workspace, dataset: str, count: int) -> Iterator[str | None]:
    """Give what was wrong with each of ``count`` experiments that start without a database.

    Right is one complete run for each experiment, and a sound database.
    """
    for path in space.folder.glob("mlflow.db*"):
        path.unlink()
    space.commit()
    failed = _run_queue(space, dataset, count)
    runs = finished_runs(space)
    contents = _contents_of_runs(space)
    for number in range(count):
        if number >= len(set(runs)):
            different = f"{len(set(runs))} different runs for {count} experiments"
            yield f"{different}; {failed} experiments did not succeed"
        elif len(runs) != count:
            yield f"{len(runs)} runs for {count} experiments"
        elif contents[number] != contents[0] or min(contents[0]) == 0:
            yield f"not complete: {contents[number]}"
        else:
            yield None


def _run_queue(space: Workspace, dataset: str, count: int) -> int:
    """Run ``count`` experiments at once; return how many of them did not succeed."""
    for seed in range(1, count + 1):
        change = f"datasets.{dataset}.ceiling.seed={seed}"
        space("dvc", "exp", "run", "--queue", "-S", change, f"track@{dataset}")
    space("dvc", "queue", "start", "-j", str(count))
    end = time.monotonic() + PATIENCE
    status = space("dvc", "queue", "status")
    while re.search("Queued|Running", status) and time.monotonic() < end:
        time.sleep(2)
        status = space("dvc", "queue", "status")
    space("dvc", "queue", "stop")
    return len(re.findall("Failed|Queued|Running", re.sub("Worker status.*", "", status)))


def _contents_of_runs(space: Workspace) -> list[tuple[int, int, int]]:
    """Return how many parameters, latest metrics and artifacts each finished run has."""
    select = "select run_uuid, artifact_uri from runs where status = 'FINISHED'"
    contents = []
    with closing(sqlite3.connect(space.folder / "mlflow.db")) as database:

        def count(table: str, run: str) -> int:
            query = f"select count(*) from {table} where run_uuid = ?"
            return int(database.execute(query, (run,)).fetchone()[0])

        for run, artifacts in database.execute(select).fetchall():
            paths = Path(artifacts.removeprefix("file://")).rglob("*")
            logged = sum(path.is_file() for path in paths)
            contents.append((count("params", run), count("latest_metrics", run), logged))
    return contents


def ui_addresses(folder: Path, within: float = 180.0) -> list[str]:
    """Return where the command of ``make ui`` listens, once it does; raise RuntimeError if late.

    It gets another port, as 5000 may be in use.
    """
    listed = subprocess.run(
        ["make", "-n", "-o", ".venv/.complete", "ui"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = listed.stdout.replace("--port 5000", f"--port {port}")
    if f"--port {port}" not in command:
        raise RuntimeError(f"make ui: expected --port 5000 in its command; got {listed.stdout}")
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(
        command,
        shell=True,
        cwd=folder,
        env=environment(),
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + within
        while not any(at.endswith(f":{port}") for at in listening(server.pid)):
            if time.monotonic() > end:
                raise RuntimeError(f"make ui: not listening within {within:.0f} s")
            time.sleep(0.5)
        time.sleep(2)  # for what may be opened after it
        return sorted(set(listening(server.pid)))
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            server.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)


def listening(session: int) -> list[str]:
    """Return ADDRESS:PORT of every socket at which the processes of a session listen."""
    inodes = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            if os.getsid(int(process.name)) == session:
                for link in list((process / "fd").iterdir()):
                    with suppress(OSError):  # closed in between
                        inodes |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(link)))
    addresses = []
    for table in ("tcp", "tcp6"):
        for row in Path("/proc/net", table).read_text().splitlines()[1:]:
            cells = row.split()
            if cells[3] == LISTENING and cells[9] in inodes:
                addresses.append(_readable(*cells[1].split(":")))
    return addresses


def _readable(address: str, port: str) -> str:
    """Return an address in the usual notation; the system gives hexadecimal little-endian words."""
    words = [address[start : start + 8] for start in range(0, len(address), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    packed = b"".join(bytes.fromhex(word)[::-1] for word in words)
    return f"{socket.inet_ntop(family, packed)}:{int(port, 16)}"


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach the address."""
    return address.startswith(("127.", "::1:", "::ffff:127."))
