"""Training to convergence for a convex model, with one weight per sample."""

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from catwise.core.errors import InputError
from catwise.core.losses import Batch

__all__ = ["fit_convex"]


def fit_convex(model: nn.Module, train: Batch, l2: float, weights: Tensor | None = None) -> float:
    """Minimises F(theta) = 1/n sum_i w_i l(z_i; theta) + l2/2 |theta|^2 in place, by a trust-region Newton method.

    Differs from the paper: it is silent on the penalty; ours makes the optimum of separable data finite.
    Returns |grad F| at the end. Raises InputError where there is no finite optimum.
    """
    x, y = train
    w = torch.ones(len(y), dtype=x.dtype) if weights is None else weights
    names = [name for name, _ in model.named_parameters()]
    shapes = [parameter.shape for parameter in model.parameters()]

    def objective(theta: Tensor) -> Tensor:
        parts = theta.split([shape.numel() for shape in shapes])
        named = {
            name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)
        }
        losses = torch.nn.functional.cross_entropy(
            functional_call(model, named, x), y, reduction="none"
        )
        return (w * losses).mean() + l2 / 2 * theta.square().sum()

    gradient, hessian = torch.func.grad(objective), torch.func.hessian(objective)

    def call(function):  # type: ignore[no-untyped-def]
        return lambda theta: function(torch.from_numpy(theta).to(x.dtype)).detach().numpy()

    theta = parameters_to_vector(model.parameters()).detach()
    found = minimize(
        call(objective),
        theta.numpy(),
        jac=call(gradient),
        hess=call(hessian),
        method="trust-exact",
        options={"gtol": 1e-12},
    ).x
    # The trust region stops where the objective no longer changes in its last digit; full Newton steps go on.
    # On separable data without a penalty their gradient vanishes too, but the steps do not: the optimum is at infinity.
    for _ in range(3):
        step = np.linalg.lstsq(call(hessian)(found), call(gradient)(found))[0]
        found = found - step
    norm = float(np.linalg.norm(call(gradient)(found)))
    if not (norm <= 1e-8 and np.linalg.norm(step) <= 1e-6 * (1 + np.linalg.norm(found))):
        raise InputError(
            f"train.l2: expected a penalty under which the optimum is finite; got {l2}"
        )
    vector_to_parameters(torch.from_numpy(found).to(x.dtype), model.parameters())
    return norm
