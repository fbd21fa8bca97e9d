"""The curvature H of Eq. 1 and its inverse: exact for small convex models, EKFAC (through kronfluence) otherwise.

Vectors over the parameters are kept per covered layer, as matrices (k, o, i): see ``catwise.layers``.
"""

import copy
import logging
import tempfile
from dataclasses import dataclass

import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments
from kronfluence.task import Task
from torch import Tensor, nn
from torch.func import functional_call

from catwise.layers import covered, matrices, matrix_shape

__all__ = ["Curvature", "Ekfac", "Exact", "exact", "fit_ekfac", "from_tensors"]


@dataclass(frozen=True)
class Exact:
    """H = sum_i grad^2 l(z_i) + n l2 I over the covered layers, flattened and in their order: (p, p)."""

    hessian: Tensor
    shapes: dict[str, tuple[int, int]]

    def solve(self, q: dict[str, Tensor]) -> dict[str, Tensor]:
        """v_k = H^-1 q_k, per layer (k, o, i)."""
        flat_kp = torch.cat([q[name].flatten(1) for name in self.shapes], dim=1)
        v_kp = torch.linalg.solve(self.hessian, flat_kp.T).T
        parts = v_kp.split([o * i for o, i in self.shapes.values()], dim=1)
        return {name: part.unflatten(1, shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}

    def tensors(self) -> dict[str, Tensor]:
        return {"hessian": self.hessian} | {f"shape/{name}": torch.tensor(s) for name, s in self.shapes.items()}


@dataclass(frozen=True)
class Ekfac:
    """Per layer H = n (U_g x U_a) (diag(eigenvalues_oi) + damping mean(eigenvalues)) (U_g x U_a)^T.

    The eigenvalues are those of the *mean* curvature, as kronfluence fits them; ``n`` makes it the sum of Eq. 1.
    The damping is a share of each layer's mean eigenvalue (0.1 is kronfluence's heuristic).
    """

    n: int
    damping: float
    layers: dict[str, dict[str, Tensor]]  # outputs (o, o), inputs (i, i), eigenvalues (o, i)

    def solve(self, q: dict[str, Tensor]) -> dict[str, Tensor]:
        """v_k = H^-1 q_k, per layer (k, o, i)."""
        v = {}
        for name, layer in self.layers.items():
            u_o, u_i, eigenvalues = layer["outputs"], layer["inputs"], layer["eigenvalues"]
            damped = eigenvalues + self.damping * eigenvalues.mean()
            v[name] = u_o @ ((u_o.T @ q[name] @ u_i) / (self.n * damped)) @ u_i.T
        return v

    def tensors(self) -> dict[str, Tensor]:
        scale = {"n": torch.tensor(self.n), "damping": torch.tensor(self.damping, dtype=torch.float64)}
        factors = {f"{part}/{name}": value for name, layer in self.layers.items() for part, value in layer.items()}
        return scale | factors


Curvature = Exact | Ekfac


def from_tensors(tensors: dict[str, Tensor]) -> Curvature:
    """The inverse of ``tensors()``."""
    if "hessian" in tensors:
        shapes = {key.removeprefix("shape/"): tuple(t.tolist()) for key, t in tensors.items() if key != "hessian"}
        return Exact(tensors["hessian"], shapes)
    layers: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        part, _, name = key.partition("/")
        if name:
            layers.setdefault(name, {})[part] = value
    return Ekfac(int(tensors["n"]), float(tensors["damping"]), layers)


def exact(model: nn.Module, x: Tensor, y: Tensor, l2: float) -> Exact:
    """The Hessian of sum_i l(z_i) + n l2/2 |theta|^2 by automatic differentiation; for few parameters."""
    layers = covered(model)
    shapes = {name: matrix_shape(layer) for name, layer in layers.items()}

    def total(flat_p: Tensor) -> Tensor:
        named = {}
        parts = flat_p.split([o * i for o, i in shapes.values()])
        for (name, layer), part in zip(layers.items(), parts, strict=True):
            matrix = part.view(shapes[name])
            named[f"{name}.weight"] = matrix[:, : layer.weight[0].numel()].reshape(layer.weight.shape)
            if layer.bias is not None:
                named[f"{name}.bias"] = matrix[:, -1]
        losses = torch.nn.functional.cross_entropy(functional_call(model, named, x), y, reduction="sum")
        return losses + len(y) * l2 / 2 * flat_p.square().sum()

    theta = torch.cat([matrix.flatten() for matrix in matrices(model, dict(model.named_parameters())).values()])
    return Exact(torch.func.hessian(total)(theta.detach()).contiguous(), shapes)


class Classification(Task):
    """kronfluence's view of a classifier; ``sample=True`` draws the label from the model (true Fisher)."""

    def compute_train_loss(self, batch: tuple[Tensor, Tensor], model: nn.Module, sample: bool = False) -> Tensor:
        x, y = batch
        logits = model(x)
        if sample:
            with torch.no_grad():
                y = torch.multinomial(logits.softmax(-1), 1).flatten()
        return torch.nn.functional.cross_entropy(logits, y, reduction="sum")

    def compute_measurement(self, batch: tuple[Tensor, Tensor], model: nn.Module) -> Tensor:
        return self.compute_train_loss(batch, model)


def fit_ekfac(model: nn.Module, x: Tensor, y: Tensor, *, damping: float, seed: int, batch_size: int) -> Ekfac:
    """Fits eigenvectors and corrected eigenvalues of each covered layer's Fisher matrix with kronfluence.

    The model is copied, because kronfluence wraps and freezes what it is given; the sampled labels are seeded.
    Source: George et al. 2018 (arXiv 1806.03884), Grosse et al. 2023 (arXiv 2308.03296).
    """
    dtype = x.dtype
    arguments = FactorArguments(
        strategy="ekfac",
        activation_covariance_dtype=dtype,
        gradient_covariance_dtype=dtype,
        per_sample_gradient_dtype=dtype,
        lambda_dtype=dtype,
        covariance_max_examples=None,
        lambda_max_examples=None,
    )
    task = Classification()
    logging.getLogger("kronfluence").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        torch.manual_seed(seed)
        analyzer = Analyzer(
            "factors",
            prepare_model(copy.deepcopy(model).eval(), task),
            task,
            output_dir=folder,
            disable_tqdm=True,
            disable_model_save=True,
            log_level=logging.ERROR,
        )
        rows = torch.utils.data.TensorDataset(x, y)
        analyzer.fit_all_factors("factors", rows, per_device_batch_size=batch_size, factor_args=arguments)
        factors = analyzer.load_all_factors("factors")
    layers = {
        name: {
            "outputs": factors["gradient_eigenvectors"][name].to(dtype).contiguous(),
            "inputs": factors["activation_eigenvectors"][name].to(dtype).contiguous(),
            "eigenvalues": (factors["lambda_matrix"][name] / factors["num_lambda_processed"][name]).to(dtype),
        }
        for name in covered(model)
    }
    return Ekfac(len(y), damping, layers)
