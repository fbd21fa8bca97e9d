"""Make the words under which answers, methods and cases are shown; results hold them as columns.

The rows are those of the tables of ``reports/reweight``: a dictionary or a row of a data frame.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import pandas as pd

__all__ = [
    "ANSWERS",
    "COUNTED",
    "GROUPS",
    "PATH",
    "UNITS",
    "VECTORS",
    "case_label",
    "case_labels",
    "improvement_label",
    "kind_label",
    "method_label",
    "method_labels",
]

ANSWERS = {  # of a verdict
    "room": "room to improve",
    "ceiling": "at its ceiling",
    "too_few_samples": "cannot tell",
    "not_predictive": "cannot tell",
    "not_confirmed": "cannot tell",
    "low_coverage": "cannot tell",
}
UNITS = {"accuracy": (100, "points"), "loss": (1, "nats")}  # factor and unit of a measure
GROUPS = ("beneficial", "detrimental", "random")  # of removed samples
COUNTED = "label_counts"  # the kind of P that needs no influence
PATH = "ceiling_path"  # the method of the stage improve that the others are compared with
Row: TypeAlias = Mapping[str, Any] | pd.Series
WHOLE = {  # families that have no options
    "all_ones": "all ones",
    "best_seeds": "all ones, best seeds",
    "oracle": "oracle: no flipped label",
    "refresh": "refreshed statistics, no step",
}

KINDS = {  # of P, where the name of the kind of curvature does not say it all
    "ekfac_linear": "ekfac, no embeddings",
    "ekfac_fixed": "ekfac, fixed statistics",
    "ekfac_unaugmented": "ekfac, images as they are",
    "ekfac_runs": "ekfac, mean of runs",
    "segments_runs": "segments, mean of runs",
    "last_layer": "last layer",
    "last_layer_runs": "last layer, mean of runs",
    "exact_runs": "exact, mean of runs",
    "tracin": "TracIn",
    COUNTED: "labels counted",
}


VECTORS = {  # by which samples are ranked
    "endpoint": "at the end of training",
    "endpoint_runs": "the same, mean of runs",
    "segments": "by segments of training",
    "last_layer": "over the last layer",
    "exact": "exact, mean of runs",
}


AVERAGED = {
    "endpoint": "P at the end",
    "middle": "P in the middle",
    "endpoint_fixed": "P of fixed statistics",
    "segments": "P by segments",
    "last_layer": "P of the last layer",
    "exact": "exact P",
}


def kind_label(kind: str) -> str:
    """Name a kind of P.

    >>> kind_label("ekfac"), kind_label("label_counts")
    ('ekfac', 'labels counted')
    """
    return KINDS.get(kind, kind)


def method_label(row: Row) -> str:
    """Name the method of a row by its columns ``family``, ``rule``, ``query`` and so on.

    >>> row = {"family": "lp_ga", "rule": "printed", "program": "linear", "anchor": "start"}
    >>> method_label({**row, "shuffled": False})
    'LP-GA printed linear, start'
    >>> row = {"family": "direction", "query": "loss", "filter": "horizon", "anchor": "end"}
    >>> method_label({**row, "shuffled": True})
    'shuffled direction loss horizon, end'
    """
    if row["family"] in WHOLE:
        label = WHOLE[row["family"]]
    elif row["family"] == "lp_ga":
        label = f"LP-GA {row['rule']} {row['program']}, {row['anchor']}"
    else:
        label = f"direction {row['query']} {row['filter']}, {row['anchor']}"
    return f"shuffled {label}" if row["shuffled"] else label


def method_labels(table: pd.DataFrame) -> dict[str, str]:
    """Name every method of a table, by its key, in the order of the table."""
    rows = table.drop_duplicates("method").to_dict("records")
    return {row["method"]: method_label(row) for row in rows}


def case_label(row: Row) -> str:
    """Name a case by its kind, its epochs and the learning rate of the extra epoch.

    >>> row = {"kind": "direct_improvement", "epoch": 10, "learning_rate": 1e-4}
    >>> case_label(row)
    'direct improvement, 10 to 11, rate 0.0001'
    >>> case_label({**row, "learning_rate": float("nan")})
    'direct improvement, 10 to 11, as trained'
    """
    rate = row["learning_rate"]
    recipe = "as trained" if pd.isna(rate) else f"rate {rate:g}"
    kind = row["kind"].replace("_", " ")
    return f"{kind}, {row['epoch']} to {row['epoch'] + 1}, {recipe}"


def case_labels(cases: pd.DataFrame) -> dict[str, str]:
    """Name every case, by its key; one that differs from an earlier one in its targets says so."""
    labels: dict[str, str] = {}
    for row in cases.to_dict("records"):
        label = case_label(row)
        labels[row["case"]] = f"{label}, other targets" if label in labels.values() else label
    return labels


IMPROVEMENTS = {  # methods of the stage improve
    PATH: "path to the ceiling",
    f"{PATH}_shuffled": "its weights shuffled",
    "direction_kept": "direction, class masses kept",
    "mean_direction": "direction of the mean",
    "class_weights": "class weights from P",
    "within_classes": "class weights, direction within",
    "drop_harmful": "drop what harms every class",
    "square_root": "square root of the frequency",
    "lowest_margins": "drop the lowest margins",
    "cleanlab": "cleanlab's pruning",
    "program_at_random": "program, random thresholds",
    "lp_ga": "LP-GA as a training",
    "class_search": "genetic search of class weights",
    "best_seed": "best of several seeds",
    "oracle": "oracle: no flipped label",
    "focal": "focal loss",
}


def improvement_label(method: str, proposed: bool) -> str:
    """Name a method of the stage ``improve``; a proposal is one that the path could take first.

    >>> improvement_label("direction_kept 0.5", True), improvement_label("square_root", False)
    ('proposal: direction, class masses kept 0.5', 'square root of the frequency')
    >>> improvement_label("mean_direction 0.5, segments", False)
    'direction of the mean 0.5, P by segments'
    """
    rule, _, kind = method.partition(", ")
    name, _, size = rule.partition(" ")
    words = " ".join([IMPROVEMENTS.get(name, name.replace("_", " ")), size]).strip()
    words += f", {AVERAGED.get(kind, kind)}" if kind else ""
    return f"proposal: {words}" if proposed else words
