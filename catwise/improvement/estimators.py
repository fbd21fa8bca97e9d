"""Train scikit-learn's estimators as ``catwise.improve`` wants it: weights in, a torch model out.

Influence needs gradients, so an estimator becomes the torch model that predicts the same: a linear
layer, or the layers of an ``MLPClassifier``.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from catwise.core.errors import InputError
from catwise.core.losses import Batch
from catwise.improvement.own_samples import as_batch
from catwise.improvement.own_training import TrainFunction

__all__ = ["as_module", "sklearn_training"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
}


def sklearn_training(estimator: Any, train: Batch) -> TrainFunction:
    """Return the train function of an estimator whose ``fit`` takes ``sample_weight``.

    ``train`` is (x, y) as tensors or arrays, x of shape (n, features). The estimator is copied for
    each training, and its ``random_state`` is set where it has one.

    Raises InputError for an estimator that takes no weights, for features that are no floats and
    for labels that are not 0 to k - 1; in a training for another number of weights, as
    ``as_module`` does, and where its model predicts other classes.

    >>> from sklearn.linear_model import LogisticRegression
    >>> x, y = torch.tensor([[-1.0], [-2.0], [1.0], [2.0]]), torch.tensor([0, 0, 1, 1])
    >>> train_function = sklearn_training(LogisticRegression(), (x, y))
    >>> train_function(np.ones(4), 0)(x).argmax(dim=1)
    tensor([0, 0, 1, 1])
    """
    from sklearn.base import clone
    from sklearn.utils.validation import has_fit_parameter

    if not has_fit_parameter(estimator, "sample_weight"):
        remedy = "; transform the features before, and give its last step"
        raise InputError(
            f"estimator: expected one whose fit takes sample_weight; got {type(estimator).__name__}"
            f"{remedy if hasattr(estimator, 'steps') else ''}"
        )
    *inputs, labels = as_batch("train", train)
    if len(inputs) != 1:
        raise InputError(
            f"train: expected features and labels; got {len(inputs)} inputs and labels"
        )
    (features,) = inputs
    if not features.is_floating_point():
        raise InputError(f"train: expected features as floats; got {features.dtype}")
    x, y = features.cpu().numpy(), labels.cpu().numpy()
    present = np.unique(y)
    if not np.array_equal(present, np.arange(len(present))):
        given = ", ".join(map(str, present[:9]))
        raise InputError(f"train: expected labels 0 to k - 1, each of them; got {given}")

    def trained(weights_n: np.ndarray, seed: int) -> nn.Module:
        if len(weights_n) != len(x):
            expected = f"the {len(x)} samples that sklearn_training was given"
            raise InputError(f"train: expected {expected}; got {len(weights_n)}")
        fresh = clone(estimator)
        if "random_state" in fresh.get_params():
            fresh.set_params(random_state=seed)
        fresh.fit(x, y, sample_weight=weights_n)
        _require_same_classes(fresh, x)
        return as_module(fresh, features.dtype)

    return trained


def as_module(estimator: Any, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return the torch model whose logits are the estimator's: linear, or a multilayer perceptron.

    With two classes, for which the estimator has one score s, the logits are 0 and s.

    Raises InputError for another kind of estimator, such as one with a score for each pair of
    classes, as ``SVC`` has.
    """
    if not hasattr(estimator, "classes_"):
        raise _other_kind(estimator)
    classes = len(estimator.classes_)
    if hasattr(estimator, "coefs_") and estimator.activation in ACTIVATIONS:
        layers: list[nn.Module] = []
        *hidden, last = zip(estimator.coefs_, estimator.intercepts_, strict=True)
        for weight_io, bias_o in hidden:
            layers += [_linear(weight_io.T, bias_o), ACTIVATIONS[estimator.activation]()]
        return nn.Sequential(*layers, _last(last[0].T, last[1])).to(dtype)
    pairwise = hasattr(estimator, "dual_coef_") and classes > 2  # as many pairs as 3 classes
    rows = 1 if classes == 2 else classes
    if hasattr(estimator, "coef_") and len(estimator.coef_) == rows and not pairwise:
        bias_o = np.broadcast_to(estimator.intercept_, len(estimator.coef_))
        return _last(estimator.coef_, bias_o).to(dtype)
    raise _other_kind(estimator)


def _other_kind(estimator: Any) -> InputError:
    return InputError(
        "estimator: expected a classifier with a row of coef_ for each class (linear), or with"
        f" coefs_ (multilayer perceptron); got {type(estimator).__name__}"
    )


def _require_same_classes(estimator: Any, x: np.ndarray) -> None:
    """Raise InputError where the torch model predicts other classes than the estimator.

    Scores that are almost equal may be ordered otherwise by rounding, so one in a hundred may.
    """
    logits = as_module(estimator, torch.float64)(torch.from_numpy(x).double())
    predicted = estimator.classes_[logits.argmax(1).numpy()]
    if (share := (predicted == estimator.predict(x)).mean()) < 0.99:
        raise InputError(
            "estimator: expected one whose scores are linear in the features, a row for each class;"
            f" got {type(estimator).__name__}, which predicts otherwise for {1 - share:.0%}"
        )


def _last(weight_oi: np.ndarray, bias_o: np.ndarray) -> nn.Linear:
    """Return the layer of the logits, that of the first of two classes being 0."""
    if len(weight_oi) == 1:
        weight_oi = np.vstack([np.zeros_like(weight_oi), weight_oi])
        bias_o = np.append(0.0, bias_o)
    return _linear(weight_oi, bias_o)


def _linear(weight_oi: np.ndarray, bias_o: np.ndarray) -> nn.Linear:
    layer = nn.Linear(weight_oi.shape[1], len(weight_oi)).double()
    layer.weight.data, layer.bias.data = (
        torch.tensor(weight_oi).double(),
        torch.tensor(bias_o).double(),
    )
    return layer
