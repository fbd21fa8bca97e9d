"""Say where, when, by which code and in what time the carried results were measured."""

from collections.abc import Mapping
from typing import Any

__all__ = ["duration", "machines", "revision", "times"]

Provenance = Mapping[str, Any]  # provenance.json of a carried data set


def machines(provenance: Provenance) -> str:
    """Name machine and date of each run, then the time of all of them.

    A machine that computes in bfloat16 where it may is said to, if the run has noted it.

    >>> run = {"gpu": None, "processor": "a processor", "cores": 2, "date": "2025-01-31"}
    >>> machines({"runs": [run], "seconds": 720})
    'a processor, 2 cores, 2025-01-31; 12 minutes'
    """
    runs = []
    for run in provenance["runs"]:
        gpu = f"{run['gpu']} and " if run["gpu"] else ""
        rounded = " with bfloat16" if run.get("auto") == "bfloat16" else ""
        runs.append(f"{gpu}{run['processor']}{rounded}, {run['cores']} cores, {run['date']}")
    return f"{', then '.join(dict.fromkeys(runs))}; {duration(provenance['seconds'])}"


def revision(provenance: Provenance) -> str:
    """Name the commit and whether the code was as committed; without git, the hash of the code."""
    words = []
    for run in provenance["runs"]:
        if run["commit"]:
            words.append(f"commit {run['commit'][:7]}{'' if run['clean'] else ' with changes'}")
        else:
            words.append(f"code {run['code_sha256'][:12]} (no git there)")
    return ", ".join(dict.fromkeys(words))


def duration(seconds: float) -> str:
    """Write a time in seconds, or from 100 s on in minutes."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def times(provenances: Mapping[str, Provenance]) -> list[list[str]]:
    """Give a row for each data set: the time of each stage, summed over the runs, and of all."""
    spent: dict[str, dict[str, float]] = {}
    for dataset, provenance in provenances.items():
        stages = spent.setdefault(dataset, {})
        for run in provenance["runs"]:
            for stage, seconds in run["seconds"].items():
                stages[stage] = stages.get(stage, 0) + seconds
    names = list(dict.fromkeys(name for stages in spent.values() for name in stages))
    rows = [["data set", *names, "all"]]
    for dataset, stages in spent.items():
        cells = [duration(stages[name]) if name in stages else "-" for name in names]
        rows.append([dataset, *cells, duration(sum(stages.values()))])
    return rows
