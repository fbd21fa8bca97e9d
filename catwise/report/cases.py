"""Show what acting on the verdict gained in every case that the stage ``improve`` has seen."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from catwise.claims.evidence import confirmed, no_class_falls, path_gains, repeats
from catwise.core.statistics import Estimate
from catwise.figures.case_gains import case_gains
from catwise.figures.labels import ANSWERS, PATH, improvement_label
from catwise.figures.style import Picture
from catwise.pipeline.results import Results

__all__ = ["case_picture", "case_rows", "improved"]

DECIDED = ("room", "ceiling")  # answers that new trainings can confirm
CONTROLS = ("plain", PATH, f"{PATH}_shuffled", "oracle")  # neither proposals nor baselines
HEADING = [
    *("case", "seeds", "verdict", "confirmed?", "taken", "mean class, points (95 % over seeds)"),
    *("worst class, points (95 % over seeds)", "classes down", "best baseline, by its mean"),
    "the path beyond it, paired",
]


def improved(results: Sequence[Results]) -> list[Results]:
    """Return the data sets on which the stage ``improve`` had something to do."""
    return [one for one in results if one.metrics("improve")]


def case_picture(results: Sequence[Results]) -> Picture | None:
    """Draw predicted against realised gains of all cases; None where there is none."""
    cases = {
        one.dataset: (one.ceiling.verdict.answer, one.improve.classes)
        for one in improved(results)
        if one.improve is not None
    }
    return case_gains(cases) if cases else None


def case_rows(results: Sequence[Results]) -> list[list[str]]:
    """Give a row for each case, and a last one that counts which verdicts were confirmed.

    The verdict is that of the stage ``ceiling``. What was taken are the proposals that the path
    accepted. Gains are those of the path on the test split, net of plain training of the same
    seeds. The best baseline is the one with the largest mean there: it is chosen by what it is
    judged by. The path is beyond it seed by seed, a dash where the metrics do not say how far.
    Cases in which nothing is random in a training are not counted.
    """
    cases = improved(results)
    with_seeds = [one for one in cases if repeats(one)]
    pairs = [(one.ceiling.verdict.answer, one.metrics("improve")) for one in with_seeds]
    answers: Counter[str] = Counter(answer for answer, _ in pairs)
    right: Counter[str] = Counter(answer for answer, metrics in pairs if confirmed(answer, metrics))
    counts = ", ".join(f"{answer}: {right[answer]} of {answers[answer]}" for answer in DECIDED)
    both = sum(answer == "room" and _both_gain(metrics) for answer, metrics in pairs)
    counts += f"; mean and worst class both gain: {both} of {answers['room']} with room"
    steps = f"{sum(metrics['accepted'] for _, metrics in pairs)} steps"
    return [
        HEADING,
        *map(_case_row, cases),
        [f"all {len(with_seeds)} with seeds", "", "", counts, steps, *[""] * 5],
    ]


def _case_row(results: Results) -> list[str]:
    assert results.improve is not None
    table, metrics = results.improve.table, results.metrics("improve")
    of_path = table[table["method"] == PATH].set_index("measure")
    nets = [_net(of_path.loc[measure]) for measure in ("mean", "worst")]
    baselines = table[~table["proposed"] & ~table["method"].isin(CONTROLS)]
    means = baselines[baselines["measure"] == "mean"]
    best = "-"
    if len(means):
        first = means.loc[means["net"].idxmax()]
        best = f"{improvement_label(first['method'], False)}: {_net(first)}"
        best += f", {first['down']} down"
    seeds = str(table["seeds"].iloc[0])
    answer = results.ceiling.verdict.answer
    once = "" if repeats(results) or answer not in DECIDED else ", once"
    state = [seeds, ANSWERS[answer], _confirmed(answer, metrics) + once]
    path = results.improve.path
    taken = [improvement_label(name, False) for name in path[path["accepted"] == 1]["proposal"]]
    steps = ", then ".join(taken) or "nothing"
    ends = {"net": "beyond_best", "low": "beyond_best_low", "high": "beyond_best_high"}
    beyond = "-"
    if "beyond_best" in metrics:
        beyond = _net(pd.Series({end: metrics[name] for end, name in ends.items()}))
    return [results.dataset, *state, steps, *nets, str(metrics["classes_down"]), best, beyond]


def _confirmed(answer: str, metrics: Mapping[str, Any]) -> str:
    """Say whether new trainings confirm the verdict, a dash where it decides nothing."""
    if answer not in DECIDED:
        return "-"
    if confirmed(answer, metrics):
        return "yes"
    return "in part" if answer == "room" and path_gains(metrics) else "no"


def _both_gain(metrics: Mapping[str, Any]) -> bool:
    """Tell whether mean and worst class gain significantly, and no class falls."""
    lowest = min(metrics["mean_net_low"], metrics["worst_net_low"])
    return bool(lowest > 0 and no_class_falls(metrics))


def _net(row: pd.Series) -> str:
    """Write a net gain with its interval, without one where no seed differs.

    >>> _net(pd.Series({"net": 1.26, "low": -0.5, "high": 3.0}))
    '+1.3 (-0.5 to +3.0)'
    """
    net = Estimate(*(float(row[key]) for key in ("net", "low", "high")))
    if net.low < net.high:
        return f"{net:+.1f}"
    return f"{net.value:+.3g}" if net.value else "0"
