import numpy as np
import pytest
from scipy.stats import spearmanr

from catwise.core.statistics import spearman
from catwise.fidelity import bootstrap_intervals, linear_datamodeling_score, random_halves


@pytest.fixture
def case(rng):
    """Losses that are exactly what the vectors predict, up to a monotone map."""
    p_nk = rng.normal(size=(40, 3))
    kept = random_halves(40, 30, rng)
    return p_nk, kept, np.exp((~kept).astype(float) @ p_nk)


def test_halves_are_halves_and_differ(rng):
    kept = random_halves(41, 10, rng)
    assert (kept.sum(1) == 20).all()
    assert len({mask.tobytes() for mask in kept}) == 10


def test_a_perfect_prediction_scores_one_and_its_opposite_minus_one(case):
    p_nk, kept, loss = case
    np.testing.assert_allclose(linear_datamodeling_score(p_nk, kept, loss), 1)
    np.testing.assert_allclose(linear_datamodeling_score(-p_nk, kept, loss), -1)


def test_agreement_is_spearman_column_by_column_with_ties(rng):
    a, b = rng.integers(0, 5, (30, 4)), rng.integers(0, 5, (30, 4))
    expected = [spearmanr(a[:, k], b[:, k]).statistic for k in range(4)]
    np.testing.assert_allclose(spearman(a, b), expected)
    assert np.isnan(spearman(np.zeros((5, 1)), np.arange(5.0)[:, None])).all()


def test_intervals_hold_the_score_and_compare_the_best_with_the_next(case, rng):
    p_nk, kept, loss = case
    noisy = loss * np.exp(rng.normal(size=loss.shape))
    kinds = {"true": p_nk, "blurred": p_nk + 2 * rng.normal(size=p_nk.shape)}
    found = bootstrap_intervals(kinds, kept, noisy, np.random.default_rng(0))
    for mean, low, high in found.values():
        assert low <= mean <= high
    assert found["best - next"][0] == pytest.approx(abs(found["true"][0] - found["blurred"][0]))
    assert found == bootstrap_intervals(kinds, kept, noisy, np.random.default_rng(0))
