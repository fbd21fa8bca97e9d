"""Judge the claims of Table 1: each target and each other class of a case.

Every class is judged twice: as printed, in percent, from one split and one seed; and net of the
epoch with all-ones weights, in points, over seeds.
"""

from typing import TYPE_CHECKING, Any

import pandas as pd

from catwise.claims.evidence import Measurement, graded
from catwise.claims.paper import TABLE_1
from catwise.claims.rules import Answer

if TYPE_CHECKING:
    from catwise.pipeline.results import Results

__all__ = ["RULES", "table_one"]

PRINTED = {"rule": "printed", "program": "linear", "anchor": "start"}  # Algorithm 1 as printed
RULES = {  # when a claim holds | when it holds in part; else it does not
    "targets": "all are significantly better than with all-ones weights"
    " | one is, or all rise as printed",
    "others": "none is significantly worse than with all-ones weights, and as printed none loses"
    " more than the paper's worst | one of the two",
}


def table_one(kind: str, part: str, results: "Results") -> list[Answer]:
    """Judge the targets or the others, ``part``, in each case of this kind."""
    tables = results.reweight
    if tables is None or kind not in set(tables.cases["kind"]):
        return [{"why": f"no {kind.replace('_', ' ')} is among its cases"}]
    answers = []
    for case in tables.cases[tables.cases["kind"] == kind].to_dict("records"):
        in_case = tables.table[tables.table["case"] == case["case"]]
        net = _as_printed(in_case[in_case["measure"] == "accuracy"]).set_index("class")
        printed = tables.printed[tables.printed["case"] == case["case"]].set_index("class")
        rows = [
            _row(kind, k, printed.loc[name], net.loc[name], results)
            for k, name in enumerate(printed.index)
        ]
        rows = [row for row in rows if row["target"] == (part == "targets")]
        judge = _targets if part == "targets" else _others
        answers.append({"case": case["case"], "rows": rows, **judge(kind, rows, case["seeds"])})
    return answers


def _as_printed(table: pd.DataFrame) -> pd.DataFrame:
    """Select the rows of Algorithm 1 as printed or, if it was not searched, of the first search."""
    searches = table[(table["family"] == "lp_ga") & ~table["shuffled"]]
    printed = searches[(searches[list(PRINTED)] == pd.Series(PRINTED)).all(axis=1)]
    if len(printed):
        return printed
    return searches[searches["method"] == searches["method"].iloc[0]]


def _row(
    kind: str, k: int, printed: pd.Series, net: pd.Series, results: "Results"
) -> dict[str, Any]:
    """Set a class beside the paper's change of the same class, where the classes are CIFAR-10's."""
    half, same = TABLE_1[kind], results.card.source == "cifar10"
    return {
        "class": results.classes[k],
        "target": bool(printed["target"]),
        "paper": half.rows[k][2] if same else None,
        "paper_target": k in half.targets if same else None,
        "printed": float(printed["change"]),
        **{key: 100 * float(net[key]) for key in ("gain", "low", "high")},
        "reading": int(net["reading"]),
    }


def _targets(kind: str, rows: list[dict[str, Any]], seeds: int) -> Answer:
    better = [row["reading"] == 1 for row in rows]
    rise = all(row["printed"] > 0 for row in rows)
    measurements = [
        Measurement(f"class {row['class']} as printed", row["printed"], form="percent")
        for row in rows
    ]
    measurements += [_net(row, seeds) for row in rows]
    return {"measurements": measurements, "verdict": graded(all(better), any(better) or rise)}


def _others(kind: str, rows: list[dict[str, Any]], seeds: int) -> Answer:
    printed, worst = (min(rows, key=lambda row: row[key]) for key in ("printed", "gain"))
    worse = sum(row["reading"] == -1 for row in rows)
    label = f"at worst as printed class {printed['class']}"
    measurements = [
        Measurement(label, printed["printed"], form="percent"),
        _net(worst, seeds),
        Measurement(f"significantly worse, of {len(rows)}:", worse, form="count"),
    ]
    small = printed["printed"] >= TABLE_1[kind].worst_other
    return {
        "measurements": measurements,
        "verdict": graded(not worse and small, not worse or small),
    }


def _net(row: dict[str, Any], seeds: int) -> Measurement:
    ends = (row["gain"], row["low"], row["high"])
    return Measurement(f"class {row['class']} net", *ends, seeds, "seeds", "points", head=True)
