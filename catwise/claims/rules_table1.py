"""Judge the claims of Table 1: each target and each other class of a case, and what explains it.

Every class is judged twice: as printed, in percent, from one split and one seed; and net of the
epoch with all-ones weights, in points, over seeds.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from catwise.claims.evidence import BESIDE, Measurement, graded, mean_over
from catwise.claims.paper import TABLE_1
from catwise.claims.rules import MOST, NEARLY_ALL, Answer
from catwise.core.statistics import jackknife_half_width

if TYPE_CHECKING:
    from catwise.pipeline.results import Results

__all__ = ["RULES", "refresh", "table_one"]

PRINTED = {"rule": "printed", "program": "linear", "anchor": "start"}  # Algorithm 1 as printed
FAMILIES = {  # that are set beside the refresh, in words
    "refresh": "refreshed",
    "all_ones": "all ones",
    "lp_ga": "Algorithm 1",
    "direction": "direction",
}
RULES = {  # when a claim holds | when it holds in part; else it does not
    "targets": "all are significantly better than with all-ones weights"
    " | one is, or all rise as printed",
    "others": "none is significantly worse than with all-ones weights, and as printed none loses"
    " more than the paper's worst | one of the two",
    "refresh": "the refresh alone gives of what the targets gain over the epoch that Table 1"
    f" compares with at least {NEARLY_ALL}, and surely more than {MOST} | at least {MOST}",
}


def table_one(kind: str, part: str, results: "Results") -> list[Answer]:
    """Judge the targets or the others, ``part``, in each case of this kind."""
    tables = results.reweight
    if tables is None or kind not in set(tables.cases["kind"]):
        return [{"why": f"no {kind.replace('_', ' ')} is among its cases"}]
    answers = []
    for case in tables.cases[tables.cases["kind"] == kind].to_dict("records"):
        in_case = tables.table[tables.table["case"] == case["case"]]
        if not (in_case["family"] == "lp_ga").any():
            answers.append({"case": case["case"], "why": "nothing was searched in this case"})
            continue
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


def refresh(results: "Results") -> list[Answer]:
    """Compare what refreshed statistics of batch norm give without a step with what weights give.

    Both are gains over the epoch that Table 1 compares with: of Direct Improvement the one before,
    of Course Correction the original one. They are the mean over the targets, by seed.
    """
    tables = results.reweight
    if tables is None or tables.cases.empty:
        return [{"why": "no epoch was taken again"}]
    if tables.refresh.empty:
        return [{"verdict": BESIDE, "why": "the model has no batch norm"}]
    answers = []
    for case in tables.cases["case"]:
        rows = tables.refresh[tables.refresh["case"] == case]
        rows = rows[rows["measure"] == "accuracy"]
        parts = {"targets": rows["target"], "all classes": rows["class"].notna()}
        gains = {part: _gains(rows[mask]) for part, mask in parts.items()}
        answers.append({"case": case, **_refresh_answer(gains)})
    return answers


def _gains(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean gain of the classes in points: a row for each seed, a column per method."""
    kept = rows[~rows["shuffled"]]
    gain = 100 * (kept["after"] - kept["before"])
    return gain.groupby([kept["seed"], kept["family"]]).mean().unstack()


def _refresh_answer(gains: dict[str, pd.DataFrame]) -> Answer:
    """Judge the shares; the weights are those of the first search, else of the first direction."""
    targets, answer = gains["targets"], Answer(verdict=BESIDE)
    measurements = [
        mean_over(f"{part}, {name}", table[family].to_numpy(), "seeds", "points", part == "targets")
        for part, table in gains.items()
        for family, name in FAMILIES.items()
        if family in table
    ]
    weights = next((name for name in ("lp_ga", "direction") if name in targets), None)
    if weights is None or targets[weights].mean() <= 0:
        answer["why"] = "no weights raise the targets over the epoch that Table 1 compares with"
    else:
        share = _share(targets["refresh"].to_numpy(), targets[weights].to_numpy())
        sure = share.low is not None and share.low > MOST
        answer["verdict"] = graded(share.value >= NEARLY_ALL and sure, share.value >= MOST)
        measurements.insert(0, share)
    return {"measurements": measurements, **answer}


def _share(part_s: np.ndarray, whole_s: np.ndarray) -> Measurement:
    """Measure mean(part) / mean(whole) over the seeds, with the jackknife's interval."""
    value, count = float(part_s.mean() / whole_s.mean()), len(part_s)
    ends: tuple[float | None, float | None] = (None, None)
    if count > 1:
        rest = (part_s.sum() - part_s) / (whole_s.sum() - whole_s)
        half = float(jackknife_half_width(rest))
        ends = (value - half, value + half)
    what = "share of the targets' gain that the refresh alone gives:"
    return Measurement(what, value, *ends, count, "seeds", "share", head=True)


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
