"""Run a command: ``catwise COMMAND``, or ``python -m catwise COMMAND`` without an installation."""

import argparse
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import NoReturn

import catwise

PIPELINE = "pip install '.[pipeline]' in the folder of catwise"
REPOSITORY = "pip install -r requirements.txt"  # for what runs in the repository alone
MODULES = {"diagnose": "diagnose_files", "doctor": "doctor", "measure": "measure"}


def arguments() -> dict[str, str]:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="catwise", description=(catwise.__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--version", action="version", version=f"catwise {catwise.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    text = "train a small classifier on your own data and ask whether it is at its ceiling"
    diagnose = commands.add_parser("diagnose", help=text, description=text)
    text = "a folder with one folder of images per class, or a csv with the columns text and label"
    diagnose.add_argument("path", metavar="DATA", help=text)
    text = "name of the results, letters, digits and _ (default: mine)"
    diagnose.add_argument("--name", default="mine", help=text)
    diagnose.add_argument("--out", help="folder of the results (default: catwise_NAME)")
    text = "train anew with other weights, as long as it gets better: 20 to 140 trainings"
    diagnose.add_argument("--improve", action="store_true", help=text)
    text = "points of accuracy that a class may lose for the others (with --improve; default: 0)"
    diagnose.add_argument("--allowed-loss", metavar="POINTS", type=float, default=0.0, help=text)
    text = "random halves on which to train, to check the verdict (with --improve; default: 8)"
    diagnose.add_argument("--halves", metavar="N", type=int, default=8, help=text)

    text = "look for what would stop the pipeline on this machine, and say what to do about it"
    commands.add_parser("doctor", help=text, description=f"{text}; in the repository")

    text = (
        "run all stages of one data set without DVC and keep the results in reports/measured, where"
        " git carries them"
    )
    measure = commands.add_parser(
        "measure", help=text, description=f"{text}; in the repository, minutes to hours"
    )
    measure.add_argument("dataset", metavar="DATASET", help="a name under datasets in params.yaml")
    text = "begin with this stage (default: the first that is not measured with these parameters)"
    measure.add_argument("--start", metavar="STAGE", help=text)
    measure.add_argument("--stop", metavar="STAGE", help="the last stage")
    text = "keep the results of the finished stages although later ones are missing (needs ceiling)"
    measure.add_argument("--carry", action="store_true", help=text)
    text = "list the trainings to do and done, and estimate the hours left; run no stage"
    measure.add_argument("--plan", action="store_true", help=text)
    return vars(parser.parse_args())


def main() -> NoReturn:
    """Run the command; bad input, a missing package or a finding of the doctor is exit code 2."""
    options = arguments()
    command = options.pop("command")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup has SIGHUP ignored
            signal.signal(number, _end)
    if command != "diagnose":
        _enter_repository()
    try:
        from catwise.core.allocation import keep_freed_memory
        from catwise.pipeline.stage import ending

        keep_freed_memory()
        with ending():
            findings = import_module(f"catwise.commands.{MODULES[command]}").main(**options)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "catwise":
            raise
        remedy = PIPELINE if command == "diagnose" else REPOSITORY
        _refuse(f"{error.name}: expected this package; got none; {remedy}")
    raise SystemExit(2 if findings else 0)


def _enter_repository() -> None:
    """Refuse a working folder that is no repository; run the code there, not an installed copy."""
    if not Path("dvc.yaml").is_file():
        _refuse("dvc.yaml: expected the repository of catwise as working folder; got none here")
    here = Path("catwise", "__main__.py")
    if here.is_file() and not here.samefile(__file__):
        os.execv(sys.executable, [sys.executable, "-m", "catwise", *sys.argv[1:]])


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _refuse(line: str) -> NoReturn:
    print(f"error: {line}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
