"""Make things go wrong as they do elsewhere, and count how often they are met as they should be.

    python -m benchmarks.faults.count                  an hour on two cores
    python -m benchmarks.faults.count --only kills     renew this part and keep the others
    python -m benchmarks.faults.count --quick /tmp/faults.json     fewer of each

The faults are mistakes in params.yaml, damaged files, pickles that run a command, a full disk,
experiments at once, and kills. All work is done on copies of the project in a temporary folder, at
a small size, but for the kills, which the default pipeline gets. A full disk needs root, and is
left out without. The result is written to reports/benchmarks/faults.json, if not told otherwise.
"""

import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import command
from benchmarks.faults.parts import DEFAULT, PARTS, Fault, Spaces
from benchmarks.faults.workspace import SMALL, Forks
from benchmarks.machine import machine
from catwise.pipeline.provenance import code

FULL = {
    "mistakes": 500,
    "apart": 10,  # stages of a part that run as processes of their own, not forked
    "flips": 2,  # random bits of each file
    "experiments": 4,
    "kills": 50,
    "longest": 45.0,  # seconds until a kill
    "each": 25,  # kills of one workspace
    "killed": DEFAULT,
}
QUICK = {
    "mistakes": 20,
    "apart": 1,
    "flips": 1,
    "experiments": 2,
    "kills": 2,
    "longest": 10.0,
    "each": 2,
    "killed": "a small pipeline",
}
PACKAGES = ("dvc", "mlflow", "pydantic", "ruamel.yaml", "safetensors", "hypothesis")


def main() -> None:
    parser = command.parser(__doc__, "faults.json")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--only", choices=PARTS, action="append", help="renew this part of OUT and keep the others"
    )
    parser.add_argument(
        "--datasets", nargs="+", default=SMALL["run.datasets"], help="through which DVC is sent"
    )
    arguments = parser.parse_args()
    sizes = (QUICK if arguments.quick else FULL) | {"datasets": arguments.datasets}
    result: dict[str, Any] = {"faults": []}
    if arguments.only:
        result |= command.read(arguments.out)
    with tempfile.TemporaryDirectory() as folder, Forks() as forks:
        spaces = Spaces(Path(folder), forks, sizes)
        for part in arguments.only or PARTS:
            faults = PARTS[part](spaces)
            result["faults"] = renewed(result["faults"], part, faults)
            result |= about(arguments.quick, sizes)
            command.write(arguments.out, result)
            for fault in faults:
                print(f"{fault['fault']}: {fault['passed']} of {fault['cases']}", flush=True)


def renewed(old: list[Fault], part: str, faults: list[Fault]) -> list[Fault]:
    """Return all faults in the order of the parts, with those of ``part`` replaced."""
    stamp = {"part": part, "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    kept = [fault for fault in old if fault["part"] != part]
    order = list(PARTS)
    return sorted(
        [*kept, *(fault | stamp for fault in faults)], key=lambda fault: order.index(fault["part"])
    )


def about(quick: bool, sizes: dict[str, Any]) -> dict[str, Any]:
    """Return what the counts depend on."""
    return {
        "machine": machine("cpu"),
        "versions": {name: version(name) for name in PACKAGES},
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "code": code(),
        "quick": quick,
        "sizes": {**sizes, "pipeline": SMALL},
    }


if __name__ == "__main__":
    main()
