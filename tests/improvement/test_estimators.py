"""The torch model of an estimator predicts what the estimator does."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

from catwise.core.errors import InputError
from catwise.improvement.estimators import as_module, sklearn_training
from tests.helpers.small import blobs


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize(
    "estimator",
    [LogisticRegression(), MLPClassifier((8,), activation="tanh", max_iter=400, tol=0.01)],
    ids=["logistic", "perceptron"],
)
def test_probabilities_are_those_of_the_estimator(estimator, num_classes, rng):
    x, y = blobs(rng, 90, num_classes)
    fitted = estimator.fit(x.numpy(), y.numpy())
    probability = as_module(fitted, torch.float64)(x).softmax(1).detach().numpy()
    np.testing.assert_allclose(probability, fitted.predict_proba(x.numpy()), atol=1e-9)


def test_weights_reach_the_fit_and_the_seed_its_random_state(rng):
    x, y = blobs(rng, 90)
    train = sklearn_training(LogisticRegression(), (x, y))
    weights_n = np.where(y.numpy() == 2, 0.0, 1.5)
    assert not (train(weights_n, 0)(x).argmax(1) == 2).all()
    assert (train(weights_n, 0)(x).softmax(1)[:, 2] < 0.34).all()
    perceptron = sklearn_training(MLPClassifier((4,), max_iter=400, tol=0.01), (x, y))
    first, again, other = (perceptron(np.ones(90), seed)(x) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_estimator_without_gradients_is_refused(rng):
    x, y = blobs(rng, 90)
    with pytest.raises(InputError, match=r"estimator: expected .* got KNeighborsClassifier"):
        as_module(KNeighborsClassifier().fit(x.numpy(), y.numpy()))
