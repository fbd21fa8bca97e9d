"""Set each claim of the paper beside what was measured, with a verdict by ``RULES`` alone."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from catwise.claims import rules, rules_table1
from catwise.claims.evidence import ABSENT, Evidence, Measurement
from catwise.claims.paper import HELD_OUT, STATEMENTS
from catwise.claims.rules import Answer

if TYPE_CHECKING:
    from catwise.pipeline.results import Results

__all__ = ["RULES", "Claim", "claims"]

RULES = rules.RULES | rules_table1.RULES
Rule = Callable[["Results"], list[Answer]]
DIGITS = ("digits",)  # not in the paper
REMOVALS, TABLE = (*HELD_OUT, *DIGITS), ("cifar10", *DIGITS)
direct = partial(rules_table1.table_one, "direct_improvement")
course = partial(rules_table1.table_one, "course_correction")
QUESTIONS: dict[str, tuple[tuple[str, ...], str, Rule]] = {  # claim: its data sets, stage and rule
    "noise": (("linear",), "influence", rules.noise),
    "line": (("nonlinear",), "influence", rules.line),
    "rounds.noise": (("linear",), "removal", rules.rounds_noise),
    "rounds.accuracy": (("linear",), "removal", rules.rounds_accuracy),
    "diagonal.beneficial": (REMOVALS, "removal", partial(rules.diagonal, "beneficial")),
    "diagonal.detrimental": (REMOVALS, "removal", partial(rules.diagonal, "detrimental")),
    "spearman.beneficial": (REMOVALS, "removal", partial(rules.spearman, "beneficial")),
    "spearman.detrimental": (REMOVALS, "removal", partial(rules.spearman, "detrimental")),
    "counts.beneficial": (TABLE, "influence", partial(rules.counts, "beneficial")),
    "counts.detrimental": (TABLE, "influence", partial(rules.counts, "detrimental")),
    "ratio.above": (TABLE, "ceiling", rules.ratio),
    "direct.targets": (TABLE, "reweight", partial(direct, "targets")),
    "direct.others": (TABLE, "reweight", partial(direct, "others")),
    "course.targets": (TABLE, "reweight", partial(course, "targets")),
    "course.others": (TABLE, "reweight", partial(course, "others")),
    "refresh": (TABLE, "reweight", rules_table1.refresh),
}


@dataclass(frozen=True)
class Claim:
    """Hold one row of the table of claims.

    ``case`` is the key of a case of Table 1 and ``rows`` are its classes. ``why`` says why the
    claim was not run, or what else there is to know.
    """

    key: str
    dataset: str
    case: str = ""
    size: str = ""
    reduced: bool = False
    measurements: list[Measurement] = field(default_factory=list)
    verdict: str = ABSENT
    why: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """Give the claim as JSON, with the paper's side; ``ours`` and ``head`` are in words."""
        head = [measurement for measurement in self.measurements if measurement.head]
        words = {"ours": _words(self.measurements), "head": _words(head)}
        return {**asdict(STATEMENTS[self.key]), **asdict(self), **words}


def _words(measurements: Sequence[Measurement]) -> str:
    return "; ".join(measurement.text() for measurement in measurements)


def claims(
    evidences: Sequence[Evidence],
    benchmark: dict[str, Any] | None,
    cases: Sequence["Results"] = (),
) -> list[Claim]:
    """Judge every statement on each of its data sets, and in each case of Table 1.

    ``benchmark`` is that of ``benchmarks.science.hit_rates``, None if it was not run. ``cases`` are
    the results that our own claim about the verdict is judged by, those of spoiled data sets among
    them. A data set or a stage that is not there leaves a claim "not run here".
    """
    judged = []
    for key, (sources, stage, rule) in QUESTIONS.items():
        for source in sources:
            known = [one for one in evidences if one.results.card.source == source]
            for evidence in known:
                judged += _judged(key, stage, rule, evidence)
            if not known and source not in DIGITS:
                judged.append(Claim(key, source, why=_missing(source)))
        if key == "ratio.above":  # the next claim is about cases whose truth is known
            results = [evidence.results for evidence in evidences]
            answer = rules.ratio_rule(results, benchmark)
            judged.append(Claim("ratio.rule", "known truth", **answer))
    for state in ("room", "ceiling"):
        judged.append(Claim(f"acting.{state}", "all cases", **rules.acting(state, cases)))
    return judged


def _missing(source: str) -> str:
    if source in HELD_OUT:
        return f"needs a download and, at the paper's size, a GPU: make paper DATASET={source}"
    return f"{source} is not in run.datasets of params.yaml"


def _judged(key: str, stage: str, rule: Rule, evidence: Evidence) -> list[Claim]:
    """Judge one claim on one data set: one row, or one for each case of Table 1."""
    about: dict[str, Any] = {"key": key, "dataset": evidence.results.dataset}
    about |= {"size": evidence.size, "reduced": evidence.reduced}
    if not evidence.results.ran(stage):
        return [Claim(**about, why=f"stage {stage} was not run on it")]
    return [Claim(**about, **answer) for answer in rule(evidence.results)]
