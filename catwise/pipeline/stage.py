"""Run a stage: one argument, checked parameters, and bad input in one line."""

import argparse
import inspect
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from catwise.config import params
from catwise.config.fields import Section
from catwise.config.schema import DataSet
from catwise.core.allocation import keep_freed_memory
from catwise.core.errors import InputError

__all__ = ["ending", "run", "section_errors", "settings", "with_precision"]


def run(main: Callable[..., None], description: str | None) -> None:
    """Call ``main`` with the data set of the command line, if it takes one."""
    parser = argparse.ArgumentParser(description=description)
    if inspect.signature(main).parameters:
        parser.add_argument("dataset", help="a name under `datasets` in params.yaml")
    keep_freed_memory()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that open files are closed
    with ending():
        arguments = vars(parser.parse_args())
        if "DVC_STAGE" not in os.environ or not arguments:
            main(**arguments)
            return
        before = settings(**arguments)
        main(**arguments)
        if settings(**arguments) != before:  # DVC files the result under what is there now
            raise InputError(
                f"params.yaml: expected datasets.{arguments['dataset']} to stay while a stage runs;"
                " got an edit; run `dvc repro` again"
            )


@contextmanager
def ending() -> Iterator[None]:
    """End the program with one line and exit code 2 at bad input or a full disk.

    Ctrl-C ends it with exit code 130.
    """
    try:
        yield
    except (InputError, OSError) as error:
        message = str(error)
        if isinstance(error, OSError) and error.strerror:
            message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        print("error:", " ".join(message.split()), file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def settings(dataset: str) -> DataSet:
    """Return the parameters of one data set.

    The sections that a stage reads of them are listed in dvc.yaml under its ``params``. A precision
    that is ``auto`` is replaced by what it means on the device, so that all who read it see one.
    """
    datasets = params.load().datasets
    if dataset not in datasets:
        raise InputError(f"data set: expected one of {', '.join(datasets)}; got {dataset!r}")
    return with_precision(dataset, datasets[dataset])


def with_precision(dataset: str, parameters: DataSet) -> DataSet:
    """Replace the precision of each section by what it means on the device of the data set."""
    sections = {name: getattr(parameters, name) for name in ("train", "curvature", "influence")}
    resolved = {}
    for name, section in sections.items():
        if getattr(section, "precision", None) not in ("auto", "bfloat16"):
            continue
        # a second to import, which only stages that compute have to spend
        from catwise.core.device import torch_device
        from catwise.core.precision import resolve_precision

        with section_errors(dataset, name, section):
            kind = resolve_precision(section.precision, torch_device(parameters.device).type)
        resolved[name] = section.model_copy(update={"precision": kind})
    return parameters.model_copy(update=resolved)


@contextmanager
def section_errors(dataset: str, name: str, parameters: Section) -> Iterator[None]:
    """Say which key of params.yaml to mend when the library rejects an argument.

    The library names its own arguments ("train: expected ..."). If that is a key of the section
    ``name``, whose content is ``parameters``, the error begins with the whole key instead
    ("datasets.digits.prepare.train: expected ...").
    """
    try:
        yield
    except InputError as error:
        argument = str(error).partition(":")[0]
        if argument not in type(parameters).model_fields:
            raise
        raise InputError(f"datasets.{dataset}.{name}.{error}") from None
