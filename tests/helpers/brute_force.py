"""Compute slowly, from the definitions, what the library does fast; none of its code is used."""

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor, nn
from torch.func import functional_call, jvp


def losses(model: nn.Module, theta: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Compute -log p(y | x) of each sample with the parameters ``theta``."""
    logits = functional_call(model, theta, x)
    return -logits.log_softmax(1)[torch.arange(len(y)), y]


def parameters(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters of the model by name."""
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def flat(theta: dict[str, Tensor]) -> Tensor:
    """Return the parameters as one vector, in their order."""
    return torch.cat([part.flatten() for part in theta.values()])


def influence(
    model: nn.Module,
    train: tuple[Tensor, Tensor],
    query: tuple[Tensor, Tensor],
    num_classes: int,
    l2: float,
) -> Tensor:
    """Compute P[i, k] = q_k . (sum_i grad^2 l(z_i) + n l2 I)^-1 g_i with dense gradients."""
    theta = parameters(model)
    shapes = {name: part.shape for name, part in theta.items()}

    def unflat(vector: Tensor) -> dict[str, Tensor]:
        parts = vector.split([shape.numel() for shape in shapes.values()])
        return {
            name: part.view(shape)
            for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }

    def loss(vector: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return losses(model, unflat(vector), x, y).sum()

    point = flat(theta)
    gradient = torch.func.grad(loss)
    hessian = torch.func.hessian(loss)(point, *train) + len(train[1]) * l2 * torch.eye(
        len(point), dtype=point.dtype
    )
    g_np = torch.stack([gradient(point, x[None], y[None]) for x, y in zip(*train, strict=True)])
    x, y = query
    q_kp = torch.stack([gradient(point, x[y == k], y[y == k]) for k in range(num_classes)])
    return g_np @ torch.linalg.inv(hessian) @ q_kp.T


def directional_derivatives(
    model: nn.Module, x: Tensor, y: Tensor, directions: list[dict[str, Tensor]]
) -> Tensor:
    """Compute d l(z_i; theta + eps v_k) / d eps by forward-mode differentiation: (n, k)."""
    theta = parameters(model)
    rest = {name: torch.zeros_like(part) for name, part in theta.items()}
    return torch.stack(
        [jvp(lambda t: losses(model, t, x, y), (theta,), ({**rest, **v},))[1] for v in directions],
        1,
    )


def as_parameters(model: nn.Module, v: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Split layer matrices (k, o, i) into parameters for each k; the last column is the bias."""
    directions: list[dict[str, Tensor]] = []
    for k in range(len(next(iter(v.values())))):
        named = {}
        for name, v_koi in v.items():
            layer = model.get_submodule(name)
            matrix = v_koi[k]
            if layer.bias is not None:
                named[f"{name}.bias"] = matrix[:, -1]
                matrix = matrix[:, :-1]
            named[f"{name}.weight"] = matrix.reshape(layer.weight.shape)
        directions.append(named)
    return directions


def best_worst_gain(p_nk: np.ndarray, size: float) -> float:
    """Compute max_w min_k (w - 1) . P[:, k] / |P[:, k]|_1.

    The weights have 0 <= w <= 2, mean(w) = 1 and mean |w - 1| <= size. The program has a variable
    d_i = w_i - 1 and a bound |d_i| <= b_i for each sample, and last the worst gain.
    """
    n, k = p_nk.shape
    scaled_nk = p_nk / np.abs(p_nk).sum(axis=0)
    eye, none = np.eye(n), np.zeros((n, 1))
    answer = linprog(
        np.append(np.zeros(2 * n), -1),
        A_ub=np.vstack(
            [
                np.hstack([-scaled_nk.T, np.zeros((k, n)), np.ones((k, 1))]),
                np.hstack([eye, -eye, none]),
                np.hstack([-eye, -eye, none]),
                np.concatenate([np.zeros(n), np.ones(n), [0]])[None],
            ]
        ),
        b_ub=np.concatenate([np.zeros(k + 2 * n), [size * n]]),
        A_eq=np.concatenate([np.ones(n), np.zeros(n + 1)])[None],
        b_eq=[0],
        bounds=[(-1, 1)] * n + [(0, None)] * n + [(None, None)],
    )
    return -answer.fun
