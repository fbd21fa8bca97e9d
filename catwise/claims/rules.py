"""Judge the claims about influence, removal and the ceiling: results in, an answer out.

An answer holds what a ``catwise.claims.judge.Claim`` still lacks: measurements and verdict, or why
there is none.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from catwise.ceiling.pca_rule import RULE
from catwise.claims.evidence import (
    ABSENT,
    BESIDE,
    Measurement,
    confirmed,
    graded,
    mean_over,
    path_gains,
    repeats,
    share,
)
from catwise.claims.paper import ROUNDS, SPEARMAN
from catwise.influence.top_counts import top_counts

if TYPE_CHECKING:
    from catwise.pipeline.results import Results

__all__ = [
    "MOST",
    "NEARLY_ALL",
    "RULES",
    "Answer",
    "acting",
    "counts",
    "diagonal",
    "line",
    "noise",
    "ratio",
    "ratio_rule",
    "rounds_accuracy",
    "rounds_noise",
    "spearman",
]

Answer = dict[str, Any]
NEARLY_ALL, MOST = 0.9, 0.5  # shares
STRAIGHT, CORRELATED = -0.9, -0.5  # correlations along y = -x
TRUTHS = {"linear": "room by construction", "nonlinear": "a ceiling by construction"}
RULES = {  # when a claim holds | when it holds in part; else it does not
    "noise": f"both shares at least {NEARLY_ALL} | both at least {MOST}",
    "line": f"correlation at most {STRAIGHT} | at most {CORRELATED}",
    "rounds.noise": f"after {ROUNDS} rounds no flipped label is left"
    f" | at least {NEARLY_ALL} of them are gone",
    "rounds.accuracy": f"mean accuracy rises in each of {ROUNDS} rounds that finds it below 100 %"
    " | it ends above removing as many at random",
    "diagonal": f"net of random removals all classes have the sign, and at least {MOST} of them"
    " significantly | more than half of them have it",
    "spearman": f"rho of one training above {SPEARMAN}"
    " | its interval, or rho of the mean over the seeds, reaches it",
    "counts": f"more than {MOST} in every class | more than {MOST} on average",
    "ratio.above": f"the interval lies above {RULE} | the value does",
    "ratio.rule": f"right in at least {NEARLY_ALL} of the cases with room, and of those at a"
    f" ceiling | in at least {MOST} of both",
    "acting": f"confirmed in at least {NEARLY_ALL} of the cases where it says so, and the interval"
    f" lies above {MOST} | in at least {MOST} of them",
}


def noise(results: "Results") -> list[Answer]:
    """Compare the flipped labels with the samples that harm both classes (Figure 2 B)."""
    flipped_n, joint_n = results.flipped_n.astype(bool), (results.vectors < 0).all(axis=1)
    flipped, joint = int(flipped_n.sum()), int(joint_n.sum())
    if not flipped or not joint:
        return [{"why": f"{flipped} labels are flipped, {joint} samples harm both classes"}]
    both = int((flipped_n & joint_n).sum())
    measurements = [
        share("of the flipped, joint negative:", both, flipped, "flipped", head=True),
        share("of the joint negative, flipped:", both, joint, "joint negative", head=True),
    ]
    worst = min(measurement.value for measurement in measurements)
    return [_answer(measurements, worst >= NEARLY_ALL, worst >= MOST)]


def line(results: "Results") -> list[Answer]:
    """Measure how straight the line of the vectors is (Figure 2 E), with Fisher's interval."""
    p_nk = results.vectors
    rho, n = float(np.corrcoef(p_nk.T)[0, 1]), len(p_nk)
    low, high = np.tanh(np.arctanh(rho) + np.array([-1.96, 1.96]) / (n - 3) ** 0.5)
    opposed = int((p_nk[:, 0] * p_nk[:, 1] < 0).sum())
    measurements = [
        Measurement("correlation", rho, float(low), float(high), n, "samples", head=True),
        share("help one class and harm the other:", opposed, n, "samples"),
    ]
    return [_answer(measurements, rho <= STRAIGHT, rho <= CORRELATED)]


def rounds_noise(results: "Results") -> list[Answer]:
    """Measure how many flipped labels three rounds of trimming remove (Figure 5)."""
    table = results.trimming.rounds
    ours = table[table["arm"] == "influence"].groupby("round").first()
    flips = int(results.flipped_n.sum())
    if not flips:
        return [{"why": "no label is flipped"}]
    last = int(ours.index.max())
    after = ours.loc[min(ROUNDS, last)]
    gone, removed = int(after["flipped_removed"]), int(after["removed"])
    measurements = [
        share(f"noise removed after {ROUNDS} rounds:", gone, flips, "flipped", head=True)
    ]
    if removed:
        measurements.append(share("of what was removed, flipped:", gone, removed, "removed"))
    label = "rounds until no sample harms both:"
    measurements.append(Measurement(label, float(last), form="count"))
    return [_answer(measurements, gone == flips, gone >= NEARLY_ALL * flips)]


def rounds_accuracy(results: "Results") -> list[Answer]:
    """Follow the mean accuracy of the classes over three rounds of trimming (Figure 5)."""
    table = results.trimming.rounds
    mean = 100 * table.groupby(["arm", "seed", "round"])["accuracy"].mean()
    ours = mean.loc["influence"].droplevel("seed")
    last = min(ROUNDS, ours.index.max())
    random = mean.loc["random"].xs(last, level="round").to_numpy()
    chance = mean_over("with as many removed at random", random, "seeds", "rate", head=True)
    measurements = []
    for n in range(last + 1):
        label = f"after round {n}" if n else "accuracy at first"
        value = float(ours[n])
        measurements.append(Measurement(label, value, form="rate", head=n in (0, last)))
    rises = (np.diff(ours.loc[:last]) > 0) | (ours.loc[: last - 1] == 100)
    above = float(ours[last]) > (chance.value if chance.high is None else chance.high)
    return [_answer([*measurements, chance], last == ROUNDS and bool(rises.all()), above)]


def diagonal(group: str, results: "Results") -> list[Answer]:
    """Judge what removing a class's own samples does to it (diagonals of Figure 3 B and E)."""
    changed, metrics = results.top_share.changes, results.metrics("removal")
    own = changed[(changed["group"] == group) & (changed["target"] == changed["class"])]
    random = changed[changed["group"] == "random"]
    plain, chance = (100 * rows.groupby("seed")["accuracy_change"].mean() for rows in (own, random))
    classes = len(results.classes)
    right = metrics[f"net_signs_accuracy_{group}"]
    significant = metrics[f"net_significant_accuracy_{group}"]
    net = (plain - chance).to_numpy()
    measurements = [
        mean_over("own class, net of random removals:", net, "seeds", "points", head=True),
        Measurement("not net:", float(plain.mean()), form="points"),
        Measurement(f"classes that do so, of {classes}:", right, form="count"),
        Measurement("significantly:", significant, form="count"),
    ]
    holds = right == classes and significant >= MOST * classes
    return [_answer(measurements, holds, right > MOST * classes)]


def spearman(group: str, results: "Results") -> list[Answer]:
    """Judge how well influence ranks the changes of all classes (Figure 3 C and F)."""
    table = results.top_share.correlations
    seeds = int(results.top_share.changes["seed"].nunique())
    wanted = {"group": group, "measure": "accuracy", "pairs": "all"}
    rows = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)].set_index("trainings")
    one, mean = rows.loc["one"], rows.loc["mean"]
    measurements = [
        _rho("rho of one training", one, seeds),
        _rho("of the mean", mean),
        Measurement("labels counted instead, of one training", float(one["counted"]), head=True),
    ]
    reached = np.fmax(one["high"], mean["rho"]) >= SPEARMAN  # one seed has no interval
    return [_answer(measurements, one["rho"] > SPEARMAN, reached)]


def counts(group: str, results: "Results") -> list[Answer]:
    """Count whose labels the samples bear that help or harm a class most (Figure 8)."""
    helpful, harmful = top_counts(results.vectors, results.labels_n, 0.1)
    prior = 1 / len(results.classes)
    if group == "beneficial":
        (expected_k, rest_k), label, chance = helpful, "own class", prior
    else:
        (rest_k, expected_k), label, chance = harmful, "other classes", 1 - prior
    share_k = expected_k / (expected_k + rest_k)
    measurements = [
        mean_over(f"{label}, of the top tenth:", share_k, "classes", "share", head=True),
        Measurement("lowest class:", float(share_k.min()), form="share"),
        Measurement("at random about:", chance, form="share"),
    ]
    return [_answer(measurements, bool((share_k > MOST).all()), bool(share_k.mean() > MOST))]


def ratio(results: "Results") -> list[Answer]:
    """Judge whether the first component's ratio lies above the paper's value (section 5.2)."""
    measurement = _first_ratio(results, "ratio")
    low = results.ceiling.first_component_ratio.low
    why = f"our verdict: {results.ceiling.verdict.sentence}"
    return [_answer([measurement], low > RULE, measurement.value > RULE) | {"why": why}]


def ratio_rule(results: Sequence["Results"], benchmark: dict[str, Any] | None) -> Answer:
    """Judge the paper's rule of room or ceiling against a known truth (section 5.2).

    The truth is known in the cases of ``benchmarks.science.hit_rates``, each repeated, and in the
    paper's two synthetic sets, which decide alone where the benchmark was not run.
    """
    measurements, right = _hit_rates(list(benchmark["cases"].values()) if benchmark else [])
    for one in results:
        if one.card.source in TRUTHS and one.ran("ceiling"):
            label = f"{one.dataset}, {TRUTHS[one.card.source]}:"
            measurement = _first_ratio(one, label)
            measurements.append(measurement)
            if not benchmark:
                right.append(float((measurement.value > RULE) == (one.card.source == "linear")))
    if not right:
        return {"why": "neither the benchmark of ceilings nor a synthetic set was run"}
    size = f"{len(benchmark['cases'])} cases" if benchmark else "two synthetic data sets"
    answer = _answer(measurements, min(right) >= NEARLY_ALL, min(right) >= MOST)
    return {"size": size, **answer}


def acting(answer: str, results: Sequence["Results"]) -> Answer:
    """Count how often new trainings confirm the verdicts that say room, or a ceiling (section 1).

    Where results are of the same data the last ones count: they are carried, and of more seeds.
    Trainings in which nothing is random do not count, because their gains have no noise to exceed.
    """
    retrained = [one for one in results if one.metrics("improve") and repeats(one)]
    distinct = {one.card.record["sha256"]: one for one in retrained}
    cases = [(one.ceiling.verdict.answer, one.metrics("improve")) for one in distinct.values()]
    matches = [metrics for said, metrics in cases if said == answer]
    size = f"{len(cases)} cases"
    if not matches:
        verdict = BESIDE if cases else ABSENT
        return {"why": f"the verdict says so in 0 of {size}", "verdict": verdict}
    right = sum(confirmed(answer, metrics) for metrics in matches)
    words = {"room": "the path gains, no class surely falls:", "ceiling": "no method gains:"}
    verdicts = "such verdict" if len(matches) == 1 else "such verdicts"
    measured = share(words[answer], right, len(matches), verdicts, head=True)
    measurements = [measured]
    if answer == "room":
        gains = sum(map(path_gains, matches))
        measurements.append(share("the path gains:", gains, len(matches), verdicts))
    undecided = [metrics for said, metrics in cases if said not in ("room", "ceiling")]
    if undecided:
        gains = sum(map(path_gains, undecided))
        label = "where nothing can be told, the path gains:"
        measurements.append(share(label, gains, len(undecided), "such cases"))
    right_mostly, sure = measured.value >= NEARLY_ALL, (measured.low or 0) > MOST
    reasons = []
    if right_mostly and not sure:
        reasons.append("so few verdicts leave a wide interval")
    for one in retrained:
        counted = distinct[one.card.record["sha256"]]
        if counted is not one and counted.ceiling.verdict.answer == answer:
            names = f"{one.dataset} and {counted.dataset}"
            reasons.append(f"{names} are the same data and count once")
    graded_answer = _answer(measurements, right_mostly and sure, measured.value >= MOST)
    return {"size": size, "why": "; ".join(reasons), **graded_answer}


def _hit_rates(cases: list[dict[str, Any]]) -> tuple[list[Measurement], list[float]]:
    """Measure how often the paper's rule and our verdict are right; return the paper's shares.

    Our verdict may also say that it cannot tell, so what it says rightly and wrongly stand apart.
    """
    measurements, right = [], []
    for room, name, said in ((True, "with room", "room"), (False, "at a ceiling", "ceiling")):
        alike = [case for case in cases if case["room"] is room]
        if not alike:
            continue
        hits, of = (sum(case["paper"][key] for case in alike) for key in ("hits", "of"))
        measurements.append(share(f"right {name}:", hits, of, "repetitions", head=True))
        right.append(hits / of)
        answers = {key: sum(case["answers"][key] for case in alike) for key in ("room", "ceiling")}
        decided = {"says so": answers.pop(said), "says the opposite": sum(answers.values())}
        for words, count in decided.items():
            label = f"our verdict {words} {name}:"
            measurements.append(share(label, count, of, "repetitions"))
    return measurements, right


def _rho(what: str, row: pd.Series, seeds: int | None = None) -> Measurement:
    low, high = (None if np.isnan(row[end]) else float(row[end]) for end in ("low", "high"))
    of = "" if seeds is None else "seeds"
    return Measurement(what, float(row["rho"]), low, high, seeds, of, head=seeds is not None)


def _first_ratio(results: "Results", what: str) -> Measurement:
    estimate, n = results.ceiling.first_component_ratio, len(results.vectors)
    ends = (estimate.value, estimate.low, estimate.high)
    return Measurement(what, *ends, n, "samples", head=True)


def _answer(measurements: list[Measurement], holds: bool, part: bool) -> Answer:
    return {"measurements": measurements, "verdict": graded(holds, part)}
