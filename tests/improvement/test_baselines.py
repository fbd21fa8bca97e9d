"""Baselines have mean one, leave out what they say, and search as long as they say."""

import numpy as np
import pytest

from catwise.core.errors import InputError
from catwise.improvement import baselines

LABELS = np.array([0] * 60 + [1] * 30 + [2] * 10)


def test_class_balances_lie_between_plain_and_inverse_frequency():
    """Cui et al.: beta = 0 is plain, and beta -> 1 inverse frequency."""
    inverse_n = baselines.inverse_frequency(LABELS)
    np.testing.assert_allclose(baselines.effective_number(LABELS, 0.0), 1)
    np.testing.assert_allclose(baselines.effective_number(LABELS, 1 - 1e-9), inverse_n, rtol=1e-5)
    for weights_n in (
        inverse_n,
        baselines.inverse_frequency(LABELS, 0.5),
        baselines.effective_number(LABELS),
    ):
        assert weights_n.mean() == pytest.approx(1)
        assert weights_n[-1] > weights_n[60] > weights_n[0]


def test_adjusted_logits_choose_as_if_classes_were_equally_frequent(rng):
    """Of the true posterior of frequent and rare classes, the shift leaves the likelihood alone."""
    likelihood_mk = rng.dirichlet(np.ones(3), size=40)
    posterior_mk = likelihood_mk * np.bincount(LABELS) / len(LABELS)
    logits_mk = np.log(posterior_mk / posterior_mk.sum(axis=1, keepdims=True))
    adjusted_mk = logits_mk + baselines.logit_adjustment(LABELS)
    assert (adjusted_mk.argmax(1) == likelihood_mk.argmax(1)).all()
    assert (logits_mk.argmax(1) != likelihood_mk.argmax(1)).any()


def test_the_lowest_margins_are_left_out(rng):
    margin_n = rng.normal(size=50)
    kept_n = baselines.lowest_margins_kept(margin_n, 8)
    assert margin_n[~kept_n].max() < margin_n[kept_n].min()
    assert (~kept_n).sum() == 8


def test_confident_learning_counts_the_planted_flips(rng):
    """Probabilities of a good model: .9 for the true class, with a little noise."""
    true_n = np.arange(300) % 3
    given_n = np.where(np.arange(300) < 30, (true_n + 1) % 3, true_n)
    probability_nk = 0.05 + 0.85 * np.eye(3)[true_n] + 0.02 * rng.random((300, 3))
    probability_nk /= probability_nk.sum(axis=1, keepdims=True)
    assert baselines.estimated_flips(probability_nk, given_n) == pytest.approx(30, abs=3)
    # of clean labels only the half below the class's own mean could be counted, and is not
    assert baselines.estimated_flips(probability_nk, true_n) == 0


@pytest.mark.skipif(not baselines.CLEANLAB, reason="cleanlab is an optional package")
def test_cleanlab_leaves_out_planted_flips(rng):
    true_n = np.arange(300) % 3
    given_n = np.where(np.arange(300) < 30, (true_n + 1) % 3, true_n)
    probability_nk = 0.05 + 0.85 * np.eye(3)[true_n] + 0.02 * rng.random((300, 3))
    kept_n = baselines.cleanlab_kept(
        probability_nk / probability_nk.sum(axis=1, keepdims=True), given_n
    )
    assert (~kept_n)[:30].sum() >= 25
    assert (~kept_n)[30:].sum() <= 3


@pytest.mark.skipif(baselines.CLEANLAB, reason="cleanlab is installed")
def test_without_cleanlab_one_line_says_how_to_get_it():
    with pytest.raises(InputError, match="cleanlab: expected this package; got none; pip install"):
        baselines.cleanlab_kept(np.eye(2), np.arange(2))


def test_the_program_at_random_differs_by_its_thresholds_alone(rng):
    p_nk = rng.normal(size=(100, 3)) + 0.1
    draws = [
        baselines.program_at_random(p_nk, [0], np.random.default_rng(seed)) for seed in (0, 0, 1)
    ]
    assert (draws[0] == draws[1]).all()
    assert not np.allclose(draws[0], draws[2])
    for weights_n in draws:
        assert weights_n.mean() == pytest.approx(1)
        assert weights_n.max() <= 2 + 1e-9


def test_the_search_finds_the_class_weights_that_its_rating_prefers():
    rated = []

    def rate(candidates):
        rated.append(len(candidates))
        return [float(-abs(w[0] - 0.5) - abs(w[-1] - 2)) for w in candidates]

    weights_n = baselines.searched_class_weights(
        LABELS, rate, generations=12, population=16, seed=0, w_max=4.0
    )
    assert rated[0] == 16
    assert len(rated) == 13
    assert weights_n.mean() == pytest.approx(1)
    assert weights_n[0] == pytest.approx(0.5, abs=0.2)
    assert weights_n[-1] == pytest.approx(2, abs=0.5)
