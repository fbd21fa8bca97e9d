import numpy as np
import pytest
from scipy.stats import ttest_rel

from catwise.core.errors import InputError
from catwise.reweighting.table1 import net_effect, rows


def test_rows_are_those_of_the_papers_table_1():
    before_k, after_k = np.array([0.699, 0.888, 0.667]), np.array([0.811, 0.881, 0.743])
    table = rows(before_k, after_k, [0, 2])
    assert [row.category for row in table] == [0, 1, 2]
    assert [row.target for row in table] == [True, False, True]
    np.testing.assert_allclose([row.change for row in table], [16.02, -0.79, 11.39], atol=0.005)
    assert [row.before + row.before * row.change / 100 for row in table] == pytest.approx(
        after_k.tolist()
    )


def test_net_effect_is_significant_exactly_where_the_paired_test_says_so(rng):
    control_sk = rng.normal(size=(6, 40))
    treated_sk = control_sk + rng.normal(scale=0.1, size=(6, 40)) + rng.choice([-0.1, 0, 0.1], 40)
    net, test = net_effect(treated_sk, control_sk), ttest_rel(treated_sk, control_sk, axis=0)
    assert net.better == np.flatnonzero((test.pvalue < 0.05) & (test.statistic > 0)).tolist()
    assert net.worse == np.flatnonzero((test.pvalue < 0.05) & (test.statistic < 0)).tolist()
    assert net.better
    assert net.worse
    np.testing.assert_allclose(net.mean_k, (net.low_k + net.high_k) / 2)
    interval = test.confidence_interval(0.95)
    np.testing.assert_allclose([net.low_k, net.high_k], [interval.low, interval.high])


def test_what_the_seeds_share_does_not_count(rng):
    """Seeds move treated and control together by far more than the effect: pairing takes that out."""
    shared_sk = 10 * rng.normal(size=(5, 3))
    net = net_effect(shared_sk + [0.1, -0.1, 0.0] + 0.01 * rng.normal(size=(5, 3)), shared_sk)
    assert (net.better, net.worse) == ([0], [1])


def test_one_seed_proves_nothing_and_equal_runs_show_no_effect(rng):
    one = net_effect(np.ones((1, 3)), np.zeros((1, 3)))
    assert (one.better, one.worse, one.mean_k.tolist()) == ([], [], [1, 1, 1])
    same_sk = rng.random((4, 3))
    same = net_effect(same_sk, same_sk)
    assert (same.better, same.worse, same.high_k.tolist()) == ([], [], [0, 0, 0])
    with pytest.raises(InputError, match="seeds x classes"):
        net_effect(np.zeros((0, 3)), np.zeros((0, 3)))
