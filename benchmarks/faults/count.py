"""What goes wrong elsewhere is made to go wrong here, and counted: is it met as it should be?

    python -m benchmarks.faults.count reports/benchmarks/faults.json                     everything, an hour on two cores
    python -m benchmarks.faults.count --only kills reports/benchmarks/faults.json        renew this part and keep the others
    python -m benchmarks.faults.count --quick /tmp/faults.json                fewer of each

Mistakes in params.yaml, damaged files, pickles that run a command, a full disk, experiments at once, kills. Works on
copies of the project in a folder for temporary files, at a small size, but for the kills, which the default pipeline
gets; the disks need root and are left out without.
"""

import argparse
import itertools
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from benchmarks.faults import (
    bad_parameters,
    concurrent_tracking,
    damaged_files,
    full_disk,
    kills,
    pickles,
)
from benchmarks.faults.workspace import SMALL, Forks, Workspace, hashes, pipeline
from benchmarks.speed.influence import machine
from catwise.core.progress import progress
from catwise.pipeline.provenance import code

DATASET = "digits"  # whose files are damaged: of the small ones the one with every kind of file
DEFAULT = "the default pipeline, without the results carried in git,"
SHOWN = 5  # failures of each fault that are told
FULL = {
    "mistakes": 500,
    "apart": 10,
    "flips": 2,
    "experiments": 4,
    "kills": 50,
    "longest": 45.0,
    "each": 25,
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
Fault = dict[str, Any]


def counted(
    fault: str, what: str, wrong: Iterable[str | None], interval: bool = True, **more: Any
) -> Fault:
    """``wrong``: for each case what was wrong, or None. The interval is that of Clopper and Pearson, 95 %."""
    said = list(wrong)
    failures = [line for line in said if line]
    passed = len(said) - len(failures)
    found: Fault = {"fault": fault, "what": what, "cases": len(said), "passed": passed}
    if interval:
        ends = binomtest(passed, len(said)).proportion_ci()
        found["interval"] = {"low": float(ends.low), "high": float(ends.high)}
    return found | {"failures": failures[:SHOWN], **more}


class Bench:
    """One method for each part."""

    def __init__(self, folder: Path, sizes: dict[str, Any]) -> None:
        self.folder, self.sizes = folder, sizes

    @cached_property
    def by_hand(self) -> Workspace:
        """In which each stage of the data set has run by hand, and nothing went wrong."""
        space = Workspace(self.folder / "by_hand", SMALL)
        with Forks() as forks:
            for stage in pipeline(DATASET):
                ended = forks(space.folder, f"stages.{stage}", DATASET)
                if ended.code:
                    raise SystemExit(f"{stage}: {ended.said}")
        return space

    @cached_property
    def by_dvc(self) -> Workspace:
        """In which DVC has run the whole pipeline, and nothing went wrong."""
        space = self._space("by_dvc")
        space.repro()
        return space

    def mistakes(self, forks: Forks) -> list[Fault]:
        count, apart = self.sizes["mistakes"], self.sizes["apart"]
        found = list(progress(bad_parameters.refused(forks, count, apart), "mistakes", count))
        return [
            counted(
                "invalid parameters",
                "A stage was run with a generated mistake in params.yaml (its first five data sets): one line on "
                "stderr with the key or line, exit code 2, nothing written; "
                f"{apart} as processes of their own, the others forked.",
                (wrong for _, wrong in found),
                kinds=dict(Counter(kind for kind, _ in found)),
            )
        ]

    def damage(self, forks: Forks) -> list[Fault]:
        alone = self.sizes["apart"]
        found = list(
            damaged_files.by_hand(forks, self.by_hand, DATASET, self.sizes["flips"], alone)
        )
        stage = "and the next stage run by hand: one line that names the file and exit code 2, or the same results."
        return [
            counted(
                "truncated or empty file, stage alone",
                f"Each file that a stage reads of another was cut in half, or emptied, {stage}",
                (wrong for kind, _, wrong in found if kind != "flipped"),
            ),
            counted(
                "bit flip in arrays, stage alone",
                f"One random bit of each npz or safetensors file was flipped, {stage}",
                (wrong for kind, form, wrong in found if kind == "flipped" and form == "arrays"),
            ),
            counted(
                "bit flip in text, stage alone",
                f"The same in json and csv, which hold no checksum: by hand not all can be seen; {stage}",
                (wrong for kind, form, wrong in found if kind == "flipped" and form == "text"),
            ),
        ]

    def dvc(self, forks: Forks) -> list[Fault]:
        return [
            counted(
                "damaged file, DVC",
                "Each of these files truncated, emptied, or with a bit flipped: `dvc status` names its output, "
                "and `dvc repro` brings back its bytes.",
                (
                    wrong
                    for _, _, wrong in damaged_files.by_dvc(self.by_dvc, self.sizes["datasets"][-1])
                ),
            ),
        ]

    def pickles(self, forks: Forks) -> list[Fault]:
        if not pickles.dangerous():
            raise SystemExit(
                "pickles: expected each form to run its command where pickles are read; one did not"
            )
        space = self.by_hand
        found = [
            *pickles.of_stages(forks, space, DATASET),
            *pickles.of_users(forks, space, DATASET),
        ]
        return [
            counted(
                "malicious pickle",
                "Each file that a stage reads, the user's own data, a mirror's, pretrained weights and the tracking "
                "database were replaced by a pickle that runs a command (bare, as torch weights, as arrays of "
                "objects): never executed, one line that names the file.",
                (wrong for _, wrong in found),
            )
        ]

    def shortage(self, forks: Forks) -> list[Fault]:
        if os.geteuid():
            return []
        found = full_disk.starved(forks, self.by_hand, DATASET, self.folder)
        return [
            counted(
                "disk full",
                "Each stage ran on a file system with no room, and with half the room of its outputs: one line that "
                "names a file, nothing half-written, and with room again the same bytes.",
                (wrong for _, wrong in found),
            )
        ]

    def queue(self, forks: Forks) -> list[Fault]:
        return [
            counted(
                "experiments at once",
                "Queued experiments ran at once where there was no tracking database yet: each is one complete run, "
                "and the database is sound.",
                concurrent_tracking.queued(
                    self.by_dvc, self.sizes["datasets"][0], self.sizes["experiments"]
                ),
                interval=False,
            )
        ]

    def ui(self, forks: Forks) -> list[Fault]:
        places = concurrent_tracking.addresses(self.by_hand.folder)
        return [
            counted(
                "MLflow UI",
                "The command of `make ui` ran: each socket that it listens at is one of the loopback.",
                (None if concurrent_tracking.loopback(place) else place for place in places),
                interval=False,
            )
        ]

    def kills(self, forks: Forks) -> list[Fault]:
        sizes = [self.sizes[name] for name in ("kills", "longest", "each")]
        undisturbed = self._killed("undisturbed")
        undisturbed.repro()
        runs = kills.finished_runs(undisturbed)
        done, compared = kills.kills(hashes(undisturbed.folder), self._spaces(), *sizes)
        found = [
            counted(
                number.name,
                f"`dvc repro` of {self.sizes['killed']} got {number.name} after U(0, {sizes[1]:g}) seconds, and was "
                f"started again: it runs, and {kills.GONE:g} s after the kill no process of it is left.",
                (kills.wrong(kill) for kill in done if kill["signal"] == number.name),
                stages=dict(
                    Counter(kill["stage"] for kill in done if kill["signal"] == number.name)
                ),
                slowest_end=max(
                    (kill["gone"] for kill in done if kill["signal"] == number.name), default=None
                ),
            )
            for number in kills.SIGNALS
        ]
        told = (
            ", ".join(end["differ"][:3])
            or (None if end["runs"] == runs else f"other runs: {end['runs']}")
            for end in compared
        )
        what = "After its kills each of these workspaces finished: dvc.lock, all outputs and the tracked runs are those "
        return [
            *found,
            counted("results after kills", f"{what}of an undisturbed run.", told, interval=False),
        ]

    def _spaces(self) -> Iterator[Workspace]:
        for number in itertools.count():
            yield self._killed(f"killed-{number}")

    def _killed(self, name: str) -> Workspace:
        return (
            Workspace(self.folder / name, {}, workers=0)
            if self.sizes["killed"] == DEFAULT
            else self._space(name)
        )

    def _space(self, name: str) -> Workspace:
        """For DVC, whose pipeline is that of the chosen data sets."""
        return Workspace(self.folder / name, SMALL | {"run.datasets": self.sizes["datasets"]})


PARTS = ("mistakes", "damage", "pickles", "shortage", "ui", "kills", "dvc", "queue")


def measured(
    parts: Iterable[str], sizes: dict[str, Any], keep: Callable[[str, list[Fault]], None]
) -> None:
    with tempfile.TemporaryDirectory() as place, Forks() as forks:
        bench = Bench(Path(place), sizes)
        for part in parts:
            keep(part, [fault | {"part": part} for fault in getattr(bench, part)(forks)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", nargs="?", type=Path, default=Path("reports/benchmarks/faults.json"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--only", choices=PARTS, action="append", help="renew this part of OUT and keep the others"
    )
    parser.add_argument(
        "--datasets", nargs="+", default=SMALL["run.datasets"], help="through which DVC is sent"
    )
    arguments = parser.parse_args()
    sizes = (QUICK if arguments.quick else FULL) | {"datasets": arguments.datasets}
    before = (
        json.loads(arguments.out.read_text())
        if arguments.only and arguments.out.exists()
        else {"faults": []}
    )
    old = before["faults"]

    def keep(part: str, faults: list[Fault]) -> None:
        nonlocal old
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        whole = [
            *(fault for fault in old if fault["part"] != part),
            *(fault | {"date": today} for fault in faults),
        ]
        old = sorted(whole, key=lambda fault: PARTS.index(fault["part"]))
        about = {
            "machine": machine("cpu"),
            "versions": {name: version(name) for name in PACKAGES},
            "date": today,
        }
        result = {
            **before,
            **about,
            "code": code(),
            "quick": arguments.quick,
            "sizes": {**sizes, "pipeline": SMALL},
            "faults": old,
        }
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")
        for fault in faults:
            print(f"{fault['fault']}: {fault['passed']} of {fault['cases']}", flush=True)

    measured(arguments.only or PARTS, sizes, keep)


if __name__ == "__main__":
    main()
