"""Verdicts follow from the results, and a claim without its source says so."""

import copy
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from catwise.ceiling.verdict import Verdict
from catwise.claims.evidence import (
    ABSENT,
    BESIDE,
    HOLDS,
    NOT,
    PART,
    Evidence,
    mean_over,
    share,
    size,
)
from catwise.claims.judge import RULES, claims
from catwise.claims.paper import STATEMENTS, TABLE_1
from catwise.core.statistics import Estimate
from catwise.pipeline.records import Ceiling
from catwise.pipeline.results import Results, names
from catwise.pipeline.tables import TABLES
from catwise.removal import effects
from catwise.reweighting import table1

CLASSES = ("a", "b", "c")


def changed(own: float) -> pd.DataFrame:
    """Lower the class aimed at by ``own`` without the beneficial, raise it without the detrimental.

    Random removals do little.
    """
    rows = []
    for group, sign in (("beneficial", -1), ("detrimental", 1), ("random", 0)):
        for number, target in enumerate(CLASSES):
            for seed in range(3):
                for k, name in enumerate(CLASSES):
                    aimed = sign != 0 and target == name
                    change = sign * own * (1.0 + number) if aimed else 0.001 * (k - 1)
                    rows.append(
                        {
                            "group": group,
                            "target": target if sign else "",
                            "draw": None if sign else number + 1,
                            "seed": seed,
                            "class": name,
                            "influence": -change,
                            "labelled": k,
                            "accuracy_change": change + seed / 1e4,
                            "loss_change": -change + seed / 1e4,
                        }
                    )
    return pd.DataFrame(rows).astype({"draw": "Int64"})


def removed(own: float) -> dict[str, object]:
    changes = changed(own)
    correlations, diagonal = effects.correlations(changes), effects.diagonal(changes)
    tables = SimpleNamespace(changes=changes, correlations=correlations, diagonal=diagonal)
    return {"top_share": tables, "removal": effects.summary(correlations, diagonal)}


def reweighted(gain: dict[str, float], printed: dict[str, float]) -> dict[str, object]:
    """Make a case with target a; ``gain`` is in net points, over seeds that hardly differ."""
    net_sk = np.array([[gain[name] for name in CLASSES]] * 2) / 100 + np.array([[0.0001], [0.0]])
    net = table1.net_effect(net_sk, np.zeros((2, 3)))
    method = table1.Method("lp_ga", anchor="start", rule="printed", program="linear")
    state = {"case": "direct_improvement", **method.columns, "measure": "accuracy"}
    table = pd.DataFrame(table1.class_rows(state, list(CLASSES), [0], {}, net))
    shown = [
        {
            "case": "direct_improvement",
            "class": name,
            "target": name == "a",
            "change": printed[name],
        }
        for name in CLASSES
    ]
    case = {"case": "direct_improvement", "kind": "direct_improvement", "seeds": 2}
    tables = SimpleNamespace(
        cases=pd.DataFrame([case]),
        table=table.astype({"target": bool, "shuffled": bool}),
        printed=pd.DataFrame(shown),
        refresh=pd.DataFrame(columns=list(TABLES["reweight/refresh"])),
    )
    return {"reweight": tables}


def vectors(noisy_harm_both: bool = True, n: int = 100) -> dict[str, np.ndarray]:
    """Make vectors along y = -x, but for ten flipped labels."""
    along = np.linspace(-1, 1, n)
    p_nk = np.stack([along, -along], axis=1)
    flipped_n = np.arange(n) < 10
    p_nk[flipped_n] = -1 if noisy_harm_both else 1
    return {"vectors": p_nk, "flipped_n": flipped_n, "labels_n": np.arange(n) % 2}


STAGES = {  # the stage that makes each of the results
    "vectors": "influence",
    "trimming": "removal",
    "top_share": "removal",
    "ceiling": "ceiling",
    "reweight": "reweight",
}


def make_evidence(source: str, **parts: object) -> Evidence:
    """Hold results with these parts alone; a stage without a part has not run."""
    ran = {STAGES[name] for name in parts if name in STAGES}
    results = SimpleNamespace(
        dataset=f"{source}_small",
        card=SimpleNamespace(source=source),
        classes=CLASSES,
        ran=lambda stage: stage in ran,
        metrics=lambda stage: parts[stage],
        **parts,
    )
    return Evidence(results, "some samples", True)


def claims_of(key: str, *evidences: Evidence, benchmark: dict | None = None):
    return [claim for claim in claims(evidences, benchmark) if claim.key == key]


def verdict(key: str, *evidences: Evidence) -> str:
    dataset = evidences[0].results.dataset
    (claim,) = [claim for claim in claims_of(key, *evidences) if claim.dataset == dataset]
    return claim.verdict


def test_every_claim_is_answered_even_without_any_data_set_and_says_why():
    rows = claims([], None)
    assert {claim.key for claim in rows} == set(STATEMENTS)
    assert {claim.verdict for claim in rows} == {ABSENT}
    assert all(claim.why for claim in rows)
    assert any("make paper DATASET=stl10" in claim.why for claim in rows)


def test_every_claim_has_a_rule():
    for key in STATEMENTS:
        assert {key, *key.split(".")} & set(RULES), key


def test_a_stage_that_did_not_run_is_said_and_not_judged():
    (claim,) = claims_of("spearman.beneficial", make_evidence("cifar10"))[:1]
    assert (claim.verdict, claim.why) == (ABSENT, "stage removal was not run on it")


def test_noise_that_harms_both_classes_holds_and_noise_that_helps_does_not():
    assert verdict("noise", make_evidence("linear", **vectors())) == HOLDS
    both = vectors(noisy_harm_both=False)
    both["vectors"][10:12] = -1
    assert verdict("noise", make_evidence("linear", **both)) == NOT


def test_vectors_on_a_line_hold_and_a_round_cloud_does_not():
    clean = vectors()
    clean["vectors"] = np.stack([np.linspace(-1, 1, 100), -(np.linspace(-1, 1, 100) ** 3)], axis=1)
    assert verdict("line", make_evidence("nonlinear", **clean)) == HOLDS
    clean["vectors"] = np.random.default_rng(0).normal(size=(100, 2))
    assert verdict("line", make_evidence("nonlinear", **clean)) == NOT


def rounds(accuracies: list[float], gone: list[int]) -> dict[str, object]:
    rows = []
    for number, (accuracy, flips) in enumerate(zip(accuracies, gone, strict=True)):
        state = {"round": number, "flipped_removed": flips, "removed": flips}
        rows += [
            {"arm": "influence", "seed": 0, "accuracy": accuracy, "class": name} | state
            for name in "ab"
        ]
        chance = {"arm": "random", "accuracy": accuracies[0]} | state
        rows += [{"seed": seed, "class": name} | chance for seed in range(3) for name in "ab"]
    return {"trimming": SimpleNamespace(rounds=pd.DataFrame(rows))}


@pytest.mark.parametrize(
    ("accuracies", "gone", "noise", "accuracy"),
    [
        ([0.9, 0.95, 0.97, 0.99], [0, 5, 8, 10], HOLDS, HOLDS),
        ([0.9, 1.0, 1.0, 1.0], [0, 5, 8, 9], PART, HOLDS),  # what is perfect cannot rise
        ([0.9, 0.95, 0.94, 0.95], [0, 5, 8, 8], NOT, PART),
        ([0.9, 0.95], [0, 10], HOLDS, PART),  # fewer rounds
        ([0.9, 0.8, 0.7, 0.7], [0, 1, 1, 1], NOT, NOT),
    ],
)
def test_trimming_is_judged_after_three_rounds(accuracies, gone, noise, accuracy):
    evidence = make_evidence("linear", **vectors(), **rounds(accuracies, gone))
    assert (verdict("rounds.noise", evidence), verdict("rounds.accuracy", evidence)) == (
        noise,
        accuracy,
    )


@pytest.mark.parametrize(("own", "expected"), [(0.1, HOLDS), (-0.1, NOT)])
def test_the_diagonal_and_rho_follow_the_changes(own, expected):
    evidence = make_evidence("emotion", **removed(own))
    assert verdict("diagonal.beneficial", evidence) == expected
    assert verdict("diagonal.detrimental", evidence) == expected
    (claim,) = [
        claim for claim in claims_of("diagonal.beneficial", evidence) if claim.verdict != ABSENT
    ]
    assert claim.measurements[0].value == pytest.approx(
        -100 * own * 2
    )  # mean over the classes, net of random


def test_rho_above_the_papers_value_holds_with_the_baseline_beside_it():
    evidence = make_evidence("stl10", **removed(0.1))
    (claim,) = [
        claim
        for claim in claims_of("spearman.detrimental", evidence)
        if claim.dataset == evidence.results.dataset
    ]
    assert claim.verdict == HOLDS
    assert [one.what for one in claim.measurements if one.head] == [
        "rho of one training",
        "labels counted instead, of one training",
    ]


def test_whose_samples_help_a_class_is_counted():
    p_nk = np.eye(2)[np.arange(100) % 2] - 0.5
    parts = {"vectors": p_nk, "labels_n": np.arange(100) % 2, "flipped_n": np.zeros(100)}
    assert verdict("counts.beneficial", make_evidence("cifar10", **parts)) == HOLDS
    assert verdict("counts.detrimental", make_evidence("cifar10", **parts)) == HOLDS
    assert (
        verdict("counts.beneficial", make_evidence("cifar10", **parts | {"vectors": -p_nk})) == NOT
    )


def checked(value: float, low: float) -> dict[str, object]:
    other = Estimate(0.1, 0.05, 0.2)
    ratio, pair = Estimate(value, low, 1.0), ("a", "b")
    verdict = Verdict("room", other, pair, 0.5)
    return {"ceiling": Ceiling(ratio, other, pair, 0.5, verdict, record={}), **vectors()}


@pytest.mark.parametrize(
    ("value", "low", "expected"), [(0.3, 0.25, HOLDS), (0.3, 0.1, PART), (0.1, 0.0, NOT)]
)
def test_the_ratio_is_above_only_with_its_interval(value, low, expected):
    evidence = make_evidence("cifar10", **checked(value, low))
    assert verdict("ratio.above", evidence) == expected


def test_the_rule_is_judged_by_the_worse_of_its_two_answers():
    def benchmark(with_room: int, at_a_ceiling: int) -> dict:
        truth = (
            {"room": True, "answers": {"room": 7, "ceiling": 1}},
            {"room": False, "answers": {"room": 2, "ceiling": 5}},
        )
        hits = with_room, at_a_ceiling
        return {
            "cases": {
                n: case | {"paper": {"hits": h, "of": 10}}
                for n, (case, h) in enumerate(zip(truth, hits, strict=True))
            }
        }

    for hits, expected in (((10, 10), HOLDS), ((10, 6), PART), ((10, 0), NOT)):
        (claim,) = claims_of("ratio.rule", benchmark=benchmark(*hits))
        assert claim.verdict == expected
    shares = [round(10 * one.value) for one in claim.measurements]
    assert shares == [10, 7, 1, 0, 5, 2]  # the paper's; ours rightly, ours wrongly
    straight = make_evidence("nonlinear", **checked(0.97, 0.9))
    (claim,) = claims_of("ratio.rule", straight)
    assert claim.verdict == NOT  # a ceiling by construction, and the rule sees room


def retrained(
    answer: str,
    gained: float = 0.0,
    down: int = 0,
    error: int = 0,
    data: str = "",
    model: str = "cnn",
) -> SimpleNamespace:
    """Hold the verdict and the metrics of ``improve`` of a case.

    ``gained`` is the lower end of what the path gains. The data are its own if not named.
    """
    lows = {"mean_net_low": gained, "worst_net_low": -1.0, "classes_fall": down}
    metrics = {"others_gain": error, **lows}
    card = SimpleNamespace(record={"sha256": data or object()})
    ceiling = SimpleNamespace(verdict=SimpleNamespace(answer=answer))
    return SimpleNamespace(
        metrics=lambda stage: metrics,
        card=card,
        ceiling=ceiling,
        dataset=data or "one",
        parameters={"train": {"model": model}},
    )


def test_a_verdict_is_confirmed_by_the_cases_in_which_it_says_so():
    silent = SimpleNamespace(metrics=lambda stage: {})  # nothing was trained anew
    without_noise = retrained("ceiling", model="logistic")
    cases = [silent, retrained("room", 1), retrained("room", 0), retrained("too_few_samples", 1)]
    cases.append(without_noise)
    found = {claim.key: claim for claim in claims([], None, cases)}
    room, ceiling = found["acting.room"], found["acting.ceiling"]
    assert (room.verdict, room.size) == (PART, "3 cases")
    assert [(one.value, one.n) for one in room.measurements] == [(0.5, 2), (0.5, 2), (1.0, 1)]
    assert (ceiling.verdict, ceiling.why) == (BESIDE, "the verdict says so in 0 of 3 cases")
    for count, error, expected in ((1, 0, PART), (6, 0, HOLDS), (1, 1, NOT)):  # one shows little
        found = claims([], None, [retrained("ceiling", error=error) for _ in range(count)])
        assert found[-1].verdict == expected


def test_room_is_confirmed_where_no_class_falls_and_the_same_data_count_once():
    cases = [
        retrained("room", 0, data="digits"),
        retrained("room", 1, data="digits"),
        retrained("room", 1, down=2, data="others"),
    ]
    (room,) = (claim for claim in claims([], None, cases) if claim.key == "acting.room")
    assert [(one.value, one.n) for one in room.measurements] == [(0.5, 2), (1.0, 2)]
    assert room.why == "digits and digits are the same data and count once"
    (room,) = (claim for claim in claims([], None, cases[:2]) if claim.key == "acting.room")
    assert room.why.startswith("so few verdicts leave a wide interval; digits and")


@pytest.mark.parametrize(
    ("gain", "printed", "targets", "others"),
    [
        ({"a": 3, "b": 0.001, "c": 0.001}, {"a": 10, "b": -1, "c": 0}, HOLDS, HOLDS),
        ({"a": 0, "b": 0.001, "c": -3}, {"a": 10, "b": -1, "c": 0}, PART, PART),  # as printed alone
        ({"a": -3, "b": 0.001, "c": -3}, {"a": -1, "b": -5, "c": 0}, NOT, NOT),
    ],
)
def test_table_one_is_judged_net_of_the_control_and_as_printed(gain, printed, targets, others):
    evidence = make_evidence("digits", **reweighted(gain, printed))
    assert (verdict("direct.targets", evidence), verdict("direct.others", evidence)) == (
        targets,
        others,
    )
    rows = [
        row
        for key in ("direct.targets", "direct.others")
        for row in claims_of(key, evidence)[-1].rows
    ]
    assert [(row["class"], row["target"], row["paper"]) for row in rows] == [
        ("a", True, None),
        ("b", False, None),
        ("c", False, None),
    ]
    course = claims_of("course.targets", evidence)[-1]
    assert (course.verdict, course.why) == (ABSENT, "no course correction is among its cases")


def refreshed(gain: dict[table1.Method, float]) -> dict[str, object]:
    """Make seeds that differ a little around the gain in points of a target of two classes."""
    rows = []
    for method, points in gain.items():
        after_sk = 0.5 + np.array([[points + 0.1, 0], [points - 0.1, 0], [points, 0]]) / 100
        state = {"case": "direct_improvement", **method.columns, "measure": "accuracy"}
        rows += table1.refresh_rows(state, ["a", "b"], [0], np.full(2, 0.5), after_sk, [1, 2, 3])
    table = pd.DataFrame(rows, columns=list(TABLES["reweight/refresh"]))
    tables = reweighted(dict.fromkeys(CLASSES, 0.0), dict.fromkeys(CLASSES, 0.0))["reweight"]
    tables.refresh = table.astype({"target": bool, "shuffled": bool})
    return {"reweight": tables}


SEARCH = table1.Method("lp_ga", anchor="start", rule="printed", program="linear")


@pytest.mark.parametrize(
    ("refresh", "weights", "expected"),
    [(16.8, 17.2, HOLDS), (10.0, 17.2, PART), (2.0, 17.2, NOT), (3.0, -1.0, BESIDE)],
)
def test_the_refresh_explains_the_share_of_the_gain_that_it_gives_alone(refresh, weights, expected):
    gain = {table1.REFRESH: refresh, table1.ALL_ONES: 1.0, SEARCH: weights}
    (claim,) = claims_of("refresh", make_evidence("digits", **refreshed(gain)))[-1:]
    assert claim.verdict == expected
    if expected != BESIDE:
        first = claim.measurements[0]
        assert first.value == pytest.approx(refresh / weights)
        assert first.low < first.value < first.high
    assert [one.value for one in claim.measurements if one.what.startswith("targets, ")] == (
        pytest.approx([refresh, 1.0, weights])
    )


def test_a_model_without_batch_norm_has_nothing_to_refresh():
    evidence = make_evidence("digits", **refreshed({}))
    (claim,) = claims_of("refresh", evidence)[-1:]
    assert (claim.verdict, claim.why) == (BESIDE, "the model has no batch norm")
    tables = evidence.results.reweight
    tables.cases = tables.cases[:0]
    (claim,) = claims_of("refresh", evidence)[-1:]
    assert (claim.verdict, claim.why) == (ABSENT, "no epoch was taken again")


def test_a_case_without_a_search_says_that_there_was_none():
    tables = reweighted(dict.fromkeys(CLASSES, 0.0), dict.fromkeys(CLASSES, 0.0))["reweight"]
    tables.table["family"] = "direction"
    (claim,) = claims_of("direct.targets", make_evidence("digits", reweight=tables))[-1:]
    assert (claim.verdict, claim.why) == (ABSENT, "nothing was searched in this case")


def test_the_papers_own_row_stands_beside_the_same_class_of_cifar10():
    tables = reweighted(dict.fromkeys(CLASSES, 1.0), dict.fromkeys(CLASSES, 1.0))
    (claim,) = claims_of("direct.others", make_evidence("cifar10", **tables))
    assert [(row["paper"], row["paper_target"]) for row in claim.rows] == [
        (-0.78, False),
        (11.39, True),
    ]


def test_table_one_is_copied_without_a_slip():
    """The changes that the paper prints are those of its accuracies, but for one, which is told."""
    for kind, half in TABLE_1.items():
        off = [
            k
            for k, (before, after, change) in enumerate(half.rows)
            if abs(100 * (after / before - 1) - change) > 0.06
        ]
        assert off == ([6] if kind == "direct_improvement" else [])


def test_intervals_hold_their_value_and_narrow_with_n():
    few, many = share("s", 7, 10, "x"), share("s", 700, 1000, "x")
    assert few.low < 0.7 < few.high
    assert many.high - many.low < few.high - few.low
    assert mean_over("m", np.array([1.0]), "seeds", "plain").low is None


def test_size_says_reduced_only_of_what_is_less_than_the_paper():
    full = {"prepare": {"train": "all"}, "train": {"model": "resnet9", "width": 64, "epochs": 25}}
    search = {"generations": 20, "population": 24}

    def sized(parameters: dict, paper: dict | None) -> tuple[str, bool]:
        card = SimpleNamespace(counts={"train": (5, 5)})
        return size(SimpleNamespace(card=card, parameters=parameters), paper)

    assert sized(full | {"reweight": search}, full) == (
        "10 training samples, resnet9, width 64, 25 epochs, search of 20 generations of 24",
        False,
    )
    assert sized(full | {"reweight": search | {"generations": 3}}, full)[1]
    less = copy.deepcopy(full)
    less["train"]["width"] = 8
    assert sized(less, full)[1]
    assert sized(full | {"prepare": {"train": 10}}, full)[1]
    assert sized(less, None) == (
        "10 training samples, resnet9, width 8, 25 epochs, not in the paper",
        False,
    )
    assert not sized(less | {"reweight": search}, None)[1]
    assert sized(less | {"reweight": search | {"population": 8}}, None)[1]


def test_a_record_says_in_words_what_it_holds_in_numbers():
    (claim,) = claims_of("ratio.above", make_evidence("cifar10", **checked(0.3, 0.25)))
    record = claim.record()
    assert record["says"] == STATEMENTS["ratio.above"].says
    assert record["ours"] == record["head"] == "ratio 0.30 (0.25 to 1.00; 100 samples)"
    assert record["measurements"][0]["value"] == 0.3


@pytest.mark.slow
def test_each_claim_keeps_a_source_in_what_the_repository_carries(monkeypatch, request):
    """No claim about a data set that is carried goes quiet, though some are not measured whole."""
    monkeypatch.chdir(request.config.rootpath)
    carried = [Results.carried(name) for name in names()]
    assert carried
    judged = claims([Evidence(results, "", True) for results in carried], None)
    for results in carried:
        about = [claim for claim in judged if claim.dataset == results.dataset]
        expected = {"counts.beneficial", "counts.detrimental", "ratio.above"}
        if results.removal is not None:
            expected = {"spearman.beneficial", "spearman.detrimental"}
        elif results.parameters["prepare"]["source"] in ("emotion", "ag_news"):
            expected = set()  # the paper claims nothing else of texts
        assert expected <= {claim.key for claim in about if claim.measurements}
