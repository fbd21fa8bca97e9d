import numpy as np
import pytest

from catwise.reweighting.controls import drop
from catwise.reweighting.joint_direction import direction, joint
from catwise.reweighting.pareto_lp_ga import Linear, lp_ga, sweep, tradeoff
from catwise.reweighting.weights import weights_key


@pytest.fixture
def line(rng):
    p_nk = rng.normal(size=(200, 3))
    return Linear(p_nk - p_nk.mean(axis=0), [0], "beta", 0.2, None, 2.0)


def judge(line, called):
    """Accuracies as the first order predicts them; ``called`` collects the weights."""

    def accuracy(weights):
        called.append([weights_key(w_n) for w_n in weights])
        return [0.5 + 1e-3 * ((w_n - 1) @ line.p_nk) for w_n in weights]

    return accuracy


def test_a_generation_is_one_call_and_no_weights_are_trained_twice(line):
    called = []
    found = lp_ga(
        line, judge(line, called), np.full(3, 0.5), generations=4, population=8, seed=0, keep=3
    )
    keys = [key for call in called for key in call]
    assert len(set(keys)) == len(keys) == found.history[-1]["trained"]
    assert len(called) <= 5
    assert [row["generation"] for row in found.history] == list(range(5))
    assert found.history[-1]["evaluations"] <= 8 + 4 * 6
    assert len({weights_key(w_n) for w_n in found.best}) == 3


def test_printed_thresholds_hardly_act_where_the_columns_sum_to_zero(line):
    """Design 3.4: all candidates are one, and one epoch is trained for the whole search."""
    printed = Linear(line.p_nk, line.targets, "printed", 0.2, None, 2.0)
    found = lp_ga(
        printed, judge(printed, []), np.full(3, 0.5), generations=2, population=8, seed=0, keep=3
    )
    assert found.history[-1]["trained"] == len(found.best) == 1
    assert found.history[-1]["diversity"] == pytest.approx(0, abs=1e-6)


def test_thresholds_trade_the_targets_gain_for_the_others(line):
    gains = [(w_n - 1) @ line.p_nk for _, w_n in sweep(line, 5)]
    worst = [gain_k[1:].min() for gain_k in gains]
    assert worst == sorted(worst)
    assert [gain_k[0] for gain_k in gains] == sorted((gain_k[0] for gain_k in gains), reverse=True)
    assert tradeoff(np.stack([gains[0], gains[0]]), [0]) == pytest.approx((gains[0][0], worst[0]))


def test_joint_weights_raise_every_class_and_keep_each_labels_weight(rng):
    labels_n = rng.integers(0, 3, 300)
    p_nk = rng.normal(size=(300, 3)) + 2 * rng.normal(size=(300, 1))
    assert direction(p_nk, labels_n).norm > 0.1
    for w_n in joint(p_nk, labels_n, [0.1, 0.5], 2.0):
        assert (((w_n - 1) @ p_nk) > 0).all()
        np.testing.assert_allclose([w_n[labels_n == k].mean() for k in range(3)], 1, atol=1e-9)


def test_the_oracle_gives_the_weight_of_flipped_samples_to_the_others():
    weights_n = drop(np.array([True, False, False, False]))
    assert weights_n.tolist() == pytest.approx([0, 4 / 3, 4 / 3, 4 / 3])
