"""A pipeline that is killed at random moments, started again each time, and compared with one that nobody disturbed."""

import random
import re
import signal
import sqlite3
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.faults.workspace import Workspace, environment, hashes

SIGNALS = (signal.SIGKILL, signal.SIGTERM)  # in turns
GONE = 10.0  # seconds after a kill within which every process of the pipeline has to be gone
MARK = "CATWISE_FAULTS_RUN"  # in the environment of all that a run starts


class RefusedError(RuntimeError):
    """``dvc repro`` ended with an error of its own."""


def kills(
    reference: dict[str, str],
    spaces: Iterator[Workspace],
    count: int,
    longest: float,
    each: int,
    seed: int = 0,
) -> Any:
    """(kills, workspaces): a record of every kill, and of every workspace after its last ``dvc repro``.

    A run is killed after U(0, ``longest``) seconds. A workspace is left to finish after ``each`` kills, or when it has
    finished before the moment came; then its outputs and dvc.lock are compared with the ``reference``.
    """
    rng = random.Random(seed)
    done: list[dict[str, Any]] = []
    compared: list[dict[str, Any]] = []
    while len(done) < count:
        space = next(spaces)
        here: list[dict[str, Any]] = []
        try:
            while len(here) < min(each, count - len(done)):
                kill = partial(
                    _killed, space, SIGNALS[(len(done) + len(here)) % 2], rng.uniform(0, longest)
                )
                found = _started(kill, space, here)
                if found is None:
                    break
                here.append(found)
                print(len(done) + len(here), found, flush=True)
            end = _started(partial(_finished, space, reference), space, here)
        except RefusedError as error:
            if not here:
                raise
            end = {"differ": [f"never finished: {error}"], "runs": []}
        done += here
        compared.append({"kills": len(here), **end})
        print(compared[-1], flush=True)
    return done, compared


def _killed(space: Workspace, number: signal.Signals, moment: float) -> dict[str, Any] | None:
    """None if the pipeline was finished before its moment came; RefusedError if it had ended with an error."""
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
    started = re.findall(r"Running stage '(.*?)'", log.read_text())
    about = {
        "signal": number.name,
        "seconds": round(moment, 2),
        "stage": started[-1] if started else "none yet",
    }
    return about | {"refused": None, **_left(token)}


def _started(start: Callable[[], Any], space: Workspace, here: list[dict[str, Any]]) -> Any:
    """What ``start`` returns. If it is refused, that is noted with the kill before it, and after doing as ``make
    doctor`` says it is tried once more."""
    try:
        return start()
    except RefusedError as error:
        if not here:
            raise
        here[-1]["refused"] = str(error)
        if "rwlock" not in str(error):
            raise
        (space.folder / ".dvc" / "tmp" / "rwlock").unlink()
        return start()


def _left(token: str) -> dict[str, float]:
    """How many processes of a run are still there when they ought to be gone, and when this was known."""
    begin = time.monotonic()
    while (alive := marked(token)) and time.monotonic() < begin + GONE:
        time.sleep(0.1)
    return {"orphans": len(alive), "gone": round(time.monotonic() - begin, 1)}


def marked(token: str) -> list[int]:
    """The processes with the token in their environment; a zombie has none."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={token}".encode() in (place / "environ").read_bytes():
                found.append(int(place.name))
        except OSError:
            continue  # gone in between
    return found


def _finished(space: Workspace, reference: dict[str, str]) -> dict[str, Any]:
    """What differs from the reference after an undisturbed ``dvc repro``, and the runs in the tracking database."""
    try:
        space.repro()
    except RuntimeError as error:
        raise RefusedError(str(error)) from None
    came = hashes(space.folder)
    differ = sorted(name for name in {*came, *reference} if came.get(name) != reference.get(name))
    return {"differ": differ, "runs": finished_runs(space)}


def finished_runs(space: Workspace) -> list[tuple[str, str]]:
    """(experiment, key) of every finished run that is not deleted; raises if the database is not sound."""
    query = """select experiments.name, tags.value from runs join experiments using (experiment_id)
               join tags using (run_uuid) where tags.key = 'dvc.key' and runs.status = 'FINISHED'
               and runs.lifecycle_stage = 'active'"""
    with closing(sqlite3.connect(space.folder / "mlflow.db")) as database:
        (sound,) = database.execute("pragma integrity_check").fetchone()
        if sound != "ok":
            raise RuntimeError(f"mlflow.db: {sound}")
        return sorted(database.execute(query).fetchall())


def wrong(kill: dict[str, Any]) -> str | None:
    """What was wrong with one kill, or with the start before it."""
    if kill["refused"]:
        said = " ".join(kill["refused"].split())[-160:]
        return f"{kill['stage']}, {kill['signal']} after {kill['seconds']} s: the next dvc repro refused: {said}"
    if kill["orphans"]:
        return f"{kill['stage']}, {kill['signal']} after {kill['seconds']} s: {kill['orphans']} processes left"
    return None
