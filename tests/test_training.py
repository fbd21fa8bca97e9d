import numpy as np
import pytest
import small
import torch

from catwise import metrics, models
from catwise.errors import InputError
from catwise.training import fit_convex, train_epochs, triangle

RECIPE = {"epochs": 4, "batch_size": 10, "learning_rate": 0.1, "weight_decay": 0.01}


def trained(x, y, weights=None, epochs=4, seed=0):
    model = models.build("cnn", x, 3, width=2, seed=0)
    for epoch in train_epochs(model, x, y, **RECIPE, seed=seed, weights=weights):
        if epoch == epochs:
            break
    return models.fingerprint(model)


@pytest.fixture
def greys():
    x, y = small.images(45)
    return x[:, :1], y


def test_convergence_is_reported_and_reached(rng):
    x, y = small.blobs(rng, 60)
    model = models.build("logistic", x, 3)
    assert fit_convex(model, x, y, 0.01) < 1e-12


def test_separable_data_without_a_penalty_is_refused():
    x = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1, 1])
    with pytest.raises(InputError, match=r"train\.l2: expected a penalty"):
        fit_convex(models.build("logistic", x, 2), x, y, 0.0)


def test_a_weight_of_two_is_a_sample_seen_twice(rng):
    """Up to the factor n of the mean, which scales the penalty: n/(n+1) l2 for the repeated set."""
    x, y = small.blobs(rng, 60)
    weights = torch.ones(60, dtype=torch.float64)
    weights[5] = 2
    weighted, repeated = models.build("logistic", x, 3), models.build("logistic", x, 3)
    fit_convex(weighted, x, y, 0.01, weights)
    fit_convex(repeated, torch.cat([x, x[5:6]]), torch.cat([y, y[5:6]]), 0.01 * 60 / 61)
    torch.testing.assert_close(weighted.linear.weight, repeated.linear.weight, rtol=1e-9, atol=1e-10)


def test_all_ones_weights_give_the_bits_of_no_weights(greys):
    assert trained(*greys) == trained(*greys, weights=torch.ones(45, dtype=torch.float64))


def test_the_seed_decides_the_bits(greys):
    assert trained(*greys) == trained(*greys)
    assert trained(*greys) != trained(*greys, seed=1)


def test_a_weight_of_zero_hides_the_sample(greys):
    x, y = greys
    weights = torch.ones(45, dtype=torch.float64)
    weights[7] = 0
    spoiled = x.clone()
    spoiled[7] = 100
    assert trained(x, y, weights) == trained(spoiled, y, weights)
    assert trained(x, y) != trained(spoiled, y)


def test_the_global_random_state_is_left_alone(greys):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    trained(*greys)
    assert torch.equal(state, torch.get_rng_state())


def test_the_learning_rate_is_a_triangle():
    assert [triangle(p, 25) for p in (0, 2.5, 5, 15, 25)] == [0, 0.5, 1, 0.5, 0]
    assert triangle(1, 2) == 1  # fewer than five epochs: the peak is after the first


def test_per_class_figures_are_means_over_the_class(rng):
    x, y = small.blobs(rng, 50)
    model = small.logistic((x, y), 0.01)
    accuracy_k, loss_k = metrics.per_class(model, x, y, 4)
    with torch.no_grad():
        logits = model(x)
    for k in range(3):
        mine = y == k
        assert accuracy_k[k] == (logits[mine].argmax(1) == k).double().mean()
        expected = -logits[mine].log_softmax(1)[:, k].mean()
        assert float(loss_k[k]) == pytest.approx(float(expected), rel=1e-12)
    assert np.isnan([accuracy_k[3], loss_k[3]]).all()  # absent
