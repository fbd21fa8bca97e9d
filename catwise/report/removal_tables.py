"""What the page tells in tables and half sentences: removal, its diagonal, machines and times."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["diagonal", "duration", "measured_on", "removals", "revision", "times"]

AGREES = "as the paper says"  # a reading of ``catwise.removal.effects.diagonal``
CLAIM = {
    "beneficial": -1,
    "detrimental": 1,
}  # sign of the paper's change of a class's accuracy without these samples


def removals(metrics: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Does influence rank what removal does? Spearman's rho by data set and group; the paper says above 0.8.

    ``metrics``: those of the removal stage by data set; the trimming of the synthetic sets has none of these. Of one
    training with its interval over the seeds, of the mean over the seeds, and of counting labels instead.
    """
    measures, groups = ("accuracy", "loss"), ("beneficial", "detrimental", "random")
    heading = [
        f"{measure}: {what}"
        for measure in measures
        for what in ("one training", "mean", "labels counted")
    ]
    rows = [["data set", "removed", *heading]]
    for dataset, found in metrics.items():
        for group in groups if "spearman_accuracy_random" in found else ():
            cells = []
            for name in (f"{measure}_{group}" for measure in measures):
                rho, low, high = (
                    _rho(found[f"spearman_{name}{end}"]) for end in ("", "_low", "_high")
                )
                others = (_rho(found[f"{way}_{name}"]) for way in ("spearman_mean", "counted"))
                cells += [f"{rho} ({low} to {high})", *others]
            rows.append([dataset, group, *cells])
    return rows


def _rho(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def measured_on(about: dict[str, Any]) -> str:
    """Machine and date of each run, then the time of all: "a processor, 2 cores, 2025-01-31; 12 minutes"."""
    runs = [
        f"{run['gpu'] + ' and ' if run['gpu'] else ''}{run['processor']}, {run['cores']} cores, {run['date']}"
        for run in about["runs"]
    ]
    return f"{', then '.join(dict.fromkeys(runs))}; {duration(about['seconds'])}"


def revision(about: dict[str, Any]) -> str:
    """The commit and whether the code was as committed, or where there was no git the hash of the code."""
    words = [
        f"commit {run['commit'][:7]}{'' if run['clean'] else ' with changes'}"
        if run["commit"]
        else f"code {run['code_sha256'][:12]} (no git there)"
        for run in about["runs"]
    ]
    return ", ".join(dict.fromkeys(words))


def duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} minutes"


def times(measured: Mapping[str, dict[str, Any]]) -> list[list[str]]:
    """A heading and a row per measured data set: the time of each stage and of all; empty without such a set."""
    found: dict[str, dict[str, float]] = {}
    for name, about in measured.items():
        for run in about["runs"]:
            spent = found.setdefault(name, {})
            for stage, seconds in run["seconds"].items():
                spent[stage] = spent.get(stage, 0) + seconds
    stages = list(dict.fromkeys(stage for spent in found.values() for stage in spent))
    heading = [["data set", *stages, "all"]] if found else []
    return heading + [
        [
            name,
            *(duration(spent[stage]) if stage in spent else "-" for stage in stages),
            duration(sum(spent.values())),
        ]
        for name, spent in found.items()
    ]


def diagonal(rows: Sequence[dict[str, str]]) -> tuple[list[list[str]], list[str]]:
    """How a class's own accuracy changes without the samples that most help or harm it: a table, and the verdicts.

    A row per class, in points with the 95 % interval. The paper: without beneficial samples it falls, without
    detrimental ones it rises. A class agrees significantly if its reading says so, in sign if its mean alone does. The
    second verdict is about the change less that of removing as many at random.
    """
    own = {(row["class"], row["group"]): row for row in rows if row["measure"] == "accuracy"}
    classes, groups = (list(dict.fromkeys(names)) for names in zip(*own, strict=True))
    table = [["class", *(f"without {group}" for group in groups)]]
    for name in classes:
        points = [
            [100 * float(own[name, group][key] or "nan") for key in ("mean", "low", "high")]
            for group in groups
        ]
        table.append([name, *("{:+.2f} ({:+.2f} to {:+.2f})".format(*cell) for cell in points)])
    verdicts = []
    for prefix in ("", "net_"):
        words = []
        for group, sign in CLAIM.items():
            members = [own[name, group] for name in classes]
            agree = sum(sign * float(row[f"{prefix}mean"] or "nan") > 0 for row in members)
            surely = sum(row[f"{prefix}reading"] == AGREES for row in members)
            words.append(
                f"{group} {surely} significantly, {agree - surely} in sign, {len(classes) - agree} not"
            )
        verdicts.append("; ".join(words))
    return table, verdicts
