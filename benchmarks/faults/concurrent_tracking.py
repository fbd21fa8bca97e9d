"""The tracking database under experiments that run at once, and the addresses at which its UI can be reached."""

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

PATIENCE = 900.0  # seconds for a queue to be worked off
LISTENING = "0A"  # the state of a socket in /proc/net/tcp


def queued(space: Workspace, dataset: str, count: int) -> Iterator[str | None]:
    """What was wrong with each of ``count`` experiments, run at once where there is no database yet."""
    for path in space.folder.glob("mlflow.db*"):
        path.unlink()
    space.commit()
    for seed in range(1, count + 1):
        space(
            "dvc",
            "exp",
            "run",
            "--queue",
            "-S",
            f"datasets.{dataset}.ceiling.seed={seed}",
            f"track@{dataset}",
        )
    space("dvc", "queue", "start", "-j", str(count))
    end = time.monotonic() + PATIENCE
    while (
        re.search("Queued|Running", said := space("dvc", "queue", "status"))
        and time.monotonic() < end
    ):
        time.sleep(2)
    space("dvc", "queue", "stop")
    failed = len(re.findall("Failed|Queued|Running", re.sub("Worker status.*", "", said)))
    runs = finished_runs(space)
    whole = complete(space)
    for number in range(count):
        if number >= len(set(runs)):
            yield f"{len(set(runs))} different runs for {count} experiments; {failed} experiments did not succeed"
        elif len(runs) != count:
            yield f"{len(runs)} runs for {count} experiments"
        else:
            yield (
                None
                if whole[number] == whole[0] and min(whole[0]) > 0
                else f"not complete: {whole[number]}"
            )


def complete(space: Workspace) -> list[tuple[int, int, int]]:
    """How many parameters, latest metrics and artifacts each finished run has."""
    found = []
    with closing(sqlite3.connect(space.folder / "mlflow.db")) as database:
        runs = database.execute(
            "select run_uuid, artifact_uri from runs where status = 'FINISHED'"
        ).fetchall()
        for run, artifacts in runs:
            numbers = [
                database.execute(
                    f"select count(*) from {table} where run_uuid = ?", (run,)
                ).fetchone()[0]
                for table in ("params", "latest_metrics")
            ]
            logged = [
                path
                for path in Path(artifacts.removeprefix("file://")).rglob("*")
                if path.is_file()
            ]
            found.append((numbers[0], numbers[1], len(logged)))
    return found


def addresses(folder: Path, within: float = 180.0) -> list[str]:
    """Where the command of ``make ui`` listens, once it does; at another port, as 5000 may be in use."""
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
    served = subprocess.Popen(
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
        while not any(place.endswith(f":{port}") for place in listening(served.pid)):
            if time.monotonic() > end:
                raise RuntimeError(f"make ui: not listening within {within:.0f} s")
            time.sleep(0.5)
        time.sleep(2)  # for what may be opened after it
        return sorted(set(listening(served.pid)))
    finally:
        os.killpg(served.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            served.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(served.pid, signal.SIGKILL)


def listening(group: int) -> list[str]:
    """address:port of every listening socket of the processes of a session."""
    inodes = set()
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            if os.getsid(int(place.name)) == group:
                for link in list((place / "fd").iterdir()):
                    with suppress(OSError):  # closed in between
                        inodes |= set(re.findall(r"socket:\[(\d+)\]", os.readlink(link)))
    found = []
    for table in ("tcp", "tcp6"):
        for row in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *rest = row.split()
            if state == LISTENING and rest[5] in inodes:
                found.append(_readable(*local.split(":")))
    return found


def _readable(address: str, port: str) -> str:
    words = [
        bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)
    ]  # little-endian
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return f"{socket.inet_ntop(family, b''.join(words))}:{int(port, 16)}"


def loopback(place: str) -> bool:
    return place.startswith(("127.", "::1:", "::ffff:127."))
