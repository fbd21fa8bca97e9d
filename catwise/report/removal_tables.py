"""Write what removing samples did as tables of text: does it agree with the influence vectors?"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from catwise.core.statistics import Estimate
from catwise.figures.labels import GROUPS, VECTORS
from catwise.pipeline.records import TopShare
from catwise.pipeline.results import Results

__all__ = ["agreement", "diagonal", "ranked", "removals"]

MEASURES = ("accuracy", "loss")
PAPERS = {"beneficial": "falls", "detrimental": "rises"}  # a class without such samples


def removals(metrics: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Give Spearman's rho between influence and what removal did, for each data set and group.

    ``metrics`` holds the metrics of the stage ``removal`` by data set; a data set that was trimmed
    has no such correlations and no row. ``one training`` is the mean over the seeds with its 95 %
    interval, ``mean`` is rho of the changes averaged over the seeds, ``labels counted`` is rho of
    the prediction by counting the labels of the removed samples, which needs no influence, and
    ``ceiling`` is how high the noise between the seeds lets ``mean`` rise for a perfect prediction.
    """
    ways = ("one training", "mean", "labels counted", "ceiling")
    heading = [f"{measure}: {way}" for measure in MEASURES for way in ways]
    rows = [["data set", "removed", *heading]]
    for dataset, values in metrics.items():
        for group in GROUPS if "spearman_accuracy_random" in values else ():
            cells = []
            for name in (f"{measure}_{group}" for measure in MEASURES):
                ends = (values[f"spearman_{name}{end}"] for end in ("", "_low", "_high"))
                rho = Estimate(*(np.nan if end is None else end for end in ends))
                cells += [f"{rho:.2f}", two_digits(values[f"spearman_mean_{name}"])]
                cells.append(two_digits(values[f"counted_{name}"]))
                cells.append(two_digits(values[f"ceiling_{name}"]))
            rows.append([dataset, group, *cells])
    return rows


def ranked(results: Sequence[Results]) -> list[list[str]]:
    """Give rho for each P by which samples were ranked, where there are several.

    Rho is of the changes averaged over the seeds, with its 95 % interval over the removals: over
    all pairs of removal and class, and within each class, where it does not count that some classes
    move more than others whatever is removed.
    """
    ways = {"all": "rho", "within": "within classes"}
    heading = [f"{measure}: {way}" for measure in MEASURES for way in ways.values()]
    rows = [["data set", "removed", "ranked by P", *heading]]
    for one in results:
        if not isinstance(one.removal, TopShare):
            continue
        rankings = one.removal.rankings[one.removal.rankings["trainings"] == "mean"]
        if rankings["vectors"].nunique() == 1:
            continue
        cells = rankings.set_index(["group", "vectors", "measure", "pairs"])
        for group in PAPERS:
            for name in rankings["vectors"].unique():
                keys = [(group, name, measure, pairs) for measure in MEASURES for pairs in ways]
                ends = [cells.loc[key, ["rho", "low", "high"]] for key in keys]
                words = [f"{Estimate(*three):.2f}" for three in ends]
                rows.append([one.dataset, group, VECTORS[name], *words])
    return rows


def two_digits(value: float | None) -> str:
    """Write a number with two digits, or a dash where there is none."""
    return "-" if value is None else f"{value:.2f}"


def diagonal(table: pd.DataFrame) -> list[list[str]]:
    """Give a row for each class: the change of its own accuracy without samples of each group.

    ``table`` is ``diagonal.csv``. Points of accuracy, mean and 95 % interval over the seeds.
    """
    own = table[table["measure"] == "accuracy"]
    groups = own["group"].unique()
    cells = {
        (row["class"], row["group"]): format(
            Estimate(*(100 * row[end] for end in ("mean", "low", "high"))), "+.2f"
        )
        for row in own.to_dict("records")
    }
    rows = [["class", *(f"without {group}" for group in groups)]]
    return rows + [
        [name, *(cells[name, group] for group in groups)] for name in own["class"].unique()
    ]


def agreement(metrics: Mapping[str, Any], number: int) -> list[list[str]]:
    """Count in how many of ``number`` classes the diagonal changes as the paper says.

    ``metrics`` are those of the stage ``removal``. The first row counts plain changes, the second
    changes beyond those of removing as many samples at random.
    """
    heading = [f"without {group} it {verb}" for group, verb in PAPERS.items()]
    rows = [["change of a class's accuracy", *heading]]
    for prefix, name in (("", "plain"), ("net_", "beyond random removal")):
        cells = []
        for group in PAPERS:
            right = metrics[f"{prefix}signs_accuracy_{group}"]
            significant = metrics[f"{prefix}significant_accuracy_{group}"]
            cells.append(f"{right} of {number} classes, {significant} significantly")
        rows.append([name, *cells])
    return rows
