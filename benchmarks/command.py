"""Read the command line of a benchmark, and write what it measured."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["add_out", "by_dataset", "parser", "read", "write"]


def parser(doc: str | None, out: str | Path = "") -> argparse.ArgumentParser:
    """Return a parser that shows the docstring of a benchmark, and takes ``out`` where it is given.

    Where another argument stands before it, ``add_out`` follows that.
    """
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if out:
        add_out(made, out)
    return made


def add_out(to: argparse.ArgumentParser, out: str | Path) -> None:
    """Add the argument of the file that is written, by default ``out`` in reports/benchmarks.

    An absolute path stands for itself.
    """
    to.add_argument("out", nargs="?", type=Path, default=Path("reports", "benchmarks", out))


def by_dataset(
    doc: str | None, out: str, measure: Callable[..., Any], **options: dict[str, Any]
) -> None:
    """Measure the data sets of the command line; write a part for each, and keep the others.

    ``options`` are the settings of further arguments by their names, which ``measure`` takes.
    """
    command = parser(doc)
    command.add_argument("datasets", nargs="+")
    command.add_argument("--out", type=Path, default=Path("reports", "benchmarks", out))
    for name, settings in options.items():
        command.add_argument(f"--{name}", **settings)
    arguments = command.parse_args()
    parts = read(arguments.out)
    for dataset in arguments.datasets:
        parts[dataset] = measure(dataset, **{name: getattr(arguments, name) for name in options})
        write(arguments.out, parts)


def read(path: Path) -> dict[str, Any]:
    """Read what was measured so far; nothing where there is no such file."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def write(path: Path, result: dict[str, Any]) -> None:
    """Write what was measured, with the folder where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
