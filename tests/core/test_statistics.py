"""Check the intervals and the rank correlation against scipy's, and against the definition."""

import numpy as np
import pytest
from scipy.stats import spearmanr, ttest_1samp
from sklearn.metrics import roc_auc_score

from catwise.core.errors import InputError
from catwise.core.statistics import (
    area_under_curve,
    jackknife_half_width,
    noise_ceiling,
    require_finite,
    spearman,
    student_half_width,
)


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_half_width_is_that_of_the_t_test(rng, confidence):
    values = rng.normal(size=(7, 3))
    interval = ttest_1samp(values, 0).confidence_interval(confidence)
    expected = (interval.high - interval.low) / 2
    np.testing.assert_allclose(student_half_width(values, confidence), expected)


def test_a_single_value_has_no_interval():
    assert student_half_width([3.0]) == np.inf
    np.testing.assert_array_equal(student_half_width([[3.0, 4.0]]), [np.inf, np.inf])


def test_the_jackknife_of_a_mean_is_students_interval(rng):
    parts = rng.normal(size=(9, 4))
    without = (parts.sum(axis=0) - parts) / 8
    np.testing.assert_allclose(jackknife_half_width(without), student_half_width(parts))


def test_spearman_is_scipys_column_by_column_with_ties(rng):
    first, second = rng.integers(0, 5, (30, 4)), rng.integers(0, 5, (30, 4))
    expected = [spearmanr(first[:, k], second[:, k]).statistic for k in range(4)]
    np.testing.assert_allclose(spearman(first, second), expected)
    along = spearman(first.T[None], second.T[:, None], axis=-1)  # all pairs of columns
    np.testing.assert_allclose(np.diag(along), expected)


def test_spearman_of_a_constant_column_is_undefined():
    assert np.isnan(spearman(np.zeros((5, 1)), np.arange(5.0)[:, None])).all()


def test_the_first_value_that_is_not_finite_is_named():
    values = np.zeros((4, 3))
    require_finite(values, "gains", ("sample", "class"))
    values[2, 1] = -np.inf
    with pytest.raises(InputError, match=r"gains: .* got -inf for sample 2, class 1"):
        require_finite(values, "gains", ("sample", "class"))


def test_the_ceiling_is_what_the_truth_behind_the_noise_scores(rng):
    """Over many subsets a predictor that knows the truth reaches the ceiling, and not more."""
    truth_hk = rng.normal(size=(4000, 2))
    noise = np.array([0.5, 2.0])
    value_hsk = truth_hk[:, None] + noise * rng.normal(size=(4000, 3, 2))
    reached_k = spearman(truth_hk, value_hsk.mean(axis=1))
    # 4,000 subsets leave an error of .015, and ranks one of .02 beside Pearson's correlation
    np.testing.assert_allclose(noise_ceiling(value_hsk), reached_k, atol=0.04)


def test_without_agreement_between_seeds_the_ceiling_is_nothing_and_without_seeds_unknown(rng):
    value_hsk = np.stack([np.arange(9.0), -np.arange(9.0)], axis=1)[:, :, None]
    assert noise_ceiling(value_hsk) == [0]
    assert np.isnan(noise_ceiling(value_hsk[:, :1])).all()
    assert np.isnan(noise_ceiling(value_hsk[:0])).all()


@pytest.mark.parametrize("values", [3, 1000])
def test_the_area_under_the_curve_is_that_of_scikit_learn_ties_included(rng, values):
    positive_n, score_n = rng.random(50) < 0.3, rng.integers(values, size=50)
    expected = roc_auc_score(positive_n, score_n)
    assert area_under_curve(positive_n, score_n) == pytest.approx(expected, abs=1e-15)
