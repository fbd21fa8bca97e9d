"""Laws of the score: perfect for a perfect prediction, with intervals that hold it."""

from dataclasses import astuple

import numpy as np
import pytest

from catwise.fidelity.scores import linear_datamodeling_score, scores
from catwise.fidelity.subsets import random_halves


@pytest.fixture
def case(rng):
    """Return vectors, halves, and losses that are a monotone map of what the vectors predict."""
    p_nk = rng.normal(size=(40, 3))
    kept_hn = random_halves(40, 30, rng)
    return p_nk, kept_hn, np.exp((~kept_hn).astype(float) @ p_nk)


def scored(vectors, kept_hn, value_hk, measure="loss"):
    return scores(vectors, kept_hn, value_hk[:, None], measure)


def test_a_perfect_prediction_scores_one_and_its_opposite_minus_one(case):
    p_nk, kept_hn, loss_hk = case
    np.testing.assert_allclose(linear_datamodeling_score(p_nk, kept_hn, loss_hk), 1)
    np.testing.assert_allclose(linear_datamodeling_score(-p_nk, kept_hn, loss_hk), -1)


def test_intervals_hold_the_score_of_a_class_and_of_the_mean(case, rng):
    p_nk, kept_hn, loss_hk = case
    noisy_hk = loss_hk * np.exp(rng.normal(size=loss_hk.shape))
    kinds = {"true": p_nk, "blurred": p_nk + 2 * rng.normal(size=p_nk.shape)}
    result = scored(kinds, kept_hn, noisy_hk)
    for kind, vectors_nk in kinds.items():
        score_k = linear_datamodeling_score(vectors_nk, kept_hn, noisy_hk)
        intervals = [result.of_class(kind, k) for k in range(3)]
        np.testing.assert_allclose([one.value for one in intervals], score_k)
        assert result.mean(kind).value == pytest.approx(score_k.mean())
        for one in [*intervals, result.mean(kind)]:
            assert -1 <= one.low < one.value < one.high <= 1
    ahead = result.difference("true", "blurred")
    assert ahead.value == pytest.approx(result.mean("true").value - result.mean("blurred").value)
    assert ahead.low < ahead.value < ahead.high
    assert result.best() == ["true", "blurred"]
    assert scored(kinds, kept_hn, noisy_hk).mean("true") == result.mean("true")


def test_a_paired_difference_is_narrower_than_either_interval(case, rng):
    """Two predictions that err alike differ by less than each errs."""
    p_nk, kept_hn, loss_hk = case
    noisy_hk = loss_hk * np.exp(2 * rng.normal(size=loss_hk.shape))
    result = scored({"one": p_nk, "other": p_nk + 0.01}, kept_hn, noisy_hk)
    between, own = result.difference("one", "other"), result.mean("one")
    assert between.high - between.low < 0.1 * (own.high - own.low)


@pytest.mark.parametrize("rho", [0.1, 0.8])
def test_intervals_cover_the_score_of_endless_subsets(rho, rng):
    """Of normal pairs Spearman's rho is known. 95 %, less what 200 cases may lack by chance."""
    pearson = 2 * np.sin(np.pi * rho / 6)
    kept_hn = ~np.eye(32, dtype=bool)  # subset h leaves out sample h, so that P is the prediction
    covered = 0
    for _ in range(200):
        p_nk, noise_hk = rng.normal(size=(2, 32, 5))
        loss_hk = pearson * p_nk + np.sqrt(1 - pearson**2) * noise_hk
        mean = scored({"true": p_nk}, kept_hn, loss_hk).mean("true")
        covered += mean.low <= rho <= mean.high
    assert covered >= 180


def test_what_raises_a_loss_lowers_an_accuracy(case):
    p_nk, kept_hn, loss_hk = case
    assert scored({"true": p_nk}, kept_hn, -loss_hk, "accuracy").mean(
        "true"
    ).value == pytest.approx(1)


def test_a_class_without_a_score_is_left_out_of_the_mean(case):
    p_nk, kept_hn, loss_hk = case
    loss_hk[:, 1] = 0.5  # the same whatever is left out
    result = scored({"true": p_nk}, kept_hn, loss_hk)
    assert result.mean("true").value == pytest.approx(1)
    assert np.isnan(astuple(result.of_class("true", 1))).all()
