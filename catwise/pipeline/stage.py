"""Run a stage: one argument, checked parameters, one line for bad input."""

import argparse
import inspect
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from catwise.config import params
from catwise.config.schema import DataSet
from catwise.core.errors import InputError

__all__ = ["ending", "run", "settings"]


def run(main: Callable[..., None], description: str | None) -> None:
    """Calls ``main`` with what it takes from the command line."""
    parser = argparse.ArgumentParser(description=description)
    if inspect.signature(main).parameters:
        parser.add_argument("dataset", help="a name under `datasets` in params.yaml")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what is open is closed
    with ending():
        main(**vars(parser.parse_args()))


@contextmanager
def ending() -> Iterator[None]:
    """Bad input or a full disk ends the program with one line and exit code 2, Ctrl-C with 130."""
    try:
        yield
    except (InputError, OSError) as error:
        place = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        print(
            "error:",
            *f"{place}{getattr(error, 'strerror', None) or error}".split(),
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def settings(dataset: str) -> DataSet:
    """Return the parameters of one data set.

    The sections that a stage reads of them are listed in dvc.yaml under its ``params``.
    """
    datasets = params.load().datasets
    if dataset not in datasets:
        raise InputError(f"data set: expected one of {', '.join(datasets)}; got {dataset!r}")
    return datasets[dataset]
