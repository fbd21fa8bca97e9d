import numpy as np
import pytest
from scipy.stats import ttest_rel

from catwise.core.errors import InputError
from catwise.pipeline.tables import METHOD
from catwise.reweighting.table1 import (
    ALL_ONES,
    BEST_SEEDS,
    ORACLE,
    Method,
    Printed,
    class_rows,
    net_effect,
    printed_rows,
    summary_row,
)


def read(reading_k, reading):
    return np.flatnonzero(reading_k == reading).tolist()


def test_every_method_has_a_key_of_its_own_and_the_columns_of_its_parts():
    methods = [
        ALL_ONES,
        ORACLE,
        BEST_SEEDS,
        *(
            Method("lp_ga", anchor=anchor, rule=rule, program=program, shuffled=shuffled)
            for anchor in ("start", "end")
            for rule in ("printed", "beta")
            for program in ("linear", "quadratic")
            for shuffled in (0, 1)
        ),
        *(
            Method("direction", anchor=anchor, filter=filter, query=query, shuffled=shuffled)
            for anchor in ("start", "end")
            for filter in ("damped", "horizon")
            for query in ("loss", "probability", "margin")
            for shuffled in (0, 1)
        ),
    ]
    assert len({method.key for method in methods}) == len(methods)
    assert all(tuple(method.columns) == tuple(METHOD) for method in methods)
    shuffled = Method("direction", anchor="end", filter="horizon", query="loss", shuffled=1)
    assert shuffled.columns == {
        "method": "shuffled.direction.loss.horizon.end",
        "family": "direction",
        "anchor": "end",
        "rule": None,
        "program": None,
        "filter": "horizon",
        "query": "loss",
        "shuffled": 1,
    }


def test_printed_rows_are_those_of_the_papers_table_1():
    before_k, after_k = np.array([0.699, 0.888, 0.667]), np.array([0.811, 0.881, 0.743])
    rows = printed_rows(["a", "b", "c"], [0, 2], Printed(before_k, None, before_k, after_k))
    assert [row["class"] for row in rows] == ["a", "b", "c"]
    assert [row["target"] for row in rows] == [1, 0, 1]
    np.testing.assert_allclose([row["change"] for row in rows], [16.02, -0.79, 11.39], atol=0.005)
    assert [row["before"] * (1 + row["change"] / 100) for row in rows] == pytest.approx(
        after_k.tolist()
    )


def test_a_corrected_course_is_compared_with_the_original_epoch():
    before_k, original_k = np.array([0.821, 0.9]), np.array([0.785, 0.9])
    printed = Printed(before_k, original_k, original_k, after_k=np.array([0.798, 0.9]))
    rows = printed_rows(["5", "6"], [0], printed)
    assert [row["change"] for row in rows] == pytest.approx([1.656, 0], abs=0.001)
    assert [row["original"] for row in rows] == [0.785, 0.9]


def test_a_summary_counts_and_averages_what_the_rows_say():
    net = net_effect(np.array([[0.1, -0.2, 0.0], [0.1, -0.2, 0.1]]), np.zeros((2, 3)))
    rows = class_rows({"method": "m"}, ["None", "1", "c"], [0, 2], {"before": np.ones(3)}, net)
    summary = summary_row(net, [0, 2])
    assert [row["reading"] for row in rows] == [1, -1, 0]
    assert [row["class"] for row in rows] == ["None", "1", "c"]
    assert (summary["better"], summary["worse"]) == (1, 1)
    targets = [row["gain"] for row in rows if row["target"]]
    assert summary["targets_gain"] == pytest.approx(np.mean(targets))
    assert summary["worst_gain"] == min(row["gain"] for row in rows)
    assert summary["mean_gain"] == pytest.approx(np.mean([row["gain"] for row in rows]))


def test_net_effect_is_significant_exactly_where_the_paired_test_says_so(rng):
    control_sk = rng.normal(size=(6, 40))
    treated_sk = control_sk + rng.normal(scale=0.1, size=(6, 40)) + rng.choice([-0.1, 0, 0.1], 40)
    net, test = net_effect(treated_sk, control_sk), ttest_rel(treated_sk, control_sk, axis=0)
    assert (
        read(net.reading_k, 1)
        == np.flatnonzero((test.pvalue < 0.05) & (test.statistic > 0)).tolist()
    )
    assert (
        read(net.reading_k, -1)
        == np.flatnonzero((test.pvalue < 0.05) & (test.statistic < 0)).tolist()
    )
    assert {-1, 0, 1} == set(net.reading_k.tolist())
    np.testing.assert_allclose(net.mean_k, (net.low_k + net.high_k) / 2)
    interval = test.confidence_interval(0.95)
    np.testing.assert_allclose([net.low_k, net.high_k], [interval.low, interval.high])


def test_what_the_seeds_share_does_not_count(rng):
    """Seeds move treated and control together by far more than the effect; pairs cancel that."""
    shared_sk = 10 * rng.normal(size=(5, 3))
    net = net_effect(shared_sk + [0.1, -0.1, 0.0] + 0.01 * rng.normal(size=(5, 3)), shared_sk)
    assert net.reading_k.tolist() == [1, -1, 0]


def test_one_seed_proves_nothing_and_equal_runs_show_no_effect(rng):
    one = net_effect(np.ones((1, 3)), np.zeros((1, 3)))
    assert (one.reading_k.tolist(), one.mean_k.tolist()) == ([0, 0, 0], [1, 1, 1])
    same_sk = rng.random((4, 3))
    same = net_effect(same_sk, same_sk)
    assert (same.reading_k.tolist(), same.high_k.tolist()) == ([0, 0, 0], [0, 0, 0])
    with pytest.raises(InputError, match="seeds x classes"):
        net_effect(np.zeros((0, 3)), np.zeros((0, 3)))
