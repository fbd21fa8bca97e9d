"""Each claim of the paper beside what came out here, with a verdict that follows from ``RULES`` alone."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from catwise.claims import rules, rules_table1
from catwise.claims.evidence import ABSENT, Evidence, Figure
from catwise.claims.paper import HELD_OUT, STATEMENTS
from catwise.claims.rules import Answer
from catwise.core.errors import InputError

__all__ = ["RULES", "Claim", "claims"]

RULES = rules.RULES | rules_table1.RULES
Judge = Callable[[Evidence], list[Answer]]
DIGITS = ("digits",)  # not in the paper
SETS, TABLE = (*HELD_OUT, *DIGITS), ("cifar10", *DIGITS)
ASKED: dict[
    str, tuple[tuple[str, ...], str, Judge]
] = {  # of each claim: the data sets, the stage, the verdict
    "noise": (("linear",), "influence", rules.noise),
    "line": (("nonlinear",), "influence", rules.line),
    "rounds.noise": (("linear",), "removal", rules.rounds_noise),
    "rounds.accuracy": (("linear",), "removal", rules.rounds_accuracy),
    "diagonal.beneficial": (SETS, "removal", partial(rules.diagonal, "beneficial", -1)),
    "diagonal.detrimental": (SETS, "removal", partial(rules.diagonal, "detrimental", 1)),
    "spearman.beneficial": (SETS, "removal", partial(rules.spearman, "beneficial")),
    "spearman.detrimental": (SETS, "removal", partial(rules.spearman, "detrimental")),
    "counts.beneficial": (TABLE, "influence", partial(rules.counts, "beneficial")),
    "counts.detrimental": (TABLE, "influence", partial(rules.counts, "detrimental")),
    "ratio.above": (TABLE, "ceiling", rules.ratio),
    "direct.targets": (
        TABLE,
        "reweight",
        partial(rules_table1.table_one, "direct improvement", "targets"),
    ),
    "direct.others": (
        TABLE,
        "reweight",
        partial(rules_table1.table_one, "direct improvement", "others"),
    ),
    "course.targets": (
        TABLE,
        "reweight",
        partial(rules_table1.table_one, "course correction", "targets"),
    ),
    "course.others": (
        TABLE,
        "reweight",
        partial(rules_table1.table_one, "course correction", "others"),
    ),
}


@dataclass(frozen=True)
class Claim:
    """A row of the table. ``case``: of Table 1; ``rows``: its classes; ``why``: it was not run, or what to know."""

    key: str
    dataset: str
    case: str = ""
    size: str = ""
    reduced: bool = False
    figures: list[Figure] = field(default_factory=list)
    verdict: str = ABSENT
    why: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """As JSON, with the paper's side and the figures in words."""
        ours, head = (
            "; ".join(figure.text() for figure in self.figures if figure.head or not short)
            for short in (False, True)
        )
        return {**asdict(STATEMENTS[self.key]), **asdict(self), "ours": ours, "head": head}


def claims(found: Sequence[Evidence], benchmark: dict[str, Any] | None) -> list[Claim]:
    """A claim per statement, data set and case; ``benchmark``: that of ``benchmarks.science.hit_rates``, if it was run.

    A data set or a stage that is not there leaves a claim "not run here". A column that is missing where its table is
    there raises InputError: a claim that loses its source must not go quiet.
    """
    rows = []
    for key, (sources, stage, judge) in ASKED.items():
        for source in sources:
            mine = [evidence for evidence in found if evidence.source == source]
            for evidence in mine:
                rows += _judged(key, stage, judge, evidence)
            if not mine and source not in DIGITS:
                rows.append(Claim(key, source, why=_missing(source)))
        if key == "ratio.above":  # the next asks of cases whose truth is known
            rows.append(Claim("ratio.rule", "known truth", **rules.rule(found, benchmark)))
    return rows


def _missing(source: str) -> str:
    if source in HELD_OUT:
        return f"needs a download and, at the paper's size, a GPU: make paper DATASET={source}"
    return f"{source} is not in run.datasets of params.yaml"


def _judged(key: str, stage: str, judge: Judge, evidence: Evidence) -> list[Claim]:
    about: dict[str, Any] = {"key": key, "dataset": evidence.dataset, "size": evidence.size}
    about["reduced"] = evidence.reduced
    if stage not in evidence.stages:
        return [Claim(**about, why=f"stage {stage} was not run on it")]
    try:
        return [Claim(**about, **answer) for answer in judge(evidence)]
    except KeyError as error:
        where = f"claim {key}, {evidence.dataset}"
        raise InputError(
            f"{where}: expected {error} in the reports of {stage}; got none; run it again"
        ) from error
