"""Laws of the score: perfect for a perfect prediction, with intervals that hold it."""

import numpy as np
import pytest

from catwise.fidelity.scores import bootstrap_intervals, linear_datamodeling_score
from catwise.fidelity.subsets import random_halves


@pytest.fixture
def case(rng):
    """Return vectors, halves, and losses that are a monotone map of what the vectors predict."""
    p_nk = rng.normal(size=(40, 3))
    kept_hn = random_halves(40, 30, rng)
    return p_nk, kept_hn, np.exp((~kept_hn).astype(float) @ p_nk)


def test_a_perfect_prediction_scores_one_and_its_opposite_minus_one(case):
    p_nk, kept_hn, loss_hk = case
    np.testing.assert_allclose(linear_datamodeling_score(p_nk, kept_hn, loss_hk), 1)
    np.testing.assert_allclose(linear_datamodeling_score(-p_nk, kept_hn, loss_hk), -1)


@pytest.mark.slow
def test_intervals_hold_the_score_and_compare_the_best_with_the_next(case, rng):
    p_nk, kept_hn, loss_hk = case
    noisy_hk = loss_hk * np.exp(rng.normal(size=loss_hk.shape))
    kinds = {"true": p_nk, "blurred": p_nk + 2 * rng.normal(size=p_nk.shape)}
    intervals = bootstrap_intervals(kinds, kept_hn, noisy_hk, np.random.default_rng(0))
    for mean, low, high in intervals.values():
        assert low <= mean <= high
    difference = intervals["true"][0] - intervals["blurred"][0]
    assert intervals["best - next"][0] == pytest.approx(abs(difference))
    assert intervals == bootstrap_intervals(kinds, kept_hn, noisy_hk, np.random.default_rng(0))


def test_a_class_without_a_score_is_left_out_of_the_mean(case):
    p_nk, kept_hn, loss_hk = case
    loss_hk[:, 1] = 0.5  # the same whatever is left out
    intervals = bootstrap_intervals({"true": p_nk}, kept_hn, loss_hk, np.random.default_rng(0))
    assert intervals["true"][0] == pytest.approx(1)
