"""The curvature H of Eq. 1 and its inverse: exact for few parameters, factored per layer otherwise.

Vectors over the parameters are kept per covered_layers layer, as matrices (k, o, i): see ``catwise.influence.layers``.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from catwise.core.losses import Batch
from catwise.influence.layers import covered_layers, matrices, matrix_shape

__all__ = ["Curvature", "ExactHessian", "FactoredCurvature", "exact_hessian", "from_tensors"]

Shapes = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class ExactHessian:
    """H = sum_i grad^2 l(z_i) + n l2 I over the covered layers, flattened and in their order: (p, p)."""

    hessian: Tensor
    shapes: Shapes

    @property
    def names(self) -> list[str]:
        """The covered layers."""
        return list(self.shapes)

    def solve(self, q: dict[str, Tensor]) -> dict[str, Tensor]:
        """v_k = H^-1 q_k, per layer (k, o, i)."""
        flat_kp = torch.cat([q[name].flatten(1) for name in self.shapes], dim=1)
        return _unflat(torch.linalg.solve(self.hessian, flat_kp.T).T, self.shapes)

    def tensors(self) -> dict[str, Tensor]:
        """Everything, for a safetensors file."""
        return {"hessian": self.hessian} | {
            f"shape/{name}": torch.tensor(s) for name, s in self.shapes.items()
        }


@dataclass(frozen=True)
class FactoredCurvature:
    """Per layer H = n (U_o x U_i) (diag(eigenvalues_oi) + damping mean(eigenvalues)) (U_o x U_i)^T.

    ``layers[name]`` holds ``eigenvalues`` (o, i) of the *mean* curvature; ``n`` makes it the sum of Eq. 1. It holds the
    bases ``outputs`` (o, o) and ``inputs`` (i, i) too, each unless it is the identity. The damping is a share of each
    layer's mean eigenvalue (0.1 is kronfluence's heuristic); it stands for the penalty and for what is uncertain.

    With a ``horizon`` h, H^-1 is instead what descent does of it while its learning rates sum to h: eigenvalue e of the
    mean curvature counts (1 - exp(-h e))/(n e), no more than h/n (Bae et al. 2024, arXiv 2405.12186).
    """

    n: int
    damping: float
    layers: dict[str, dict[str, Tensor]]
    horizon: float | None = None

    @property
    def names(self) -> list[str]:
        """The covered layers."""
        return list(self.layers)

    def solve(self, q: dict[str, Tensor]) -> dict[str, Tensor]:
        """v_k = H^-1 q_k, per layer (k, o, i)."""
        v = {}
        for name, layer in self.layers.items():
            divisor = self._divisor(layer["eigenvalues"])
            u_o, u_i = layer.get("outputs"), layer.get("inputs")
            rotated = q[name] if u_o is None else u_o.T @ q[name]
            rotated = (rotated if u_i is None else rotated @ u_i) / divisor
            rotated = rotated if u_o is None else u_o @ rotated
            v[name] = rotated if u_i is None else rotated @ u_i.T
        return v

    def _divisor(self, eigenvalues: Tensor) -> Tensor:
        if self.horizon is None:
            return self.n * (eigenvalues + self.damping * eigenvalues.mean())
        reached = (self.horizon * eigenvalues).clamp(min=torch.finfo(eigenvalues.dtype).tiny)
        return self.n / self.horizon * (reached / -torch.expm1(-reached))

    def tensors(self) -> dict[str, Tensor]:
        """Everything but the horizon, which belongs to a question and not to the fit; for a safetensors file."""
        scale = {
            "n": torch.tensor(self.n),
            "damping": torch.tensor(self.damping, dtype=torch.float64),
        }
        return scale | {
            f"{part}/{name}": value
            for name, layer in self.layers.items()
            for part, value in layer.items()
        }


Curvature = ExactHessian | FactoredCurvature


def from_tensors(tensors: dict[str, Tensor]) -> Curvature:
    """The inverse of ``tensors()``."""
    if "hessian" in tensors:
        shapes = {
            key.removeprefix("shape/"): tuple(t.tolist())
            for key, t in tensors.items()
            if key != "hessian"
        }
        return ExactHessian(tensors["hessian"], shapes)
    layers: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        part, _, name = key.partition("/")
        if name:
            layers.setdefault(name, {})[part] = value
    return FactoredCurvature(int(tensors["n"]), float(tensors["damping"]), layers)


def exact_hessian(model: nn.Module, train: Batch, l2: float) -> ExactHessian:
    """The Hessian of sum_i l(z_i) + n l2/2 |theta|^2, l the cross entropy, by automatic differentiation."""
    layers = covered_layers(model)
    shapes = {name: matrix_shape(layer) for name, layer in layers.items()}
    *inputs, y = train

    def total(flat_p: Tensor) -> Tensor:
        named = {}
        for name, matrix in _unflat(flat_p[None], shapes).items():
            layer = layers[name]
            named[f"{name}.weight"] = matrix[0, :, : layer.weight[0].numel()].reshape(
                layer.weight.shape
            )
            if layer.bias is not None:
                named[f"{name}.bias"] = matrix[0, :, -1]
        losses = F.cross_entropy(functional_call(model, named, tuple(inputs)), y, reduction="sum")
        return losses + len(y) * l2 / 2 * flat_p.square().sum()

    theta = torch.cat(
        [matrix.flatten() for matrix in matrices(layers, dict(model.named_parameters())).values()]
    )
    return ExactHessian(torch.func.hessian(total)(theta.detach()).contiguous(), shapes)


def _unflat(flat_kp: Tensor, shapes: Shapes) -> dict[str, Tensor]:
    parts = flat_kp.split([o * i for o, i in shapes.values()], dim=1)
    return {
        name: part.unflatten(1, shape)
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }
