"""Train a convex model to its optimum, with one weight per sample."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from catwise.core.errors import InputError
from catwise.core.losses import Batch

__all__ = ["fit_convex"]


def fit_convex(model: nn.Module, train: Batch, l2: float, weights: Tensor | None = None) -> float:
    """Minimise F(theta) = 1/n sum_i w_i l(z_i; theta) + l2/2 |theta|^2 in place.

    ``weights`` are w (n,), ones by default. The method is trust-region Newton. Returns |grad F| at
    the end, and raises InputError where no optimum is finite.

    Differs from the paper: it is silent on the penalty, without which the optimum of separable data
    is at infinity.
    """
    dtype = train[0].dtype
    objective = _objective(model, train, l2, weights)
    gradient = partial(jacobian, objective)
    curvature = partial(hessian, objective, vectorize=True)  # a quarter of torch.func's time

    def in_numpy(function: Callable[[Tensor], Tensor]) -> Callable[[np.ndarray], np.ndarray]:
        return lambda theta: function(torch.from_numpy(theta).to(dtype)).detach().numpy()

    start = parameters_to_vector(model.parameters()).detach().numpy()
    theta = minimize(
        in_numpy(objective),
        start,
        jac=in_numpy(gradient),
        hess=in_numpy(curvature),
        method="trust-exact",
        options={"gtol": 1e-12},
    ).x
    # The trust region stops where the objective no longer changes in its last digit; full Newton
    # steps go on. On separable data without a penalty the gradient vanishes too, but the steps do
    # not, because the optimum is at infinity.
    for _ in range(3):
        step = np.linalg.lstsq(in_numpy(curvature)(theta), in_numpy(gradient)(theta))[0]
        theta = theta - step
    norm = float(np.linalg.norm(in_numpy(gradient)(theta)))
    if not (norm <= 1e-8 and np.linalg.norm(step) <= 1e-6 * (1 + np.linalg.norm(theta))):
        raise InputError(f"l2: expected a penalty under which the optimum is finite; got {l2}")
    vector_to_parameters(torch.from_numpy(theta).to(dtype), model.parameters())
    return norm


def _objective(
    model: nn.Module, train: Batch, l2: float, weights: Tensor | None
) -> Callable[[Tensor], Tensor]:
    """Return F as a function of the parameters in one vector."""
    x, y = train
    w = torch.ones(len(y), dtype=x.dtype) if weights is None else weights
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}

    def objective(theta: Tensor) -> Tensor:
        parts = theta.split([shape.numel() for shape in shapes.values()])
        named = {
            name: part.view(shape)
            for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }
        logits = functional_call(model, named, x)
        losses = torch.nn.functional.cross_entropy(logits, y, reduction="none")
        return (w * losses).mean() + l2 / 2 * theta.square().sum()

    return objective
