import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.metrics import roc_auc_score

from catwise.ceiling.joint_direction import (
    direction_weights,
    joint_direction,
    joint_weights,
    project,
)
from catwise.core.errors import InputError
from catwise.influence import curvature
from catwise.influence.vectors import influence_vectors
from tests.helpers import brute_force, small


def vectors(rng, n=60, k=4):
    return rng.normal(size=(n, k)) * rng.uniform(0.1, 10, k) + rng.normal(size=k)


def label_means(weights_n, labels_n):
    return [weights_n[labels_n == label].mean() for label in np.unique(labels_n)]


def assert_box_and_means(weights_n, labels_n, w_max):
    assert weights_n.min() >= 0
    assert weights_n.max() <= w_max
    np.testing.assert_allclose(label_means(weights_n, labels_n), 1, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10**6), n=st.integers(1, 60), w_max=st.sampled_from([1.0, 1.5, 2.0, np.inf])
)
def test_projection_is_the_nearest_point_of_the_box_with_mean_one(seed, n, w_max):
    rng = np.random.default_rng(seed)
    x_n = np.round(3 * rng.normal(size=n), 1)  # ties
    weights_n = project(x_n, w_max)
    assert_box_and_means(weights_n, np.zeros(n), w_max)
    # Optimality: x - w is one constant inside, at least that at the upper bound, at most that at 0.
    off_n, inside = x_n - weights_n, (weights_n > 1e-9) & (weights_n < min(w_max, n) - 1e-9)
    lowest = off_n[weights_n > 1e-9].min(initial=np.inf)
    highest = off_n[weights_n < min(w_max, n) - 1e-9].max(initial=-np.inf)
    assert lowest >= highest - 1e-9
    assert np.ptp(off_n[inside]) < 1e-9 if inside.any() else True


@pytest.mark.parametrize("labelled", [False, True])
def test_direction_is_the_minimum_norm_point_and_raises_every_class_with_certificate(rng, labelled):
    p_nk, labels_n = vectors(rng), rng.integers(0, 3, 60) if labelled else np.zeros(60)
    found = joint_direction(p_nk, labels_n)
    centred_nk = p_nk - np.stack([p_nk[labels_n == label].mean(axis=0) for label in labels_n])
    scaled_nk = centred_nk / centred_nk.std(axis=0)
    general = minimize(
        lambda y_k: ((scaled_nk @ y_k) ** 2).mean(),
        np.full(4, 0.25),
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda y_k: y_k.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-14},
    )
    np.testing.assert_allclose(found.exchange_k, general.x, atol=1e-5)
    assert found.norm**2 == pytest.approx(general.fun, rel=1e-8)
    assert abs(found.gap) < 1e-12
    np.testing.assert_allclose(
        [found.delta_n[labels_n == label].sum() for label in np.unique(labels_n)], 0, atol=1e-9
    )
    assert (found.delta_n @ p_nk / centred_nk.std(axis=0) / 60).min() == pytest.approx(
        found.norm**2, rel=1e-9
    )


def test_at_a_ceiling_the_direction_vanishes_names_the_exchange_rates_and_leaves_ones(rng):
    """Vectors on a hyperplane through the origin with a positive normal: no reweighting helps all
    classes.
    """
    p_nk = rng.normal(size=(80, 3))
    p_nk[:, 2] = -(2 * p_nk[:, 0] + p_nk[:, 1])
    found = joint_direction(p_nk)
    assert found.norm < 1e-12
    rates_k = found.exchange_k / p_nk.std(axis=0)
    np.testing.assert_allclose(rates_k / rates_k[2], [2, 1, 1], rtol=1e-9)
    np.testing.assert_array_equal(direction_weights(found.delta_n), 1)
    assert brute_force.best_worst_gain(p_nk, 0.5) == pytest.approx(0, abs=1e-9)


def test_a_direction_or_a_box_without_weights_of_mean_one_is_refused():
    delta_n = np.array([0.5, 0.5, -1.0])
    with pytest.raises(InputError, match=r"^w_max: expected at least 1, or no .*; got 0\.5$"):
        direction_weights(delta_n, w_max=0.5)
    with pytest.raises(InputError, match=r"^direction: expected finite values; got nan"):
        direction_weights(np.where(np.arange(3) == 1, np.nan, delta_n))


def test_direction_weights_stay_in_the_box_and_keep_each_labels_mean(rng):
    p_nk, labels_n = vectors(rng, 400), rng.integers(0, 4, 400)
    delta_n = joint_direction(p_nk, labels_n).delta_n
    weights_n = direction_weights(delta_n, labels_n, size=0.1)
    assert np.abs(weights_n - 1).mean() == pytest.approx(0.1, rel=1e-9)  # nothing clipped
    np.testing.assert_allclose(weights_n - 1, 0.1 * delta_n / np.abs(delta_n).mean(), atol=1e-12)
    for w_max in (1.0, 1.5, 2.0, np.inf):
        assert_box_and_means(direction_weights(delta_n, labels_n, w_max=w_max), labels_n, w_max)


@pytest.mark.parametrize("size", [0.1, 0.5])
def test_no_weights_of_the_size_raise_the_worst_class_more_than_the_exact_program_says(rng, size):
    """The direction is not the optimum of the program, which is bang-bang; but it is near to it."""
    p_nk = vectors(rng)
    p_nk -= p_nk.mean(axis=0)
    weights_n = direction_weights(joint_direction(p_nk).delta_n, size=size)
    gain_k = (weights_n - 1) @ p_nk / np.abs(p_nk).sum(axis=0)
    best = brute_force.best_worst_gain(p_nk, size)
    assert best / 3 < gain_k.min() <= best + 1e-9


def test_joint_weights_raise_every_class_and_keep_each_labels_weight(rng):
    labels_n = rng.integers(0, 3, 300)
    p_nk = rng.normal(size=(300, 3)) + 2 * rng.normal(size=(300, 1))
    assert joint_direction(p_nk, labels_n).norm > 0.1
    for size in (0.1, 0.5):
        weights_n = joint_weights(p_nk, labels_n, size=size)
        assert (((weights_n - 1) @ p_nk) > 0).all()
        np.testing.assert_allclose(label_means(weights_n, labels_n), 1, atol=1e-9)


def test_scaling_a_class_changes_nothing(rng):
    p_nk, scale_k = vectors(rng), np.array([1e-6, 1.0, 1e3, 1e6])
    np.testing.assert_allclose(
        joint_direction(p_nk * scale_k).delta_n, joint_direction(p_nk).delta_n, atol=1e-9
    )


def test_a_class_without_influence_and_values_that_are_no_numbers_are_named(rng):
    p_nk = vectors(rng)
    p_nk[:, 2] = 0
    with pytest.raises(InputError, match="got equal ones on class 2"):
        joint_direction(p_nk)
    p_nk[4, 1] = np.nan
    with pytest.raises(InputError, match="expected finite values; got nan for sample 4, class 1"):
        joint_direction(p_nk)


def noisy_case(seed, n=300, flip_share=0.2):
    """Gaussian classes, some training labels flipped; clean validation and test samples. P is
    exact.
    """
    rng = np.random.default_rng(seed)
    x, y = small.blobs(rng, n + 900)
    flipped_n = rng.random(n) < flip_share
    labels = torch.where(
        torch.from_numpy(flipped_n), (y[:n] + torch.from_numpy(rng.integers(1, 3, n))) % 3, y[:n]
    )
    train, query, test = (
        (x[:n], labels),
        (x[n : n + 300], y[n : n + 300]),
        (x[n + 300 :], y[n + 300 :]),
    )
    model = small.logistic(train, 0.01)
    p_nk = influence_vectors(
        model,
        curvature.exact_hessian(model, train, 0.01),
        train,
        query,
        query[1],
        3,
        batch_size=300,
    )
    return train, test, flipped_n, p_nk.numpy()


@pytest.mark.slow
def test_flipped_samples_lose_weight_and_every_class_gains_on_unseen_samples():
    """Refit a convex problem with weights from clean validation samples; measure test samples."""
    for seed in range(4):
        train, test, flipped_n, p_nk = noisy_case(seed)
        weights_n = joint_weights(p_nk, train[1].numpy())
        assert roc_auc_score(flipped_n, -weights_n) > 0.8
        before_k = class_losses(train, test, None)
        after_k = class_losses(train, test, torch.from_numpy(weights_n))
        assert (after_k < before_k).all()


def class_losses(train, test, weights):
    model = small.logistic(train, 0.01, weights)
    with torch.no_grad():
        losses = torch.nn.functional.cross_entropy(
            model(test[0]), test[1], reduction="none"
        ).numpy()
    return np.array([losses[test[1] == k].mean() for k in range(3)])
