"""Measure a data set once for everybody: run its stages, and carry what the report needs of it.

    catwise measure cifar10                    every stage not yet measured, then reports/measured
    catwise measure cifar10 --start removal    that stage and all later ones, on earlier results
    catwise measure cifar10 --carry            publish although later stages are missing (--stop)
    catwise measure cifar10 --plan             the pieces, what is done, the hours that are left

This needs neither DVC nor MLflow. All happens in scratch/measure/DATASET, on a copy of params.yaml:
an edit during the hours that this may take changes nothing, and no output of the pipeline is
touched.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from catwise.commands.measure_plan import show
from catwise.commands.publish import publish
from catwise.core.errors import InputError
from catwise.pipeline.files import folder, read_json, write_json
from catwise.pipeline.provenance import ROOT, code, machine
from catwise.pipeline.stage import settings

__all__ = ["main", "stage_names"]

SHOWN = ("figures", "track")  # stages that show results and make none


def main(
    dataset: str,
    start: str | None = None,
    stop: str | None = None,
    carry: bool = False,
    plan: bool = False,
) -> None:
    """Run the stages from ``start`` to ``stop``; publish the results once all are measured.

    By default it starts with the first stage that is not measured with these parameters. With
    ``carry`` those of the stages that are finished are published too, from ``ceiling`` on.
    With ``plan`` say what there is to do, and do nothing.
    """
    parameters, stages = settings(dataset), stage_names()
    top = Path(os.environ.get("DVC_ROOT") or ".").resolve()
    work = top / "scratch" / "measure" / dataset
    path = work.with_suffix(".json")
    if plan:
        show(dataset, parameters, work, read_log(path)["finished"])
        return
    last = _position("--stop", stop or stages[-1])
    first = _position("--start", start) if start else first_missing(path, parameters.model_dump())
    if start and first > last:
        raise InputError(f"--stop: expected {stages[first]} or a later stage; got {stop!r}")
    log = start_log(path, parameters.model_dump(), stages, first)
    if first == 0:
        shutil.rmtree(work, ignore_errors=True)
    copy_parameters(dataset, folder(str(work)))
    if first > last:
        print(f"measure {dataset}: all is measured up to {stages[last]}", flush=True)
    for stage in stages[first : last + 1]:
        surroundings, begin = machine(parameters.device) | code(), time.perf_counter()
        exit_code = None
        try:
            exit_code = _run([sys.executable, "-m", f"stages.{stage}", dataset], work, top)
        finally:
            seconds = time.perf_counter() - begin
            add_time(log, surroundings, stage, seconds)
            if exit_code == 0:
                log["finished"].append(stage)
            write_json(path, log)
        if exit_code != 0:
            raise SystemExit(exit_code if exit_code > 0 else 128 - exit_code)
        print(f"measure {dataset}: {stage}, {seconds:.0f} s", flush=True)
    if log["finished"] == stages or (carry and "ceiling" in log["finished"]):
        publish(dataset, work, log, log["finished"])


def stage_names() -> list[str]:
    """Return the stages of a data set before its results are shown, in the order of dvc.yaml."""
    pipeline = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]
    return [name for name, stage in pipeline.items() if "matrix" in stage and name not in SHOWN]


def first_missing(path: Path, parameters: dict[str, Any]) -> int:
    """Return the number of the first stage that the log at ``path`` has not with these parameters.

    It is the number of stages where there is none.
    """
    log = read_log(path)
    stages, earlier = stage_names(), log["parameters"]
    differences = {name for name, value in parameters.items() if earlier.get(name) != value}
    if differences - {*stages, *SHOWN}:
        return 0
    missing = [stage in differences or stage not in log["finished"] for stage in stages]
    return [*missing, True].index(True)


def read_log(path: Path) -> dict[str, Any]:
    """Return what is measured so far, with which parameters, when and where."""
    if not path.exists():
        return {"parameters": {}, "finished": [], "runs": []}
    try:
        log: dict[str, Any] = read_json(path)
    except InputError:
        raise InputError(
            f"{path}: expected JSON; got a damaged file; remove it, to measure anew"
        ) from None
    return log


def start_log(
    path: Path, parameters: dict[str, Any], stages: list[str], first: int
) -> dict[str, Any]:
    """Return the log up to stage ``first``, which is read from ``path`` if it is not the first.

    Time spent on an attempt at that stage that did not finish stays. Raises InputError if an
    earlier stage is not measured, or was measured with other parameters.
    """
    log: dict[str, Any] = {"parameters": parameters, "finished": [], "runs": []}
    if first == 0:
        return log
    old = read_log(path)
    before, again = stages[:first], {*stages[first:], *SHOWN}
    missing = [stage for stage in before if stage not in old["finished"]]
    if missing:
        raise InputError(
            f"--start: expected {missing[0]}, which is not measured yet; got {stages[first]!r}"
        )
    for section, value in parameters.items():
        if section not in again and old["parameters"].get(section) != value:
            raise InputError(
                f"{section}: expected the parameters that {before[-1]} was measured with;"
                " got others"
            )
    kept = {*before}
    if first < len(stages) and stages[first] not in old["finished"]:
        kept.add(stages[first])
    for run in old["runs"]:
        run["seconds"] = {stage: spent for stage, spent in run["seconds"].items() if stage in kept}
    return log | {"finished": before, "runs": [run for run in old["runs"] if run["seconds"]]}


def copy_parameters(dataset: str, work: Path) -> None:
    """Copy params.yaml as it is now, unless it names own files by an absolute path."""
    path = getattr(settings(dataset).prepare, "path", "")
    if Path(path).is_absolute():
        raise InputError(
            f"datasets.{dataset}.prepare.path: expected a relative path, because it is"
            f" published; got {path!r}"
        )
    shutil.copyfile("params.yaml", work / "params.yaml")


def add_time(log: dict[str, Any], surroundings: dict[str, Any], stage: str, seconds: float) -> None:
    """Add the time of a stage to the last run; a new run begins on another machine or code."""
    runs = log["runs"]
    if not runs or {key: runs[-1].get(key) for key in surroundings} != surroundings:
        runs.append({"date": f"{datetime.now(UTC):%Y-%m-%d}", **surroundings, "seconds": {}})
    spent = runs[-1]["seconds"]
    spent[stage] = round(spent.get(stage, 0) + seconds, 2)


def _position(option: str, stage: str) -> int:
    """Return the number of a stage that the command line names."""
    stages = stage_names()
    if stage not in stages:
        raise InputError(f"{option}: expected one of {', '.join(stages)}; got {stage!r}")
    return stages.index(stage)


def _run(command: list[str], work: Path, top: Path) -> int:
    """Run a stage in ``work``; its whole group of processes ends when this process is ended."""
    child = subprocess.Popen(command, cwd=work, env=_environment(top), start_new_session=True)
    try:
        return child.wait()
    except BaseException:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=5)
        raise


def _environment(top: Path) -> dict[str, str]:
    """Return the environment of a stage that runs elsewhere, with all paths absolute."""
    paths = {"CATWISE_CACHE": os.environ.get("CATWISE_CACHE") or "data/.downloads"}
    if os.environ.get("CATWISE_MIRROR"):
        paths["CATWISE_MIRROR"] = os.environ["CATWISE_MIRROR"]
    absolute = {name: str(Path(path).resolve()) for name, path in paths.items()}
    search = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    python_path = os.pathsep.join(entry for entry in search if entry)
    return {**os.environ, **absolute, "PYTHONPATH": python_path, "DVC_ROOT": str(top)}
