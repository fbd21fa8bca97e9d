"""Make the rows of every table of the reweighting stage from an experiment that has run."""

from typing import Any

import numpy as np

from catwise.ceiling.check import check_ceiling
from catwise.core.statistics import area_under_curve
from catwise.experiments.anchored_influence import AnchoredInfluence
from catwise.experiments.epoch_measurements import MEASURES
from catwise.experiments.table1 import Table1Experiment, direction_method, search_method
from catwise.reweighting.table1 import (
    Method,
    class_rows,
    net_effect,
    printed_rows,
    refresh_rows,
    summary_row,
    tradeoff_row,
)

__all__ = ["headline_metrics", "table_rows"]

# The anchor and filter of the headroom as printed, and of that beyond plain training.
ROOMS = (("start", "damped"), ("end", "horizon"))

# The directions of the same query that are compared, with P of the whole epoch and of its end.
UNROLLED = Method("direction", anchor="unrolled", filter="exact", query="loss")
END = Method("direction", anchor="end", filter="horizon", query="loss")


def table_rows(experiment: Table1Experiment, classes: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Make the rows of every table for the case of the experiment."""
    case = experiment.case
    rows = {
        "cases": [case.row],
        "table": _class_rows(experiment, classes),
        "summary": _summary_rows(experiment),
        "printed": _printed_rows(experiment, classes),
        "refresh": _refresh_rows(experiment, classes),
        "room": _room_rows(experiment.influence),
        "tradeoff": _tradeoff_rows(experiment),
        "history": experiment.history,
    }
    return {name: [{"case": case.key, **row} for row in table] for name, table in rows.items()}


def _class_rows(experiment: Table1Experiment, classes: list[str]) -> list[dict[str, Any]]:
    """Make Table 1 net of the control: a row for each method, measure and class."""
    rows, epochs = [], experiment.epochs
    for result in experiment.results:
        for measure in MEASURES:
            means = {
                "before": epochs.compared_with("test", measure),
                "control": epochs.control["test"][measure].mean(axis=0),
                "after": result.measured["test"][measure].mean(axis=0),
                "predicted": result.predicted_k if measure == "loss" else None,
            }
            state = {**result.method.columns, "measure": measure}
            net = epochs.effect(result.measured, measure)
            rows += class_rows(state, classes, experiment.case.targets, means, net)
    return rows


def _summary_rows(experiment: Table1Experiment) -> list[dict[str, Any]]:
    return [
        {
            **result.method.columns,
            "measure": measure,
            **summary_row(
                experiment.epochs.effect(result.measured, measure), experiment.case.targets
            ),
        }
        for result in experiment.results
        for measure in MEASURES
    ]


def _printed_rows(experiment: Table1Experiment, classes: list[str]) -> list[dict[str, Any]]:
    if experiment.printed is None:
        return []
    return printed_rows(classes, experiment.case.targets, experiment.printed)


def _refresh_rows(experiment: Table1Experiment, classes: list[str]) -> list[dict[str, Any]]:
    """Set what batch norm's refreshed statistics do beside what weights do, seed by seed.

    Before are the statistics that the training left, even where it refreshes them after each epoch.
    There are no rows for a model without batch norm.
    """
    if not experiment.influence.has_batch_norm:
        return []
    rows, epochs = [], experiment.epochs
    for result in experiment.shown:
        for measure in MEASURES:
            state = {**result.method.columns, "measure": measure}
            before_k = epochs.raw_before(measure)
            after_sk, targets = result.measured["test"][measure], experiment.case.targets
            rows += refresh_rows(state, classes, targets, before_k, after_sk, epochs.seeds)
    return rows


def _tradeoff_rows(experiment: Table1Experiment) -> list[dict[str, Any]]:
    """Make the curve of each program as its thresholds move, then every method's own point."""
    points = [(result.method, None, result.measured) for result in experiment.results]
    return [
        {
            **method.columns,
            "gene": gene,
            "measure": measure,
            **tradeoff_row(experiment.epochs.net(measured, measure), experiment.case.targets),
        }
        for method, gene, measured in [*experiment.curve, *points]
        for measure in MEASURES
    ]


def _room_rows(influence: AnchoredInfluence) -> list[dict[str, Any]]:
    """Check whether the epoch has room for a joint gain, and any beyond what plain training
    brings.
    """
    rows = []
    for anchor, filter in ROOMS:
        p_nkb = influence.binned_vectors(anchor, filter)
        checked, p_nk = check_ceiling(p_nkb), p_nkb.sum(axis=2)
        share_k = np.abs(p_nk.sum(axis=0)) / np.abs(p_nk).sum(axis=0)
        rows.append(
            {
                "anchor": anchor,
                "filter": filter,
                "headroom": checked.headroom.value,
                "crossfitted": checked.crossfitted.value,
                "low": checked.crossfitted.low,
                "high": checked.crossfitted.high,
                "sum_over_mass": float(share_k.max()),
                "room": int(checked.room),
            }
        )
    return rows


def headline_metrics(experiment: Table1Experiment) -> dict[str, dict[str, float]]:
    """Summarise the first search and the first direction, net of the control.

    ``worst`` is what the worst class gains, ``hurt`` how many classes are significantly worse, and
    ``flipped_auc`` how well the weights find the flipped labels. ``unrolled`` holds the largest
    learning rate times curvature that an adjoint met, and how far the direction of the unrolled
    epoch is ahead of that of its end.
    """
    section, metrics = experiment.section, {}
    searches = [("search", search_method(option)) for option in section.searches[:1]]
    directions = [("direction", direction_method(option)) for option in section.directions[:1]]
    results = {result.method: result for result in experiment.results}
    for name, method in [*searches, *directions]:
        result, cells = results[method], {}
        for measure in MEASURES:
            net = experiment.epochs.effect(result.measured, measure)
            counted = summary_row(net, experiment.case.targets)
            cells[f"{measure}.worst"] = counted["worst_gain"]
            cells[f"{measure}.hurt"] = counted["worse"]
        if experiment.flipped_n.any():
            cells["flipped_auc"] = area_under_curve(experiment.flipped_n, -result.weights_n)
        metrics[name] = cells
    if experiment.influence.sharpness:
        metrics["unrolled"] = {
            "rate_times_curvature": experiment.influence.sharpness,
            **_beyond_end(experiment),
        }
    return metrics


def _beyond_end(experiment: Table1Experiment) -> dict[str, float]:
    """Compare the two directions, paired by seed: the mean over the classes with its interval.

    Above 0 that of the whole epoch is better, in loss too; {} where one was not run.
    """
    results = {result.method: result.measured for result in experiment.results}
    if not {UNROLLED, END} <= results.keys():
        return {}
    cells: dict[str, float] = {}
    for measure in MEASURES:
        net_sk = [experiment.epochs.net(results[key], measure) for key in (UNROLLED, END)]
        net = net_effect(*(values.mean(axis=1, keepdims=True) for values in net_sk))
        ends = {"mean": net.mean_k, "low": net.low_k, "high": net.high_k}
        cells |= {f"{measure}_beyond_end.{end}": float(value[0]) for end, value in ends.items()}
    return cells
