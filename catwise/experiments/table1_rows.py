"""Make the rows of every table of the reweighting stage from an experiment that has run."""

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from catwise.ceiling.verdict import check_ceiling
from catwise.experiments.anchored_influence import AnchoredInfluence
from catwise.experiments.epoch_measurements import MEASURES
from catwise.experiments.table1 import Table1Experiment, direction_method, search_method
from catwise.reweighting.table1 import (
    class_rows,
    printed_rows,
    summary_row,
    tradeoff_row,
)

__all__ = ["NAMES", "headline_metrics", "table_rows"]

# The anchor and filter of the headroom as printed, and of that beyond plain training.
ROOMS = (("start", "damped"), ("end", "horizon"))

NAMES = ("cases", "table", "summary", "printed", "room", "tradeoff", "history")  # of the tables


def table_rows(experiment: Table1Experiment, classes: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Make the rows of every table for the case of the experiment."""
    case = experiment.case
    rows = {
        "cases": [case.row],
        "table": _class_rows(experiment, classes),
        "summary": _summary_rows(experiment),
        "printed": printed_rows(classes, case.targets, experiment.printed),
        "room": _room_rows(experiment.influence),
        "tradeoff": _tradeoff_rows(experiment),
        "history": experiment.history,
    }
    return {name: [{"case": case.key, **row} for row in rows[name]] for name in NAMES}


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


def _tradeoff_rows(experiment: Table1Experiment) -> list[dict[str, Any]]:
    """Make the curve of each program as its thresholds move, then every method's own point."""
    points = [(result.method, None, result.measured) for result in experiment.results]
    return [
        {
            **method.columns,
            "gene": gene,
            "measure": measure,
            **tradeoff_row(
                experiment.epochs.net(measured, "test", measure), experiment.case.targets
            ),
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
    ``flipped_auc`` how well the weights find the flipped labels.
    """
    section, metrics = experiment.section, {}
    headlines = {
        "search": search_method(section.searches[0]),
        "direction": direction_method(section.directions[0]),
    }
    results = {result.method: result for result in experiment.results}
    for name, method in headlines.items():
        result, cells = results[method], {}
        for measure in MEASURES:
            net = experiment.epochs.effect(result.measured, measure)
            counted = summary_row(net, experiment.case.targets)
            cells[f"{measure}.worst"] = counted["worst_gain"]
            cells[f"{measure}.hurt"] = counted["worse"]
        if experiment.flipped_n.any():
            cells["flipped_auc"] = roc_auc_score(experiment.flipped_n, -result.weights_n)
        metrics[name] = cells
    return metrics
