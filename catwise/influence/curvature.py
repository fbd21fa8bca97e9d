"""Solve with the curvature H of Eq. 1: exact for few parameters, factored per layer otherwise.

Vectors over the parameters are kept as a matrix per covered layer, (k, o, i) for k of them: see
``catwise.influence.layers``.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.fingerprint import fingerprint
from catwise.core.losses import per_sample_loss
from catwise.core.numbers import require_number
from catwise.influence.layers import (
    as_matrices,
    as_parameters,
    called_with,
    covered_layers,
    frozen,
    matrix_shape,
)
from catwise.influence.reading import as_samples
from catwise.influence.samples import Data

__all__ = [
    "Curvature",
    "ExactHessian",
    "FactoredCurvature",
    "exact_hessian",
    "from_tensors",
    "full_precision",
]

Shapes = dict[str, tuple[int, int]]
# The name of a layer and eigenvalues of the *mean* curvature -> the factor of each eigenvector.
Filter = Callable[[str, Tensor], Tensor]


@dataclass(frozen=True)
class ExactHessian:
    """Hold H = sum_i grad^2 l(z_i) + n l2 I, (p, p), over the covered layers in their order.

    ``weights`` is the fingerprint of the model that it was taken of, empty where it is not known.
    """

    hessian: Tensor
    shapes: Shapes
    n: int
    weights: str = ""

    @property
    def names(self) -> list[str]:
        """Return the names of the covered layers."""
        return list(self.shapes)

    def solve(self, q: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute v_k = H^-1 q_k, per layer (k, o, i).

        Raises InputError for a Hessian that is not positive definite, whose inverse means nothing.
        """
        if torch.linalg.cholesky_ex(self.hessian).info:
            raise InputError(
                "curvature: expected a positive definite Hessian, as at an optimum with a positive"
                " l2; got another; train on, raise l2, or take the factored curvature"
            )
        flat_kp = torch.cat([q[name].flatten(1) for name in self.shapes], dim=1)
        return _unflatten(torch.linalg.solve(self.hessian, flat_kp.T).T, self.shapes)

    def apply(self, v: dict[str, Tensor], filter: Filter) -> dict[str, Tensor]:
        """Multiply v by a function of H / n, whose layers are one to it: its name is empty."""
        flat_kp = torch.cat([v[name].flatten(1) for name in self.shapes], dim=1)
        eigenvalues, basis = torch.linalg.eigh(self.hessian / self.n)
        return _unflatten(flat_kp @ basis * filter("", eigenvalues) @ basis.T, self.shapes)

    def tensors(self) -> dict[str, Tensor]:
        """Return everything as named tensors, for a safetensors file."""
        shapes = {f"shape/{name}": torch.tensor(shape) for name, shape in self.shapes.items()}
        return {"hessian": self.hessian, "n": torch.tensor(self.n)} | shapes


@dataclass(frozen=True)
class FactoredCurvature:
    """Hold H = n (U_o x U_i) (diag(eigenvalues_oi) + damping mean(eigenvalues)) (U_o x U_i)^T.

    ``layers[name]`` holds ``eigenvalues`` (o, i) of the *mean* curvature of that layer; ``n`` makes
    it the sum of Eq. 1. It also holds the bases ``outputs`` (o, o) and ``inputs`` (i, i), each
    unless it is the identity; a layer with groups has one of each for every group, stacked. The
    damping is a share of each layer's mean eigenvalue (0.1 is kronfluence's heuristic); it stands
    for the penalty and for what is uncertain. ``weights`` is the fingerprint of the model that it
    was fitted to, empty where it is not known.
    """

    n: int
    damping: float
    layers: dict[str, dict[str, Tensor]]
    weights: str = ""

    @property
    def shapes(self) -> Shapes:
        """Return the shape of the matrix of each covered layer."""
        return {name: _shape(layer["eigenvalues"]) for name, layer in self.layers.items()}

    @property
    def names(self) -> list[str]:
        """Return the names of the covered layers."""
        return list(self.layers)

    def solve(self, q: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute v_k = H^-1 q_k, per layer (k, o, i), of the layers that q has."""
        return self.apply(q, lambda _, eigenvalues: 1 / self._damped(eigenvalues))

    def apply(self, v: dict[str, Tensor], filter: Filter) -> dict[str, Tensor]:
        """Multiply v by a function of H / n, undamped, in the eigenbasis of each of its layers."""
        directions = {}
        for name, v_koi in v.items():
            layer = self.layers[name]
            filtered = _rotated(v_koi, layer) * filter(name, layer["eigenvalues"])
            directions[name] = _rotated_back(filtered, layer)
        return directions

    def _damped(self, eigenvalues: Tensor) -> Tensor:
        """Return the eigenvalues of H, damped: (o, i).

        A layer below a head of zeros has no gradient and no curvature: 0 / tiny is its share of P.
        """
        tiny = torch.finfo(eigenvalues.dtype).tiny
        return self.n * (eigenvalues + self.damping * eigenvalues.mean()).clamp(min=tiny)

    def tensors(self) -> dict[str, Tensor]:
        """Return everything as named tensors, for a safetensors file."""
        damping = torch.tensor(self.damping, dtype=torch.float64)
        return {"n": torch.tensor(self.n), "damping": damping} | {
            f"{part}/{name}": value
            for name, layer in self.layers.items()
            for part, value in layer.items()
        }


Curvature = ExactHessian | FactoredCurvature


def from_tensors(tensors: dict[str, Tensor]) -> Curvature:
    """Restore the curvature whose ``tensors()`` are given."""
    if "hessian" in tensors:
        shapes = {
            key.removeprefix("shape/"): tuple(shape.tolist())
            for key, shape in tensors.items()
            if key.startswith("shape/")
        }
        return ExactHessian(tensors["hessian"], shapes, int(tensors["n"]))
    layers: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        part, slash, name = key.partition("/")
        if slash:  # the name is empty where the model itself is the layer
            layers.setdefault(name, {})[part] = value
    return FactoredCurvature(int(tensors["n"]), float(tensors["damping"]), layers)


def exact_hessian(model: nn.Module, train: Data, l2: float) -> ExactHessian:
    """Compute the Hessian of sum_i l(z_i) + n l2/2 |theta|^2 by automatic differentiation.

    l is the cross entropy of the model in evaluation mode, and n the number of training samples: a
    sum, as in Eq. 1. Of a model in half precision it is that of a copy in float32.

    >>> model = nn.Linear(1, 2, bias=False)
    >>> _ = nn.init.zeros_(model.weight)
    >>> exact_hessian(model, (torch.ones(4, 1), torch.tensor([0, 0, 1, 1])), l2=0.5).hessian
    tensor([[ 3., -1.],
            [-1.,  3.]])
    """
    require_number("l2", l2, 0)
    model = full_precision(model)
    layers = covered_layers(model)
    shapes = {name: matrix_shape(layer) for name, layer in layers.items()}
    source = as_samples(train, model, "train")
    n, batch = len(source), source.rows(slice(None))

    def objective(flat_p: Tensor) -> Tensor:
        matrices = {name: part[0] for name, part in _unflatten(flat_p[None], shapes).items()}
        parameters = as_parameters(layers, matrices)
        losses = called_with(model, parameters, per_sample_loss, batch)
        return losses.sum() + n * l2 / 2 * flat_p.square().sum()

    theta = as_matrices(layers, dict(model.named_parameters()))
    flat_p = torch.cat([matrix.flatten() for matrix in theta.values()]).detach()
    with frozen(model):
        hessian = torch.func.hessian(objective)(flat_p).contiguous()
    return ExactHessian(hessian, shapes, n, fingerprint(model))


def full_precision(model: nn.Module) -> nn.Module:
    """Return a copy in float32 of a model in half precision, and any other model as it is."""
    half = any(part.is_floating_point() and part.itemsize < 4 for part in model.parameters())
    return copy.deepcopy(model).float() if half else model


def _shape(matrix: Tensor) -> tuple[int, int]:
    return matrix.shape[0], matrix.shape[1]


def _rotated(v_koi: Tensor, layer: dict[str, Tensor]) -> Tensor:
    """Write the directions of a layer in its eigenbasis."""
    return _between(v_koi, layer, lambda u_o: u_o.mT, lambda u_i: u_i)


def _rotated_back(rotated: Tensor, layer: dict[str, Tensor]) -> Tensor:
    """Undo ``_rotated``."""
    return _between(rotated, layer, lambda u_o: u_o, lambda u_i: u_i.mT)


def _between(
    v_koi: Tensor,
    layer: dict[str, Tensor],
    left: Callable[[Tensor], Tensor],
    right: Callable[[Tensor], Tensor],
) -> Tensor:
    """Multiply by the bases of a layer from both sides, group by group."""
    u_o, u_i = layer.get("outputs"), layer.get("inputs")
    grouped = u_o is not None and u_o.dim() == 3
    v = v_koi.unflatten(1, (len(u_o), -1)) if u_o is not None and grouped else v_koi
    v = v if u_o is None else left(u_o) @ v
    v = v if u_i is None else v @ right(u_i)
    return v.flatten(1, 2) if grouped else v


def _unflatten(flat_kp: Tensor, shapes: Shapes) -> dict[str, Tensor]:
    parts = flat_kp.split([o * i for o, i in shapes.values()], dim=1)
    return {
        name: part.unflatten(1, shape)
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }
