"""Tabulate the scores of each kind of P, by how subsets are drawn and what is measured."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from catwise.core.statistics import Estimate, noise_ceiling
from catwise.fidelity.cost import COUNTED
from catwise.fidelity.scores import Scores, scores
from catwise.fidelity.subsets import DESIGNS

__all__ = ["headlines", "tabulate"]

Rows = list[dict[str, Any]]


def tabulate(
    vectors: Mapping[str, np.ndarray],
    truth: Mapping[str, np.ndarray],
    costs: Mapping[str, float],
    classes: Sequence[str],
) -> dict[str, Rows]:
    """Score each P (n, k) against the truth that the stage ``subsets`` keeps in subsets.npz.

    scores       by class, with 95 % intervals over the subsets and the ceiling that the noise
                 between seeds sets
    summary      the mean over the classes, and what each kind costs
    differences  paired: the best kind less the next, and each kind less the counting of labels
    """
    tables: dict[str, Rows] = {"scores": [], "summary": [], "differences": []}
    for number, design in enumerate(DESIGNS):
        rows_h = truth["design_h"] == number
        for measure in ("loss", "accuracy") if rows_h.any() else ():
            value_hsk = truth[f"{measure}_hsk"][rows_h]
            scored = scores(vectors, truth["kept_hn"][rows_h], value_hsk, measure)
            case = {"design": design, "measure": measure}
            ceiling_k = noise_ceiling(value_hsk)
            known = ceiling_k[np.isfinite(ceiling_k)]
            highest = float(known.mean()) if len(known) else np.nan
            for kind in vectors:
                state = {**case, "kind": kind}
                for k, (name, top) in enumerate(zip(classes, ceiling_k, strict=True)):
                    own = _named("lds", scored.of_class(kind, k))
                    tables["scores"].append({**state, "class": name, **own, "ceiling": top})
                mean = _named("lds", scored.mean(kind))
                tables["summary"].append({**state, **mean, "ceiling": highest, "cost": costs[kind]})
            tables["differences"] += [{**case, **row} for row in _differences(scored)]
    return tables


def headlines(summary: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the best kind that has a score, with it and the ceiling, by design and measure."""
    best: dict[str, dict[str, Any]] = {}
    for row in summary:
        case = f"{row['measure']}_{row['design']}"
        if case not in best or np.isnan(best[case]["lds"]) or row["lds"] > best[case]["lds"]:
            best[case] = row
    values = {"best_kind": "kind", "lds_best": "lds", "ceiling": "ceiling"}
    return {
        f"{name}_{case}": row[column]
        for case, row in best.items()
        for name, column in values.items()
    }


def _differences(scored: Scores) -> Rows:
    best = scored.best()
    pairs = [tuple(best[:2])] if len(best) > 1 else []
    if COUNTED in best:
        pairs += [(kind, COUNTED) for kind in scored.by_class if kind != COUNTED]
    return [
        {"first": first, "second": second, **_named("difference", scored.difference(first, second))}
        for first, second in dict.fromkeys(pairs)
    ]


def _named(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, "low": estimate.low, "high": estimate.high}
