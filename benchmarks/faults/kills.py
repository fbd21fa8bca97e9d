"""Kill a pipeline at random moments, start it again, and compare it with an undisturbed one."""

import random
import re
import signal
import sqlite3
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks.faults.workspace import Workspace, environment, hashes

__all__ = ["GONE", "MARK", "SIGNALS", "End", "Kill", "finished_runs", "kill", "kills", "marked"]

SIGNALS = (signal.SIGKILL, signal.SIGTERM)  # in turns
GONE = 10.0  # seconds after a kill within which every process of the pipeline has to be gone
MARK = "CATWISE_FAULTS_RUN"  # in the environment of all that a run starts
Result = TypeVar("Result")


class RefusedError(RuntimeError):
    """Say that ``dvc repro`` ended with an error of its own."""


@dataclass
class Kill:
    """Hold one kill, and what came of it."""

    signal: str
    seconds: float  # after the start
    stage: str  # that ran
    orphans: int  # processes of the run that were left after ``GONE`` seconds
    gone: float  # seconds until no process was left
    refused: str | None = None  # what the next ``dvc repro`` said instead of running

    def failure(self) -> str | None:
        """Return what was wrong with the kill, or with the start after it."""
        about = f"{self.stage}, {self.signal} after {self.seconds} s"
        if self.refused:
            said = " ".join(self.refused.split())[-160:]
            return f"{about}: the next dvc repro refused: {said}"
        return f"{about}: {self.orphans} processes left" if self.orphans else None


@dataclass
class End:
    """Hold how a workspace differs from the undisturbed one in the end, and its tracked runs."""

    differ: list[str]
    runs: list[tuple[str, str]]


def kills(
    reference: dict[str, str],
    spaces: Iterator[Workspace],
    count: int,
    longest: float,
    each: int,
    seed: int = 0,
) -> tuple[list[Kill], list[End]]:
    """Return every kill, and the end of every workspace.

    A run is killed after U(0, ``longest``) seconds. A workspace is left to finish after ``each``
    kills, or when it has finished before the moment came. Then the sha256 of its outputs and of
    dvc.lock is compared with the ``reference``.
    """
    rng = random.Random(seed)
    done: list[Kill] = []
    ends: list[End] = []
    while len(done) < count:
        here, end = _kills_in_one(
            next(spaces), reference, rng, len(done), min(each, count - len(done)), longest
        )
        done += here
        ends.append(end)
        print(end, flush=True)
    return done, ends


def _kills_in_one(
    space: Workspace,
    reference: dict[str, str],
    rng: random.Random,
    before: int,
    count: int,
    longest: float,
) -> tuple[list[Kill], End]:
    """Kill the pipeline of one workspace up to ``count`` times, and let it finish."""
    here: list[Kill] = []
    try:
        while len(here) < count:
            number, moment = SIGNALS[(before + len(here)) % 2], rng.uniform(0, longest)
            killed = _retry(partial(kill, space, number, moment), space, here)
            if killed is None:
                break
            here.append(killed)
            print(before + len(here), asdict(killed), flush=True)
        return here, _retry(partial(_finish, space, reference), space, here)
    except RefusedError as error:
        if not here:
            raise
        return here, End([f"never finished: {error}"], [])


def kill(space: Workspace, number: signal.Signals, moment: float) -> Kill | None:
    """Start the pipeline and send it a signal after ``moment`` seconds.

    Return None if the pipeline finished before; raise RefusedError if it ended with an error.
    """
    token, log = uuid.uuid4().hex, space.folder / ".log"
    env = environment(space.workers) | {MARK: token, "PYTHONUNBUFFERED": "1"}
    with log.open("w") as out:
        run = subprocess.Popen(
            ["dvc", "repro"],
            cwd=space.folder,
            env=env,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if run.wait(moment) == 0:
                return None
            raise RefusedError(log.read_text().strip()[-300:])
        except subprocess.TimeoutExpired:
            run.send_signal(number)
            run.wait()
    stages = re.findall(r"Running stage '(.*?)'", log.read_text())
    orphans, gone = _wait_until_gone(token)
    return Kill(
        signal=number.name,
        seconds=round(moment, 2),
        stage=stages[-1] if stages else "none yet",
        orphans=orphans,
        gone=gone,
    )


def _retry(start: Callable[[], Result], space: Workspace, here: list[Kill]) -> Result:
    """Return what ``start`` returns; try again once, after doing as ``make doctor`` says.

    A refusal is noted with the kill before it.
    """
    try:
        return start()
    except RefusedError as error:
        if not here:
            raise
        here[-1].refused = str(error)
        if "rwlock" not in str(error):
            raise
        (space.folder / ".dvc" / "tmp" / "rwlock").unlink()
        return start()


def _wait_until_gone(token: str) -> tuple[int, float]:
    """Return how many processes of a run are left when they ought to be gone, and the seconds."""
    begin = time.monotonic()
    while (alive := marked(token)) and time.monotonic() < begin + GONE:
        time.sleep(0.1)
    return len(alive), round(time.monotonic() - begin, 1)


def marked(token: str) -> list[int]:
    """Return the processes that have the token in their environment; a zombie has none."""
    numbers = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={token}".encode() in (process / "environ").read_bytes():
                numbers.append(int(process.name))
        except OSError:
            continue  # gone in between
    return numbers


def _finish(space: Workspace, reference: dict[str, str]) -> End:
    """Run the pipeline undisturbed, and compare."""
    try:
        space.repro()
    except RuntimeError as error:
        raise RefusedError(str(error)) from None
    now = hashes(space.folder)
    differ = sorted(name for name in {*now, *reference} if now.get(name) != reference.get(name))
    return End(differ, finished_runs(space))


def finished_runs(space: Workspace) -> list[tuple[str, str]]:
    """Return (experiment, key) of every finished run that is not deleted.

    Raise RuntimeError if the database is not sound.
    """
    query = """select experiments.name, tags.value from runs join experiments using (experiment_id)
               join tags using (run_uuid) where tags.key = 'dvc.key' and runs.status = 'FINISHED'
               and runs.lifecycle_stage = 'active'"""
    with closing(sqlite3.connect(space.folder / "mlflow.db")) as database:
        (state,) = database.execute("pragma integrity_check").fetchone()
        if state != "ok":
            raise RuntimeError(f"mlflow.db: {state}")
        return sorted(database.execute(query).fetchall())
