"""The torch model of an estimator predicts what the estimator does."""

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC, NuSVC

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


def test_arrays_are_taken_as_tensors_are(rng):
    x, y = blobs(rng, 90)
    given, expected = (
        sklearn_training(LogisticRegression(), train)(np.ones(90), 0)(x)
        for train in ((x.numpy(), y.numpy()), (x, y))
    )
    assert torch.equal(given, expected)
    with pytest.raises(InputError, match=r"^train: expected features as floats; got torch.int64$"):
        sklearn_training(LogisticRegression(), (x.long(), y))
    with pytest.raises(InputError, match=r"^train: expected features and labels; got 2 inputs and"):
        sklearn_training(LogisticRegression(), (x, x, y))


@pytest.mark.parametrize(
    "estimator",
    [
        KNeighborsClassifier(),
        Ridge(),
        MLPRegressor(hidden_layer_sizes=(4,), max_iter=400, tol=0.1),
        SVC(kernel="linear"),
        NuSVC(nu=0.2, kernel="linear"),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_an_estimator_without_a_score_for_each_class_is_refused(estimator, rng):
    x, y = blobs(rng, 90)
    name = type(estimator).__name__
    with pytest.raises(InputError, match=rf"^estimator: expected a classifier .* got {name}$"):
        as_module(estimator.fit(x.numpy(), y.numpy()))


@pytest.mark.parametrize(
    ("estimator", "num_classes"), [(LinearSVC(), 3), (SVC(kernel="linear"), 2)]
)
def test_support_vectors_with_a_score_for_each_class_predict_the_same(estimator, num_classes, rng):
    x, y = blobs(rng, 90, num_classes)
    model = sklearn_training(estimator, (x, y))(np.ones(90), 0)
    assert (model(x).argmax(1).numpy() == estimator.fit(x, y).predict(x)).all()


def test_other_samples_and_other_labels_than_those_that_improve_has_are_refused(rng):
    x, y = blobs(rng, 90)
    trained = sklearn_training(LogisticRegression(), (x, y))
    with pytest.raises(InputError, match=r"^train: expected the 90 samples that .*; got 80$"):
        trained(np.ones(80), 0)
    with pytest.raises(InputError, match=r"^train: expected labels 0 to k - 1, .*; got 1, 2, 3$"):
        sklearn_training(LogisticRegression(), (x, y + 1))


def test_an_estimator_that_takes_no_weights_is_refused_before_any_fit(rng):
    train = blobs(rng, 90)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    with pytest.raises(InputError, match=r"takes sample_weight; got Pipeline; .* its last step$"):
        sklearn_training(pipeline, train)
    with pytest.raises(InputError, match=r"sample_weight; got LinearDiscriminantAnalysis$"):
        sklearn_training(LinearDiscriminantAnalysis(), train)


class Shifted(LogisticRegression):
    """Look at the features the other way round, of which coef_ says nothing."""

    def fit(self, x, y, sample_weight=None):
        return super().fit(-x, y, sample_weight)

    def predict(self, x):
        return super().predict(-x)


def test_an_estimator_that_predicts_otherwise_than_its_coefficients_is_refused(rng):
    x, y = blobs(rng, 90)
    with pytest.raises(InputError, match=r"linear in the features, .* got Shifted, which predicts"):
        sklearn_training(Shifted(), (x, y))(np.ones(90), 0)
