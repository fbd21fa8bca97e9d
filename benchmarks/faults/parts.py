"""Count faults part by part: what goes wrong, what has to happen then, and how often it does."""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
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
from catwise.core.progress import progress

__all__ = ["PARTS", "Fault", "Spaces", "counted"]

DATASET = "digits"  # whose files are damaged: of the small ones the one with every kind of file
DEFAULT = "the default pipeline, without the results carried in git,"
SHOWN = 5  # failures of each fault that are told
BY_HAND = (
    "the next stage run by hand: one line that names the file and exit code 2, or the same results."
)
Fault = dict[str, Any]


def counted(
    fault: str, what: str, outcomes: Iterable[str | None], interval: bool = True, **more: Any
) -> Fault:
    """Return the record of a fault; an outcome is None, or in words what was wrong.

    The interval of the share that passed is that of Clopper and Pearson, 95 %.
    """
    outcomes = list(outcomes)
    failures = [outcome for outcome in outcomes if outcome]
    passed = len(outcomes) - len(failures)
    record: Fault = {"fault": fault, "what": what, "cases": len(outcomes), "passed": passed}
    if interval:
        ends = binomtest(passed, len(outcomes)).proportion_ci()
        record["interval"] = {"low": float(ends.low), "high": float(ends.high)}
    return record | {"failures": failures[:SHOWN], **more}


class Spaces:
    """Hold the workspaces of a count, which are made when they are first needed."""

    def __init__(self, folder: Path, forks: Forks, sizes: dict[str, Any]) -> None:
        self.folder, self.forks, self.sizes = folder, forks, sizes

    @cached_property
    def by_hand(self) -> Workspace:
        """A workspace in which each stage of the data set has run by hand."""
        space = Workspace(self.folder / "by_hand", SMALL)
        for stage in pipeline(DATASET):
            ended = self.forks(space.folder, f"stages.{stage}", DATASET)
            if ended.code:
                raise SystemExit(f"{stage}: {ended.said}")
        return space

    @cached_property
    def by_dvc(self) -> Workspace:
        """A workspace in which DVC has run the whole pipeline."""
        space = self._small("by_dvc")
        space.repro()
        return space

    def to_kill(self) -> Iterator[Workspace]:
        """Give ever more workspaces in which nothing has run."""
        for number in itertools.count():
            name = f"kills-{number}"
            whole = self.sizes["killed"] == DEFAULT
            yield Workspace(self.folder / name, {}, workers=0) if whole else self._small(name)

    def _small(self, name: str) -> Workspace:
        return Workspace(self.folder / name, SMALL | {"run.datasets": self.sizes["datasets"]})


def count_parameters(spaces: Spaces) -> list[Fault]:
    """Run stages with mistakes in params.yaml."""
    count, apart = spaces.sizes["mistakes"], spaces.sizes["apart"]
    outcomes = list(
        progress(bad_parameters.failures(spaces.forks, count, apart), "mistakes", count)
    )
    return [
        counted(
            "invalid parameters",
            "A stage was run with a generated mistake in params.yaml (its first five data sets): "
            "one line on stderr with the key or line, exit code 2, nothing written; "
            f"{apart} as processes of their own, the others forked.",
            (outcome for _, outcome in outcomes),
            kinds=dict(Counter(kind for kind, _ in outcomes)),
        )
    ]


def count_files(spaces: Spaces) -> list[Fault]:
    """Run stages by hand on damaged files."""
    sizes = spaces.sizes
    outcomes = list(
        damaged_files.by_hand(spaces.forks, spaces.by_hand, DATASET, sizes["flips"], sizes["apart"])
    )

    def flips(format: str) -> list[str | None]:
        return [outcome for damage, f, outcome in outcomes if damage == "flipped" and f == format]

    return [
        counted(
            "truncated or empty file, stage alone",
            f"Each file that a stage reads of another was cut in half, or emptied, and {BY_HAND}",
            (outcome for damage, _, outcome in outcomes if damage != "flipped"),
        ),
        counted(
            "bit flip in arrays, stage alone",
            f"One random bit of each npz or safetensors file was flipped, and {BY_HAND}",
            flips("arrays"),
        ),
        counted(
            "bit flip in text, stage alone",
            "The same in json and csv, which hold no checksum: by hand not all can be seen; and "
            f"{BY_HAND}",
            flips("text"),
        ),
    ]


def count_dvc(spaces: Spaces) -> list[Fault]:
    """Have DVC look at damaged files, and restore them."""
    return [
        counted(
            "damaged file, DVC",
            "Each of these files truncated, emptied, or with a bit flipped: `dvc status` names its "
            "output, and `dvc repro` brings back its bytes.",
            damaged_files.by_dvc(spaces.by_dvc, spaces.sizes["datasets"][-1]),
        )
    ]


def count_pickles(spaces: Spaces) -> list[Fault]:
    """Put pickles wherever a file is read."""
    if not pickles.dangerous():
        raise SystemExit("pickles: expected each to run its command where it is read; one did not")
    where = (spaces.forks, spaces.by_hand, DATASET)
    return [
        counted(
            "malicious pickle",
            "Each file that a stage reads, the user's own data, a mirror's, pretrained weights and "
            "the tracking database were replaced by a pickle that runs a command (bare, as torch "
            "weights, as arrays of objects): never executed, one line that names the file.",
            [*pickles.in_files_of_stages(*where), *pickles.in_files_of_users(*where)],
        )
    ]


def count_disk(spaces: Spaces) -> list[Fault]:
    """Run stages on a full disk, where this process may make one."""
    if os.geteuid():
        return []
    outcomes = full_disk.failures(spaces.forks, spaces.by_hand, DATASET, spaces.folder)
    return [
        counted(
            "disk full",
            "Each stage ran on a file system with no room, and with half the room of its outputs: "
            "one line that names a file, nothing half-written, and with room again the same bytes.",
            (outcome for _, outcome in outcomes),
        )
    ]


def count_queue(spaces: Spaces) -> list[Fault]:
    """Run queued experiments at once."""
    dataset, count = spaces.sizes["datasets"][0], spaces.sizes["experiments"]
    return [
        counted(
            "experiments at once",
            "Queued experiments ran at once where there was no tracking database yet: each is one "
            "complete run, and the database is sound.",
            concurrent_tracking.failures(spaces.by_dvc, dataset, count),
            interval=False,
        )
    ]


def count_ui(spaces: Spaces) -> list[Fault]:
    """Look where the UI of the tracking database listens."""
    addresses = concurrent_tracking.ui_addresses(spaces.by_hand.folder)
    return [
        counted(
            "MLflow UI",
            "The command of `make ui` ran: each socket that it listens at is one of the loopback.",
            (None if concurrent_tracking.is_loopback(at) else at for at in addresses),
            interval=False,
        )
    ]


def count_kills(spaces: Spaces) -> list[Fault]:
    """Kill pipelines, and compare them with one that nothing disturbed."""
    sizes, fresh = spaces.sizes, spaces.to_kill()
    undisturbed = next(fresh)
    undisturbed.repro()
    runs = kills.finished_runs(undisturbed)
    done, ends = kills.kills(
        hashes(undisturbed.folder), fresh, sizes["kills"], sizes["longest"], sizes["each"]
    )
    faults = []
    for signal in (number.name for number in kills.SIGNALS):
        here = [kill for kill in done if kill.signal == signal]
        what = (
            f"`dvc repro` of {sizes['killed']} got {signal} after U(0, {sizes['longest']:g}) "
            f"seconds, and was started again: it runs, and {kills.GONE:g} s after the kill no "
            "process of it is left."
        )
        stages = dict(Counter(kill.stage for kill in here))
        slowest = max((kill.gone for kill in here), default=None)
        failures = [kill.failure() for kill in here]
        faults.append(counted(signal, what, failures, stages=stages, slowest_end=slowest))
    what = (
        "After its kills each of these workspaces finished: dvc.lock, all outputs and the tracked "
        "runs are those of an undisturbed run."
    )
    outcomes = [_difference(end, runs) for end in ends]
    return [*faults, counted("results after kills", what, outcomes, interval=False)]


def _difference(end: kills.End, runs: list[tuple[str, str]]) -> str | None:
    if end.differ:
        return ", ".join(end.differ[:3])
    return None if end.runs == runs else f"other runs: {end.runs}"


PARTS: dict[str, Callable[[Spaces], list[Fault]]] = {
    "parameters": count_parameters,
    "files": count_files,
    "pickles": count_pickles,
    "disk": count_disk,
    "ui": count_ui,
    "kills": count_kills,
    "dvc": count_dvc,
    "queue": count_queue,
}
