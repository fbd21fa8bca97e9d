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

    ``train`` is (x, y) as tensors, x of shape (n, features). The estimator is copied for each
    training, and its ``random_state`` is set where it has one.

    Raises InputError as ``as_module`` does.
    """
    from sklearn.base import clone

    x, y = (values.cpu().numpy() for values in train)

    def trained(weights_n: np.ndarray, seed: int) -> nn.Module:
        fresh = clone(estimator)
        if "random_state" in fresh.get_params():
            fresh.set_params(random_state=seed)
        return as_module(fresh.fit(x, y, sample_weight=weights_n), train[0].dtype)

    return trained


def as_module(estimator: Any, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return the torch model whose logits are the estimator's: linear, or a multilayer perceptron.

    With two classes, for which the estimator has one score s, the logits are 0 and s.

    Raises InputError for another kind of estimator.
    """
    if hasattr(estimator, "coefs_") and estimator.activation in ACTIVATIONS:
        layers: list[nn.Module] = []
        *hidden, last = zip(estimator.coefs_, estimator.intercepts_, strict=True)
        for weight_io, bias_o in hidden:
            layers += [_linear(weight_io.T, bias_o), ACTIVATIONS[estimator.activation]()]
        return nn.Sequential(*layers, _last(last[0].T, last[1])).to(dtype)
    if hasattr(estimator, "coef_") and hasattr(estimator, "classes_"):
        bias_o = np.broadcast_to(estimator.intercept_, len(estimator.coef_))
        return _last(estimator.coef_, bias_o).to(dtype)
    raise InputError(
        "estimator: expected one with coef_ (linear) or coefs_ (multilayer perceptron);"
        f" got {type(estimator).__name__}"
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
