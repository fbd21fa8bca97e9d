"""Measure a data set once for everybody: run its stages one after the other, and carry what the report needs of it.

    catwise measure cifar10                    every stage, then reports/measured/cifar10
    catwise measure cifar10 --start removal    from there on, after the results of the stages before

Needs neither DVC nor MLflow. All happens in scratch/measure/DATASET, on a copy of params.yaml: an edit during the hours
that this may take changes nothing, and no output of the pipeline is touched.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ruamel.yaml import YAML

from catwise.commands.publish import publish
from catwise.core.errors import InputError
from catwise.pipeline.files import folder, read_json, write_json
from catwise.pipeline.provenance import ROOT, code, machine
from catwise.pipeline.stage import ending, settings

SHOWN = ("figures", "track")  # stages that show results and make none


def main(dataset: str, start: str | None, stop: str | None) -> None:
    section = settings(dataset)
    device, parameters = section.device, section.model_dump()
    stages = stage_names()
    first, last = (
        stages.index(name) if name else at for name, at in ((start, 0), (stop, len(stages) - 1))
    )
    if first > last:
        raise InputError(f"--stop: expected {stages[first]} or a later stage; got {stop!r}")
    top = Path(os.environ.get("DVC_ROOT") or ".").resolve()
    work = top / "scratch" / "measure" / dataset
    path = work.with_suffix(".json")
    log = begun(path, parameters, stages, first)
    if first == 0:
        shutil.rmtree(work, ignore_errors=True)
    snapshot(dataset, folder(str(work)))
    for stage in stages[first : last + 1]:
        here, begin = machine(device) | code(), time.perf_counter()
        command = [sys.executable, "-m", f"stages.{stage}", dataset]
        returned = None
        try:
            returned = call(command, work, surroundings(top))
        finally:
            note(log, here, stage, time.perf_counter() - begin)
            log["finished"] += [stage] if returned == 0 else []
            write_json(path, log)
        if returned != 0:
            raise SystemExit(returned if returned > 0 else 128 - returned)
        print(f"measure {dataset}: {stage}, {time.perf_counter() - begin:.0f} s", flush=True)
    if log["finished"] == stages:
        publish(dataset, work, log, stages)


def stage_names() -> list[str]:
    """The stages that a data set passes through before its results are shown, in the order of dvc.yaml."""
    pipeline = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]
    return [name for name, stage in pipeline.items() if "matrix" in stage and name not in SHOWN]


def begun(path: Path, parameters: dict[str, Any], stages: list[str], first: int) -> dict[str, Any]:
    """The log up to stage ``first``; time spent on an attempt at that stage that did not finish stays."""
    log: dict[str, Any] = {"parameters": parameters, "finished": [], "runs": []}
    if first == 0:
        return log
    old = read_json(path) if path.exists() else log
    before, again = stages[:first], {*stages[first:], *SHOWN}
    if missing := [stage for stage in before if stage not in old["finished"]]:
        raise InputError(
            f"--start: expected {missing[0]}, which is not measured yet; got {stages[first]!r}"
        )
    for section, value in parameters.items():
        if section not in again and old["parameters"].get(section) != value:
            raise InputError(
                f"{section}: expected the parameters that {before[-1]} was measured with; got others"
            )
    kept = {*before} if stages[first] in old["finished"] else {*before, stages[first]}
    for run in old["runs"]:
        run["seconds"] = {stage: spent for stage, spent in run["seconds"].items() if stage in kept}
    return log | {"finished": before, "runs": [run for run in old["runs"] if run["seconds"]]}


def snapshot(dataset: str, work: Path) -> None:
    """params.yaml as it is now, with the path of the user's own files as seen from ``work``."""
    yaml = YAML()
    tree = yaml.load(Path("params.yaml").read_text())
    prepare = tree["datasets"][dataset]["prepare"]
    if "path" in prepare:
        if Path(prepare["path"]).is_absolute():
            key = f"datasets.{dataset}.prepare.path"
            raise InputError(
                f"{key}: expected a relative path, for it is carried; got {prepare['path']!r}"
            )
        prepare["path"] = os.path.relpath(prepare["path"], work)
    yaml.dump(tree, work / "params.yaml")


def surroundings(top: Path) -> dict[str, str]:
    """The environment of a stage that runs elsewhere: what is relative to this folder made absolute."""
    paths = {"CATWISE_CACHE": "data/.downloads"} | {
        name: os.environ[name]
        for name in ("CATWISE_CACHE", "CATWISE_MIRROR")
        if os.environ.get(name)
    }
    search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    absolute = {name: str(Path(path).resolve()) for name, path in paths.items()}
    return {**os.environ, **absolute, "PYTHONPATH": search, "DVC_ROOT": str(top)}


def call(command: list[str], cwd: Path, env: dict[str, str]) -> int:
    """Runs the command as a group of processes, which ends when this process is told to end."""
    child = subprocess.Popen(command, cwd=cwd, env=env, start_new_session=True)
    try:
        return child.wait()
    except BaseException:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(child.pid, number)
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=5)
        raise


def note(log: dict[str, Any], here: dict[str, Any], stage: str, seconds: float) -> None:
    """Adds the time of a stage to the last run, or to a new one if the machine or the code is another."""
    runs = log["runs"]
    if not runs or {key: runs[-1][key] for key in here} != here:
        runs.append({"date": f"{datetime.now(UTC):%Y-%m-%d}", **here, "seconds": {}})
    spent = runs[-1]["seconds"]
    spent[stage] = round(spent.get(stage, 0) + seconds, 2)


def ended(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def arguments() -> dict[str, Any]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", help="a name under `datasets` in params.yaml")
    parser.add_argument(
        "--start",
        choices=stage_names(),
        help="the first stage to run; its predecessors are measured",
    )
    parser.add_argument(
        "--stop", choices=stage_names(), help="the last stage to run; results are carried after all"
    )
    return vars(parser.parse_args())


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup has it ignored
            signal.signal(number, ended)
    with ending():
        main(**arguments())
