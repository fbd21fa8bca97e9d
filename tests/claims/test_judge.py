"""Verdicts follow from the reports, and a claim that loses its source says so."""

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from catwise.claims.evidence import ABSENT, HOLDS, NOT, PART, Evidence, mean_over, share, size
from catwise.claims.judge import RULES, claims
from catwise.claims.paper import STATEMENTS, TABLE_1
from catwise.core.errors import InputError
from catwise.removal import effects
from catwise.reweighting import table1
from docs.readme import told

CLASSES = ("a", "b", "c")


def changed(own: float) -> pd.DataFrame:
    """Removing the beneficial lowers the class aimed at by ``own``, the detrimental raises it; random does little."""
    rows = []
    for group, sign in (("beneficial", -1), ("detrimental", 1), ("random", 0)):
        for number, target in enumerate(CLASSES if sign else ("draw 1", "draw 2", "draw 3")):
            for seed in range(3):
                for k, name in enumerate(CLASSES):
                    change = sign * own * (1.0 + number) if target == name else 0.001 * (k - 1)
                    rows.append(
                        {"group": group, "target": target, "seed": seed, "class": name}
                        | {"labelled": k}
                    )
                    rows[-1] |= {
                        "accuracy_change": change + seed / 1e4,
                        "loss_change": -change + seed / 1e4,
                    }
                    rows[-1]["influence"] = -change
    return pd.DataFrame(rows)


def removed(own: float) -> dict[str, pd.DataFrame]:
    rows = changed(own)
    return {
        "changes": rows,
        "correlations": effects.correlations(rows),
        "diagonal": effects.diagonal(rows),
    }


def reweighted(gain: dict[str, float], printed: dict[str, float]) -> dict[str, object]:
    """Case with target a; ``gain``: net points of each class over two seeds that hardly differ."""
    net_sk = np.array([[gain[name] for name in CLASSES]] * 2) / 100 + np.array([[0.0001], [0.0]])
    net = table1.net_effect(net_sk, np.zeros((2, 3)))
    rows = table1.long(
        {"method": "LP-GA printed linear, start", "measure": "accuracy"},
        list(CLASSES),
        [0],
        {},
        net,
    )
    case = {"case": "direct improvement, 10 to 11, as trained"}
    shown = [
        {**case, "class": name, "target": name == "a", "change": printed[name]} for name in CLASSES
    ]
    return {
        "table": pd.DataFrame([case | row for row in rows]),
        "printed": pd.DataFrame(shown),
        "seeds": 2,
    }


def vectors(noisy_harm_both: bool = True, n: int = 100) -> dict[str, np.ndarray]:
    """Along y = -x, but for ten flipped labels."""
    along = np.linspace(-1, 1, n)
    p_nk = np.stack([along, -along], axis=1)
    flipped = np.arange(n) < 10
    p_nk[flipped] = -1 if noisy_harm_both else 1
    return {"P": p_nk, "flipped": flipped, "y": np.arange(n) % 2}


def evidence(source: str, **stages: dict) -> Evidence:
    return Evidence(f"{source}_small", source, CLASSES, "some samples", True, stages)


def found(key: str, *evidences: Evidence, benchmark: dict | None = None):
    return [claim for claim in claims(evidences, benchmark) if claim.key == key]


def verdict(key: str, *evidences: Evidence, benchmark: dict | None = None) -> str:
    dataset = evidences[0].dataset
    (claim,) = [
        claim for claim in found(key, *evidences, benchmark=benchmark) if claim.dataset == dataset
    ]
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


@pytest.mark.parametrize("column", ["rho", "low", "counted"])
def test_a_column_that_is_gone_is_an_error_that_names_the_claim(column):
    tables = removed(0.1)
    tables["correlations"] = tables["correlations"].drop(columns=column)
    with pytest.raises(
        InputError, match=rf"claim spearman.beneficial, digits_small: expected '{column}'"
    ):
        claims([evidence("digits", removal=tables)], None)


@pytest.mark.parametrize(
    ("source", "stage", "content", "lost"),
    [
        ("linear", "influence", vectors(), "flipped"),
        ("nonlinear", "influence", vectors(), "P"),
        ("linear", "removal", {"rounds": pd.DataFrame()}, "rounds"),
        ("cifar10", "removal", removed(0.1), "changes"),
        ("cifar10", "removal", removed(0.1), "diagonal"),
        (
            "cifar10",
            "reweight",
            reweighted(dict.fromkeys(CLASSES, 1.0), dict.fromkeys(CLASSES, 1.0)),
            "table",
        ),
        (
            "cifar10",
            "ceiling",
            {"ceiling": {"first_component_ratio": 0.3}, "metrics": {}},
            "ceiling",
        ),
    ],
)
def test_a_file_that_is_gone_from_a_stage_that_ran_is_an_error(source, stage, content, lost):
    rest = {key: value for key, value in content.items() if key != lost}
    with pytest.raises(InputError, match=f"expected '{lost}' in the reports of {stage}"):
        claims([evidence(source, **{stage: rest})], None)


def test_a_stage_that_did_not_run_is_said_and_not_judged():
    (claim,) = found("spearman.beneficial", evidence("cifar10"))[:1]
    assert (claim.verdict, claim.why) == (ABSENT, "stage removal was not run on it")


def test_noise_that_harms_both_classes_holds_and_noise_that_helps_does_not():
    assert verdict("noise", evidence("linear", influence=vectors())) == HOLDS
    both = vectors(noisy_harm_both=False)
    both["P"][10:12] = -1
    assert verdict("noise", evidence("linear", influence=both)) == NOT


def test_vectors_on_a_line_hold_and_a_round_cloud_does_not():
    clean = vectors()
    clean["P"] = np.stack([np.linspace(-1, 1, 100), -(np.linspace(-1, 1, 100) ** 3)], axis=1)
    assert verdict("line", evidence("nonlinear", influence=clean)) == HOLDS
    clean["P"] = np.random.default_rng(0).normal(size=(100, 2))
    assert verdict("line", evidence("nonlinear", influence=clean)) == NOT


def rounds(accuracies: list[float], gone: list[int]) -> dict[str, pd.DataFrame]:
    rows = []
    for number, (accuracy, flips) in enumerate(zip(accuracies, gone, strict=True)):
        state = {"round": number, "flipped_removed": flips, "removed": flips}
        rows += [
            {"arm": "influence", "seed": 0, "accuracy": accuracy, "class": name} | state
            for name in "ab"
        ]
        chance = {"arm": "random", "accuracy": accuracies[0]} | state
        rows += [{"seed": seed, "class": name} | chance for seed in range(3) for name in "ab"]
    return {"rounds": pd.DataFrame(rows)}


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
    mine = evidence("linear", influence=vectors(), removal=rounds(accuracies, gone))
    assert (verdict("rounds.noise", mine), verdict("rounds.accuracy", mine)) == (noise, accuracy)


@pytest.mark.parametrize(("own", "expected"), [(0.1, HOLDS), (-0.1, NOT)])
def test_the_diagonal_and_rho_follow_the_changes(own, expected):
    mine = evidence("emotion", removal=removed(own))
    assert verdict("diagonal.beneficial", mine) == expected
    assert verdict("diagonal.detrimental", mine) == expected
    (claim,) = [claim for claim in found("diagonal.beneficial", mine) if claim.verdict != ABSENT]
    assert claim.figures[0].value == pytest.approx(
        -100 * own * 2
    )  # mean over the classes, net of random


def test_rho_above_the_papers_value_holds_with_the_baseline_beside_it():
    mine = evidence("stl10", removal=removed(0.1))
    (claim,) = [
        claim for claim in found("spearman.detrimental", mine) if claim.dataset == mine.dataset
    ]
    assert claim.verdict == HOLDS
    assert [figure.what for figure in claim.figures if figure.head] == [
        "rho of one training",
        "labels counted instead",
    ]


def test_whose_samples_help_a_class_is_counted():
    p_nk = np.eye(2)[np.arange(100) % 2] - 0.5
    mine = {"P": p_nk, "y": np.arange(100) % 2, "flipped": np.zeros(100)}
    assert verdict("counts.beneficial", evidence("cifar10", influence=mine)) == HOLDS
    assert verdict("counts.detrimental", evidence("cifar10", influence=mine)) == HOLDS
    assert verdict("counts.beneficial", evidence("cifar10", influence=mine | {"P": -p_nk})) == NOT


def checked(value: float, low: float) -> dict[str, dict]:
    return {
        "ceiling": {"first_component_ratio": {"value": value, "low": low, "high": 1.0}},
        "metrics": {},
    }


@pytest.mark.parametrize(
    ("value", "low", "expected"), [(0.3, 0.25, HOLDS), (0.3, 0.1, PART), (0.1, 0.0, NOT)]
)
def test_the_ratio_is_above_only_with_its_interval(value, low, expected):
    mine = evidence("cifar10", ceiling=checked(value, low), influence=vectors())
    assert verdict("ratio.above", mine) == expected


def test_the_rule_is_judged_by_the_worse_of_its_two_answers():
    def benchmark(with_room: int, at_a_ceiling: int) -> dict:
        truth = (
            {"room": True, "verdict": {"hits": 9, "of": 10}},
            {"room": False, "verdict": {"hits": 9, "of": 10}},
        )
        hits = with_room, at_a_ceiling
        return {
            "cases": {
                n: case | {"paper": {"hits": h, "of": 10}}
                for n, (case, h) in enumerate(zip(truth, hits, strict=True))
            }
        }

    for hits, expected in (((10, 10), HOLDS), ((10, 6), PART), ((10, 0), NOT)):
        (claim,) = found("ratio.rule", benchmark=benchmark(*hits))
        assert claim.verdict == expected
    straight = evidence("nonlinear", ceiling=checked(0.97, 0.9), influence=vectors())
    (claim,) = found("ratio.rule", straight)
    assert claim.verdict == NOT  # a ceiling by construction, and the rule sees room


@pytest.mark.parametrize(
    ("gain", "printed", "targets", "others"),
    [
        ({"a": 3, "b": 0.001, "c": 0.001}, {"a": 10, "b": -1, "c": 0}, HOLDS, HOLDS),
        ({"a": 0, "b": 0.001, "c": -3}, {"a": 10, "b": -1, "c": 0}, PART, PART),  # as printed alone
        ({"a": -3, "b": 0.001, "c": -3}, {"a": -1, "b": -5, "c": 0}, NOT, NOT),
    ],
)
def test_table_one_is_judged_net_of_the_control_and_as_printed(gain, printed, targets, others):
    mine = evidence("digits", reweight=reweighted(gain, printed))
    assert (verdict("direct.targets", mine), verdict("direct.others", mine)) == (targets, others)
    rows = [row for key in ("direct.targets", "direct.others") for row in found(key, mine)[-1].rows]
    assert [(row["class"], row["target"], row["paper"]) for row in rows] == [
        ("a", True, None),
        ("b", False, None),
        ("c", False, None),
    ]
    course = found("course.targets", mine)[-1]
    assert (course.verdict, course.why) == (ABSENT, "no course correction is among its cases")


def test_targets_that_are_read_from_a_file_as_text_are_the_same():
    tables = reweighted({"a": 3, "b": 0.001, "c": -3}, {"a": 10, "b": -1, "c": 0})
    text = tables | {"printed": tables["printed"].astype({"target": str})}
    for key in ("direct.targets", "direct.others"):
        assert found(key, evidence("digits", reweight=text)) == found(
            key, evidence("digits", reweight=tables)
        )


def test_the_papers_own_row_stands_beside_the_same_class_of_cifar10():
    tables = reweighted(dict.fromkeys(CLASSES, 1.0), dict.fromkeys(CLASSES, 1.0))
    (claim,) = found("direct.others", evidence("cifar10", reweight=tables))
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
        assert off == ([6] if kind == "direct improvement" else [])


def test_intervals_hold_their_value_and_narrow_with_n():
    few, many = share("s", 7, 10, "x"), share("s", 700, 1000, "x")
    assert few.low < 0.7 < few.high
    assert many.high - many.low < few.high - few.low
    assert mean_over("m", np.array([1.0]), "seeds", "plain").low is None


def test_size_says_reduced_only_of_what_is_less_than_the_paper():
    card = {"counts": {"train": [5, 5]}}
    full = {"prepare": {"train": "all"}, "train": {"model": "resnet9", "width": 64, "epochs": 25}}
    search = {"generations": 20, "population": 24}
    assert size(card, full | {"reweight": search}, full) == (
        "10 training samples, resnet9, width 64, 25 epochs, search of 20 generations of 24",
        False,
    )
    assert size(card, full | {"reweight": search | {"generations": 3}}, full)[1]
    less = copy.deepcopy(full)
    less["train"]["width"] = 8
    assert size(card, less, full)[1]
    assert size(card, full | {"prepare": {"train": 10}}, full)[1]
    assert size(card, less, None) == (
        "10 training samples, resnet9, width 8, 25 epochs, not in the paper",
        False,
    )


def test_a_record_and_its_line_in_the_readme_say_the_same():
    (claim,) = found(
        "ratio.above", evidence("cifar10", ceiling=checked(0.3, 0.25), influence=vectors())
    )
    record = claim.record()
    assert record["says"] == STATEMENTS["ratio.above"].says
    assert (
        told(record) == "cifar10_small (reduced): ratio 0.30 (0.25 to 1.00; 100 samples): **holds**"
    )


def test_each_claim_keeps_a_source_in_what_the_repository_carries(monkeypatch, request):
    """No claim about a data set that is carried goes quiet: the stage's own reading of reports/measured."""
    monkeypatch.chdir(request.config.rootpath)
    from catwise.pipeline.results import measured, names, record
    from stages import claims as stage

    datasets = {
        name: section.model_dump() for name, section in stage.params.load().datasets.items()
    }
    carried = [
        stage.evidence(name, measured(name), record(name)["parameters"], datasets)
        for name in names()
    ]
    rows = {(claim.key, claim.dataset): claim for claim in claims(carried, None)}
    for one in carried:
        keys = {key for key, dataset in rows if dataset == one.dataset}
        assert {"spearman.beneficial", "spearman.detrimental"} <= keys
        assert all(
            claim.figures
            for (key, name), claim in rows.items()
            if name == one.dataset and "spearman" in key
        )
    assert Path("reports", "measured").is_dir()
