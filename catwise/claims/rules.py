"""How each claim about influence, removal and the ceiling is judged: the reports of a data set in, an answer out.

An answer is a list of what a ``catwise.claims.Claim`` still lacks: figures and verdict, or why there is none.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from catwise.claims.evidence import Evidence, Figure, graded, mean_over, share
from catwise.claims.paper import ROUNDS, RULE, SPEARMAN
from catwise.influence.top_counts import top_counts

__all__ = [
    "RULES",
    "Answer",
    "counts",
    "diagonal",
    "line",
    "noise",
    "ratio",
    "rounds_accuracy",
    "rounds_noise",
    "rule",
    "spearman",
]

Answer = dict[str, Any]
NEARLY_ALL, MOST = 0.9, 0.5  # shares
STRAIGHT, CORRELATED = -0.9, -0.5  # correlations along y = -x
RULES = {  # when a claim holds | when it holds in part; else it does not
    "noise": f"both shares at least {NEARLY_ALL} | both at least {MOST}",
    "line": f"correlation at most {STRAIGHT} | at most {CORRELATED}",
    "rounds.noise": f"after {ROUNDS} rounds no flipped label is left | at least {NEARLY_ALL} of them are gone",
    "rounds.accuracy": f"mean accuracy rises in each of {ROUNDS} rounds that finds it below 100 %"
    " | it ends above removing as many at random",
    "diagonal": f"net of random removals all classes have the sign, and at least {MOST} of them significantly"
    " | more than half of them have it",
    "spearman": f"rho of one training above {SPEARMAN} | its interval, or rho of the mean over the seeds, reaches it",
    "counts": f"more than {MOST} in every class | more than {MOST} on average",
    "ratio.above": f"the interval lies above {RULE} | the value does",
    "ratio.rule": f"right in at least {NEARLY_ALL} of the cases with room, and of those at a ceiling"
    f" | in at least {MOST} of both",
}


def noise(evidence: Evidence) -> list[Answer]:
    vectors = evidence.stages["influence"]
    flipped_n, joint_n = vectors["flipped"].astype(bool), (vectors["P"] < 0).all(axis=1)
    both = int((flipped_n & joint_n).sum())
    if not flipped_n.any() or not joint_n.any():
        return [
            {
                "why": f"{flipped_n.sum()} labels are flipped, {joint_n.sum()} samples harm both classes"
            }
        ]
    figures = [
        share("of the flipped, joint negative:", both, int(flipped_n.sum()), "flipped", head=True),
        share(
            "of the joint negative, flipped:", both, int(joint_n.sum()), "joint negative", head=True
        ),
    ]
    worst = min(figure.value for figure in figures)
    return [{"figures": figures, "verdict": graded(worst >= NEARLY_ALL, worst >= MOST)}]


def line(evidence: Evidence) -> list[Answer]:
    p_nk = evidence.stages["influence"]["P"]
    rho, n = float(np.corrcoef(p_nk.T)[0, 1]), len(p_nk)
    low, high = np.tanh(np.arctanh(rho) + np.array([-1.96, 1.96]) / (n - 3) ** 0.5)
    opposed = int((p_nk[:, 0] * p_nk[:, 1] < 0).sum())
    figures = [
        Figure("correlation", rho, float(low), float(high), n, "samples", head=True),
        share("help one class and harm the other:", opposed, n, "samples"),
    ]
    return [{"figures": figures, "verdict": graded(rho <= STRAIGHT, rho <= CORRELATED)}]


def rounds_noise(evidence: Evidence) -> list[Answer]:
    table = evidence.stages["removal"]["rounds"]
    ours = (
        table[table["arm"] == "influence"].groupby("round")[["flipped_removed", "removed"]].first()
    )
    flips = int(evidence.stages["influence"]["flipped"].sum())
    if not flips:
        return [{"why": "no label is flipped"}]
    taken = ours.loc[min(ROUNDS, ours.index.max())]
    gone, removed = int(taken["flipped_removed"]), int(taken["removed"])
    figures = [share(f"noise removed after {ROUNDS} rounds:", gone, flips, "flipped", head=True)]
    figures += [share("of what was removed, flipped:", gone, removed, "removed")] if removed else []
    figures.append(
        Figure("rounds until no sample harms both:", float(ours.index.max()), form="count")
    )
    return [{"figures": figures, "verdict": graded(gone == flips, gone >= NEARLY_ALL * flips)}]


def rounds_accuracy(evidence: Evidence) -> list[Answer]:
    table = evidence.stages["removal"]["rounds"]
    mean = 100 * table.groupby(["arm", "seed", "round"])["accuracy"].mean()
    ours = mean.loc["influence"].droplevel("seed")
    last = min(ROUNDS, ours.index.max())
    chance = mean_over(
        "with as many removed at random",
        mean.loc["random"].xs(last, level="round").to_numpy(),
        "seeds",
        "rate",
        head=True,
    )
    figures = [
        Figure(
            f"after round {n}" if n else "accuracy at first",
            float(ours[n]),
            form="rate",
            head=n in (0, last),
        )
        for n in range(last + 1)
    ]
    rises = last == ROUNDS and bool(
        ((np.diff(ours.loc[:last]) > 0) | (ours.loc[: last - 1] == 100)).all()
    )
    above = float(ours[last]) > (chance.value if chance.high is None else chance.high)
    return [{"figures": [*figures, chance], "verdict": graded(rises, above)}]


def diagonal(group: str, sign: int, evidence: Evidence) -> list[Answer]:
    changed, own = evidence.stages["removal"]["changes"], evidence.stages["removal"]["diagonal"]
    mine = changed[(changed["group"] == group) & (changed["target"] == changed["class"])]
    random = changed[changed["group"] == "random"]
    plain, chance = (
        100 * rows.groupby("seed")["accuracy_change"].mean() for rows in (mine, random)
    )
    rows = own[(own["measure"] == "accuracy") & (own["group"] == group)]
    right, sure = (
        int((sign * rows["net_mean"] > 0).sum()),
        int((rows["net_reading"] == "as the paper says").sum()),
    )
    figures = [
        mean_over(
            "own class, net of random removals:",
            (plain - chance).to_numpy(),
            "seeds",
            "points",
            head=True,
        ),
        Figure("not net:", float(plain.mean()), form="points"),
        Figure(f"classes that do so, of {len(rows)}:", right, form="count"),
        Figure("significantly:", sure, form="count"),
    ]
    enough = sure >= MOST * len(rows)
    return [
        {
            "figures": figures,
            "verdict": graded(right == len(rows) and enough, right > MOST * len(rows)),
        }
    ]


def spearman(group: str, evidence: Evidence) -> list[Answer]:
    table = evidence.stages["removal"]["correlations"]
    seeds = int(evidence.stages["removal"]["changes"]["seed"].nunique())
    rows = table[
        (table["group"] == group) & (table["measure"] == "accuracy") & (table["pairs"] == "all")
    ]
    one, mean = (rows[rows["trainings"] == name].iloc[0] for name in ("one", "mean"))
    figures = [
        Figure(
            "rho of one training",
            float(one["rho"]),
            float(one["low"]),
            float(one["high"]),
            seeds,
            "seeds",
            head=True,
        ),
        Figure("of the mean", float(mean["rho"]), float(mean["low"]), float(mean["high"])),
        Figure("labels counted instead", float(mean["counted"]), head=True),
    ]
    reached = max(one["high"], mean["rho"]) >= SPEARMAN
    return [{"figures": figures, "verdict": graded(one["rho"] > SPEARMAN, reached)}]


def counts(group: str, evidence: Evidence) -> list[Answer]:
    vectors = evidence.stages["influence"]
    own_k, other_k = top_counts(vectors["P"], vectors["y"], 0.1)[
        ("beneficial", "detrimental").index(group)
    ]
    share_k = own_k / (own_k + other_k) if group == "beneficial" else other_k / (own_k + other_k)
    label = "own class" if group == "beneficial" else "other classes"
    prior = 1 / len(share_k)
    figures = [
        mean_over(f"{label}, of the top tenth:", share_k, "classes", "share", head=True),
        Figure("lowest class:", float(share_k.min()), form="share"),
        Figure("at random about:", prior if group == "beneficial" else 1 - prior, form="share"),
    ]
    return [
        {
            "figures": figures,
            "verdict": graded(bool((share_k > MOST).all()), bool(share_k.mean() > MOST)),
        }
    ]


def ratio(evidence: Evidence) -> list[Answer]:
    figure = first_ratio(evidence, "ratio")
    low = figure.value if figure.low is None else figure.low
    said = evidence.stages["ceiling"]["metrics"].get("verdict")
    why = f"by the cross-fitted headroom: {said}" if said else ""
    return [{"figures": [figure], "verdict": graded(low > RULE, figure.value > RULE), "why": why}]


def first_ratio(evidence: Evidence, what: str) -> Figure:
    found = evidence.stages["ceiling"]["ceiling"]["first_component_ratio"]
    n = len(evidence.stages["influence"]["P"])
    if not isinstance(found, dict):  # of a set measured before there were intervals
        return Figure(what, found, n=n, of="samples", head=True)
    return Figure(what, found["value"], found["low"], found["high"], n, "samples", head=True)


def rule(found: Sequence[Evidence], benchmark: dict[str, Any] | None) -> Answer:
    """Against a known truth: repetitions of cases with room and at a ceiling, and the paper's two synthetic sets."""
    built = {"linear": "room by construction", "nonlinear": "a ceiling by construction"}
    sets = [
        evidence for evidence in found if evidence.source in built and "ceiling" in evidence.stages
    ]
    figures, right = [], []
    for room, name in ((True, "with room"), (False, "at a ceiling")):
        cases = (
            [case for case in benchmark["cases"].values() if case["room"] is room]
            if benchmark
            else []
        )
        for rule, short in (("paper", "right"), ("verdict", "our verdict")) if cases else ():
            hits, of = (sum(case[rule][key] for case in cases) for key in ("hits", "of"))
            figures.append(share(f"{short} {name}:", hits, of, "repetitions", head=rule == "paper"))
            right += [hits / of] if rule == "paper" else []
    for evidence in sets:
        figure = first_ratio(evidence, f"{evidence.dataset}, {built[evidence.source]}:")
        figures.append(figure)
        right += (
            [] if benchmark else [float((figure.value > RULE) == (evidence.source == "linear"))]
        )
    if not right:
        return {"why": "neither the benchmark of ceilings nor a synthetic set was run"}
    verdict = graded(min(right) >= NEARLY_ALL, min(right) >= MOST)
    size = f"{len(benchmark['cases'])} cases" if benchmark else "two synthetic data sets"
    return {"size": size, "figures": figures, "verdict": verdict}
