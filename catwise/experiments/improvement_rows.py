"""Make the tables and the metrics of the stage ``improve`` from an experiment."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from catwise.core.statistics import student_half_width
from catwise.experiments.improvement import (
    ADJUSTED,
    BEST_SEED,
    PATH,
    PLAIN,
    PROPOSED,
    Experiment,
    Measured,
)
from catwise.experiments.improvement_trainer import FOCAL
from catwise.improvement.path import Round

__all__ = ["headline_metrics", "table_rows"]

LEVEL = 0.05  # of the table's error counts, shared by the methods or classes that are asked
NO_WEIGHTS = (FOCAL, ADJUSTED, BEST_SEED)  # methods that change something else
POINTS = 100  # accuracies are shares; the tables of gains are in points


def table_rows(experiment: Experiment) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each table of the stage."""
    return {
        "path": [row for round_ in experiment.path.rounds for row in _path_rows(round_)],
        "table": list(_method_rows(experiment)),
        "classes": list(_class_rows(experiment)),
        "steps": list(_step_rows(experiment)),
    }


def headline_metrics(experiment: Experiment) -> dict[str, Any]:
    """Compute what ``dvc metrics diff`` shows: before and after, and the two errors of a verdict.

    ``others_gain`` is 1 where some other weights that know no secret gain in the mean,
    significantly after Bonferroni's correction, with no class that loses. Where labels were
    flipped, the baseline of lowest margins knows how many. Another loss or seed is no weights,
    and a verdict speaks of weights alone. ``classes_fall`` counts the classes that lose at a level
    that all classes share, ``classes_down`` each by itself. ``false_ceiling`` is 1 where others
    gain and the verdict on plain weights says ceiling; ``false_room`` where it says room and the
    path does not gain significantly. ``beyond_best`` is what the path gains in the mean beyond the
    best baseline, paired over seeds.
    """
    rows = {(row["method"], row["measure"]): row for row in _method_rows(experiment)}
    mean, worst = rows[PATH, "mean"], rows[PATH, "worst"]
    judgement = experiment.path.rounds[0].judgement
    gained = mean["low"] > 0 or worst["low"] > 0
    knowing = ("oracle", "lowest_margins") if "oracle" in experiment.measured else ()
    controls = (PLAIN, PATH, f"{PATH}_shuffled", *NO_WEIGHTS, *knowing)
    honest = [method for method in experiment.measured if method not in controls]
    winners = [
        method
        for method in honest
        if _net(experiment, method, "mean", LEVEL / len(honest))[1] > 0
        and not _falls(experiment, method)
    ]
    return {
        "mean_before": rows[PLAIN, "mean"]["value"],
        "mean_after": mean["value"],
        "mean_net": mean["net"],
        "mean_net_low": mean["low"],
        "worst_before": rows[PLAIN, "worst"]["value"],
        "worst_after": worst["value"],
        "worst_net": worst["net"],
        "worst_net_low": worst["low"],
        "classes_down": mean["down"],
        "classes_fall": _falls(experiment, PATH),
        **_beyond_best(experiment),
        "answer": judgement.answer,
        "end": experiment.path.end,
        "accepted": sum(trial.accepted for r in experiment.path.rounds for trial in r.trials),
        "trainings": experiment.path.trainings,
        "points_per_nat": POINTS * experiment.slope,
        "others_gain": int(bool(winners)),
        "false_room": int(judgement.room and not gained),
        "false_ceiling": int(judgement.ceiling and bool(winners)),
    }


def _beyond_best(experiment: Experiment) -> dict[str, float]:
    """Compare the path with the baseline of the largest mean on the test split, in points.

    That baseline is chosen by what it is judged by, which flatters it. Without baselines there is
    nothing to compare with, and no number.
    """
    controls = (PLAIN, PATH, f"{PATH}_shuffled", "oracle")
    baselines = [
        _by_seed(measured, "mean")
        for method, measured in experiment.measured.items()
        if method not in controls and not method.startswith(PROPOSED)
    ]
    if not baselines:
        return {}
    best_s = max(baselines, key=np.mean)
    path_s = _by_seed(experiment.measured[PATH], "mean")
    net, low, high = _interval(POINTS * (path_s - best_s))
    return {"beyond_best": net, "beyond_best_low": low, "beyond_best_high": high}


def _path_rows(round_: Round) -> Iterator[dict[str, Any]]:
    """Return a row for each trial of a round; one without a proposal where nothing was tried."""
    state = {
        "round": round_.number,
        "room": int(round_.judgement.room),
        "verdict": round_.judgement.words,
    }
    if not round_.trials:
        yield {**state, "proposal": "", "accepted": 0}
    for trial in round_.trials:
        row = {**state, "proposal": trial.proposal, "accepted": int(trial.accepted)}
        for measure in ("mean", "worst"):
            estimate = getattr(trial.gain, measure)
            row |= {
                measure: POINTS * estimate.value,
                f"{measure}_low": POINTS * estimate.low,
                f"{measure}_high": POINTS * estimate.high,
            }
        yield row | {"better": len(trial.gain.better), "worse": len(trial.gain.worse)}


def _net(
    experiment: Experiment, method: str, measure: str, level: float = 0.05
) -> tuple[float, float, float]:
    """Compute the gain over plain training of the same seeds with its interval.

    Accuracies are in points, the loss in nats, and a lower loss is a gain.
    """
    after_s, before_s = (_by_seed(experiment.measured[name], measure) for name in (method, PLAIN))
    if measure == "loss":
        return _interval(before_s - after_s, level)
    return _interval(POINTS * (after_s - before_s), level)


def _interval(change_s: np.ndarray, level: float = 0.05) -> tuple[float, float, float]:
    net, half = float(change_s.mean()), float(student_half_width(change_s, confidence=1 - level))
    return net, net - half, net + half


def _by_seed(measured: Measured, measure: str) -> np.ndarray:
    """Return the measure of each seed; ``worst`` is of the class that is worst over all seeds."""
    match measure:
        case "mean":
            return measured.accuracy_sk.mean(axis=1)
        case "worst":
            return measured.accuracy_sk[:, measured.accuracy_sk.mean(axis=0).argmin()]
        case _:
            return measured.loss_sk.mean(axis=1)


def _method_rows(experiment: Experiment) -> Iterator[dict[str, Any]]:
    for method, measured in experiment.measured.items():
        low_k, high_k = _class_ends(experiment, method)
        for measure in ("mean", "worst", "loss"):
            net, low, high = _net(experiment, method, measure)
            scale = 1 if measure == "loss" else POINTS
            yield {
                **{"method": method.removeprefix(PROPOSED), "measure": measure},
                "proposed": int(method.startswith(PROPOSED)),
                "value": scale * float(_by_seed(measured, measure).mean()),
                **{"net": net, "low": low, "high": high},
                **{"up": int((low_k > 0).sum()), "down": int((high_k < 0).sum())},
                "seeds": len(measured.accuracy_sk),
            }


def _falls(experiment: Experiment, method: str) -> int:
    """Count the classes that lose, at a level that all classes share."""
    _, high_k = _class_ends(experiment, method, LEVEL / len(experiment.classes))
    return int((high_k < 0).sum())


def _class_ends(
    experiment: Experiment, method: str, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of the interval of each class's gain in accuracy, in points."""
    change_sk = POINTS * (
        experiment.measured[method].accuracy_sk - experiment.measured[PLAIN].accuracy_sk
    )
    half_k = student_half_width(change_sk, confidence=1 - level)
    return change_sk.mean(axis=0) - half_k, change_sk.mean(axis=0) + half_k


def _class_rows(experiment: Experiment) -> Iterator[dict[str, Any]]:
    for method, measured in experiment.measured.items():
        low_k, high_k = _class_ends(experiment, method)
        predicted_k = POINTS * experiment.predicted(method)
        for k, name in enumerate(experiment.classes):
            low, high = float(low_k[k]), float(high_k[k])
            yield {
                **{"method": method.removeprefix(PROPOSED)},
                **{"proposed": int(method.startswith(PROPOSED)), "class": name},
                "accuracy": POINTS * float(measured.accuracy_sk[:, k].mean()),
                **{"net": (low + high) / 2, "low": low, "high": high},
                "predicted": float(predicted_k[k]),
                "reading": int(low > 0) - int(high < 0),
            }


def _step_rows(experiment: Experiment) -> Iterator[dict[str, Any]]:
    """Return accuracy and interval of every class on the test split after each accepted round."""
    for number, measured in enumerate(experiment.steps):
        half_k = student_half_width(measured.accuracy_sk)
        for k, name in enumerate(experiment.classes):
            accuracy = float(measured.accuracy_sk[:, k].mean())
            half = float(half_k[k])
            ends = {"low": POINTS * (accuracy - half), "high": POINTS * (accuracy + half)}
            yield {"round": number, "class": name, "accuracy": POINTS * accuracy, **ends}
