"""How the claims of Table 1 are judged: each target and each other class of a case, as printed and net of a control."""

from typing import Any

import pandas as pd

from catwise.claims.evidence import Evidence, Figure, graded
from catwise.claims.paper import TABLE_1
from catwise.claims.rules import Answer

__all__ = ["RULES", "table_one"]

PRINTED = (
    "LP-GA printed linear, start"  # Algorithm 1 as printed, among the methods of the reweight stage
)
RULES = {  # when a claim holds | when it holds in part; else it does not
    "targets": "all are significantly better than with all-ones weights | one is, or all rise as printed",
    "others": "none is significantly worse than with all-ones weights, and as printed none loses more than the paper's"
    " worst | one of the two",
}


def table_one(kind: str, part: str, evidence: Evidence) -> list[Answer]:
    """One answer per case of this kind. Of a class: as printed in % (one split, one seed), and net in points."""
    table, printed = evidence.stages["reweight"]["table"], evidence.stages["reweight"]["printed"]
    answers = []
    for case in dict.fromkeys(name for name in printed["case"] if name.startswith(kind)):
        net = table[(table["case"] == case) & (table["measure"] == "accuracy")]
        net = net[net["method"] == _method(net)].set_index("class")
        mine = printed[printed["case"] == case].set_index("class")
        rows = [
            _row(kind, k, mine.loc[name], net.loc[name], evidence)
            for k, name in enumerate(mine.index)
        ]
        rows = [row for row in rows if row["target"] == (part == "targets")]
        answers.append({"case": case, "rows": rows} | _summed(kind, part, rows, evidence))
    return answers or [{"why": f"no {kind} is among its cases"}]


def _method(net: pd.DataFrame) -> str:
    """Algorithm 1 as printed; where that is not among the searches, the first that is."""
    methods = list(dict.fromkeys(net["method"]))
    return (
        PRINTED
        if PRINTED in methods
        else next(name for name in methods if name.startswith("LP-GA"))
    )


def _row(
    kind: str, k: int, printed: pd.Series, net: pd.Series, evidence: Evidence
) -> dict[str, Any]:
    """``paper``: its change of the same class, where the classes are CIFAR-10's."""
    half, same = TABLE_1[kind], evidence.source == "cifar10"
    return {
        "class": evidence.classes[k],
        "target": str(printed["target"]) == "True",  # read back from a file it is text
        "paper": half.rows[k][2] if same else None,
        "paper_target": k in half.targets if same else None,
        "printed": float(printed["change"]),
        **{key: 100 * float(net[key]) for key in ("gain", "low", "high")},
    } | {"reading": "" if pd.isna(net["reading"]) else net["reading"]}


def _summed(kind: str, part: str, rows: list[dict[str, Any]], evidence: Evidence) -> Answer:
    seeds = evidence.stages["reweight"]["seeds"]
    if part == "targets":
        better = [row["reading"] == "better" for row in rows]
        figures = [
            Figure(f"class {row['class']} as printed", row["printed"], form="percent")
            for row in rows
        ]
        figures += [_net(row, seeds) for row in rows]
        verdict = graded(all(better), any(better) or all(row["printed"] > 0 for row in rows))
        return {"figures": figures, "verdict": verdict}
    printed, worst = (min(rows, key=lambda row: row[key]) for key in ("printed", "gain"))
    worse = sum(row["reading"] == "worse" for row in rows)
    figures = [
        Figure(f"at worst as printed class {printed['class']}", printed["printed"], form="percent"),
        _net(worst, seeds),
    ]
    figures.append(Figure(f"significantly worse, of {len(rows)}:", worse, form="count"))
    small = printed["printed"] >= TABLE_1[kind].worst_other
    return {"figures": figures, "verdict": graded(not worse and small, not worse or small)}


def _net(row: dict[str, Any], seeds: int) -> Figure:
    return Figure(
        f"class {row['class']} net",
        row["gain"],
        row["low"],
        row["high"],
        seeds,
        "seeds",
        "points",
        True,
    )
