"""Training with one weight per sample: to convergence for a convex model, epoch by epoch otherwise."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from catwise.errors import InputError
from catwise.metrics import per_sample_loss

__all__ = ["fit_convex", "train_epochs", "triangle"]


def fit_convex(model: nn.Module, x: Tensor, y: Tensor, l2: float, weights: Tensor | None = None) -> float:
    """Minimises F(theta) = 1/n sum_i w_i l(z_i; theta) + l2/2 |theta|^2 in place, by a trust-region Newton method.

    Differs from the paper: it is silent on the penalty; ours makes the optimum of separable data finite.
    Returns |grad F| at the end. Raises InputError where there is no finite optimum.
    """
    w = torch.ones(len(y), dtype=x.dtype) if weights is None else weights
    names = [name for name, _ in model.named_parameters()]
    shapes = [parameter.shape for parameter in model.parameters()]

    def objective(theta: Tensor) -> Tensor:
        parts = theta.split([shape.numel() for shape in shapes])
        named = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        losses = torch.nn.functional.cross_entropy(functional_call(model, named, x), y, reduction="none")
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
        raise InputError(f"train.l2: expected a penalty under which the optimum is finite; came {l2}")
    vector_to_parameters(torch.from_numpy(found).to(x.dtype), model.parameters())
    return norm


def triangle(progress: float, epochs: int) -> float:
    """The learning rate's factor after ``progress`` epochs: from 0 up to 1 at epochs // 5 and back to 0."""
    return float(np.interp(progress, [0, max(1, epochs // 5), epochs], [0, 1, 0]))


def train_epochs(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    seed: int,
    weights: Tensor | None = None,
) -> Iterator[int]:
    """Trains in place by plain SGD on 1/|B| sum_{i in B} w_i l(z_i), yielding the number of each finished epoch.

    The order of the samples in epoch e depends on ``seed`` and e alone, so any epoch can be taken again from the one
    before; all-ones weights give the bits of no weights.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    steps = max(1, len(y) // batch_size)
    model.train()
    for epoch in range(1, epochs + 1):
        order = torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(len(y))).to(y.device)
        for step, batch in enumerate(order[: steps * batch_size].split(batch_size)):
            rate = learning_rate * triangle(epoch - 1 + (step + 1) / steps, epochs)
            for group in optimizer.param_groups:
                group["lr"] = rate
            losses = per_sample_loss(model, (x[batch], y[batch]))
            if weights is not None:
                losses = weights[batch] * losses
            optimizer.zero_grad(set_to_none=True)
            losses.mean().backward()
            optimizer.step()
        yield epoch
