"""Tables of scores: each design and measure, the ceiling beside each, and paired differences."""

import numpy as np
import pandas as pd
import pytest

from catwise.fidelity.cost import Sizes, trainings
from catwise.fidelity.subsets import random_halves, random_removals
from catwise.fidelity.tables import headlines, tabulate

WORK = Sizes(n=100, m=50, num_classes=3, epochs=10, pairs=100, segments=2, runs=4)


@pytest.fixture
def case(rng):
    """Vectors that know the truth, labels that know a part, and the truth under three seeds."""
    n, classes = 60, 3
    labels_n = np.arange(n) % classes
    counted = np.eye(classes)[labels_n]
    p_nk = counted + rng.normal(size=(n, classes))
    kept_hn = np.concatenate([random_halves(n, 40, rng), random_removals(n, 30, rng)])
    signal = ((~kept_hn).astype(float) @ p_nk)[:, None]
    noise = rng.normal(size=(2, 70, 3, classes))
    truth = {"kept_hn": kept_hn, "design_h": np.repeat([0, 1], [40, 30])}
    truth |= {"loss_hsk": signal + noise[0], "accuracy_hsk": -signal + noise[1]}
    return {"label_counts": counted, "ekfac": p_nk}, truth


def test_every_kind_is_scored_on_every_design_and_measure_beside_its_ceiling(case):
    vectors, truth = case
    tables = tabulate(vectors, truth, {"label_counts": 0, "ekfac": 1.5}, "abc")
    scores, summary, differences = (
        pd.DataFrame(tables[name]) for name in ("scores", "summary", "differences")
    )
    assert len(scores) == 2 * 2 * 2 * 3
    assert len(summary) == 2 * 2 * 2
    mean = scores.groupby(["design", "measure", "kind"])["lds"].mean()
    pd.testing.assert_series_equal(
        mean, summary.set_index(["design", "measure", "kind"])["lds"].sort_index()
    )
    for rows in (scores, summary):
        assert (rows["low"] <= rows["lds"]).all()
        assert (rows["lds"] <= rows["high"]).all()
    knowing = summary[summary["kind"] == "ekfac"]
    # with 30 subsets a score that is at its ceiling is beside it by chance
    assert ((knowing["lds"] - knowing["ceiling"]).abs() < 0.15).all()
    assert (differences["first"] == "ekfac").all()
    assert (differences["second"] == "label_counts").all()
    assert (differences["low"] > 0).all()
    assert len(differences) == 4


def test_without_removals_and_with_one_seed_there_are_neither(case):
    vectors, truth = case
    truth = {name: values[:40] for name, values in truth.items()}
    for measure in ("loss", "accuracy"):
        truth[f"{measure}_hsk"] = truth[f"{measure}_hsk"][:, :1]
    summary = pd.DataFrame(
        tabulate(vectors, truth, {"label_counts": 0, "ekfac": 1.5}, "abc")["summary"]
    )
    assert set(summary["design"]) == {"half"}
    assert summary["ceiling"].isna().all()


def test_the_headline_is_the_best_kind_that_has_a_score():
    scores = {"tracin": np.nan, "ekfac": 0.5, "kfac": 0.4, "exact": np.nan}
    case = {"design": "half", "measure": "loss", "ceiling": 0.9}
    for order in (list(scores), list(reversed(scores))):
        found = headlines([{**case, "kind": kind, "lds": scores[kind]} for kind in order])
        assert found["best_kind_loss_half"] == "ekfac"
        assert found["lds_best_loss_half"] == 0.5


def test_costs_grow_with_what_is_done():
    cost = {
        kind: trainings(kind, WORK)
        for kind in ("label_counts", "identity", "kfac", "ekfac", "segments", "tracin")
    }
    assert list(cost.values()) == sorted(cost.values())
    assert trainings("segments_runs", WORK) == 4 * cost["segments"]
    assert trainings("ekfac_runs", WORK) == 4 * cost["ekfac"]
    assert trainings("last_layer_runs", WORK) == 4 * trainings("last_layer", WORK)
    assert trainings("last_layer", WORK) < cost["identity"]
    assert trainings("exact_runs", WORK) == 16
