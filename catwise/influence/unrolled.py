"""Compute influence vectors exactly, by reverse mode through every step of SGD.

With the weight decay c and the batch B_t of b samples a step is

    theta_{t+1} = theta_t - eta_t (1/b sum_{i in B_t} w_i grad l(z_i; theta_t) + c theta_t)

With q_k the class gradient at the end, K adjoints go backwards at once, a_T = q_k and

    a_t = a_{t+1} - eta_t (H_t a_{t+1} + c a_{t+1})
    H_t = 1/b sum_{i in B_t} w_i grad^2 l(z_i; theta_t)
    P[i, k] = sum_{t: i in B_t} eta_t / b grad l(z_i; theta_t) . a_{t+1}

which is -dL_k / dw_i for the summed loss L_k of class k at theta_T: to first order the rise of L_k
when sample i is left out, the order of the samples kept. One ``jvp`` of the per-sample losses along
a_k gives grad l_i . a_k of the whole batch, and that of the weighted mean's gradient is H_t a_k.
(The other order, the gradient of the products, is wrong for batch norm in torch 2.11: there the
forward derivative takes the statistics of the batch for constants.)

Batch norm takes the statistics of each batch, as in training; at the end its running statistics
are held fixed. What is random in a step (crops, dropout) must be in the batch that the step holds.
Sources: Hara, Nitanda, Maehara 2019, arXiv 1906.08473; Ilyas, Engstrom 2025, arXiv 2504.16430.
Differs from the paper: it takes P at the last checkpoint, as if training had converged (Eq. 1).
"""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import grad, jvp, vmap

from catwise.core.errors import InputError
from catwise.core.evaluation import evaluating
from catwise.core.losses import Batch, Loss, per_sample_loss
from catwise.core.progress import Progress
from catwise.influence.layers import called_with
from catwise.influence.samples import taken

__all__ = ["Step", "Unrolled", "unrolled_influence"]

Parameters = dict[str, Tensor]


@dataclass(frozen=True)
class Step:
    """Hold one step of SGD: the batch as it was used, its rows, its learning rate."""

    batch: Batch
    rows: Tensor
    rate: float


@dataclass(frozen=True)
class Unrolled:
    """Hold P (n, k) and the largest rate times curvature that an adjoint met.

    ``sharpness`` is the largest eta_t |a . H_t a| / |a|^2 over steps and adjoints: where it
    reaches 2, the steps amplify what they should forget, and P of one order of the samples is no
    guide to another.
    """

    p_nk: Tensor
    sharpness: float


def unrolled_influence(
    start: nn.Module,
    steps: Sequence[Step],
    num_samples: int,
    query: Batch,
    groups: Tensor,
    num_groups: int,
    *,
    weight_decay: float = 0.0,
    weights: Tensor | None = None,
    loss: Loss = per_sample_loss,
    query_loss: Loss = per_sample_loss,
    memory: float = 1e9,
    at_once: int | None = None,
    progress: Progress = iter,
) -> Unrolled:
    """Compute the exact P (n, k) of a training by SGD without momentum, and its sharpness.

    start     the network before the first step; it is left as it was
    steps     in their order; ``num_samples`` n is the number that their ``rows`` count
    groups    (m,), the column of each query sample, as for ``influence_vectors``
    weights   (n,), the sample weights of the training; None for ones
    memory    bytes for the parameters before every step and after the last; where they need more,
              those before every s-th of T steps are kept and the others computed again, at the
              price of one more training: ceil(T / s) + s copies of the parameters at once. s is the
              least that fits; the fewest copies are about 2 sqrt(T), even where they do not fit
    at_once   the adjoints that go through a step together, on which the memory of its activations
              depends; None for all

    At the end the running statistics of batch norm are those of ``start``: refresh them first where
    they lag behind. The price is about 3 k forward and backward passes over the steps' batches.
    Raises InputError for a network with dropout, and, with the step and its rate times curvature,
    where an adjoint is not finite.

    >>> x, labels = torch.tensor([[1.0], [-1.0], [1.0]]), torch.tensor([0, 1, 1])
    >>> start = nn.Linear(1, 2, bias=False)
    >>> _ = nn.init.zeros_(start.weight)
    >>> step = Step((x, labels), torch.arange(3), rate=0.5)
    >>> query = (x[:2], labels[:2])
    >>> unrolled_influence(start, [step], 3, query, query[-1], 2).p_nk
    tensor([[ 0.0764,  0.0764],
            [ 0.0764,  0.0764],
            [-0.0764, -0.0764]])
    """
    stepping = _without_running_statistics(start)
    ones = torch.ones(num_samples).to(next(start.parameters()))
    training = _Training(stepping, steps, ones if weights is None else weights, weight_decay, loss)
    theta = {name: value.detach().clone() for name, value in start.named_parameters()}
    size = sum(value.numel() * value.element_size() for value in theta.values())
    stride = _stride(len(steps), memory / size)
    kept, end = training.forwards(stride, theta)
    adjoint = _group_gradients(start, end, query, groups, num_groups, query_loss)
    p_nk = ones.new_zeros(num_samples, num_groups)
    sharpness = 0.0
    for number, before in progress(training.backwards(kept, stride)):
        products, curved, met = training.pulled(before, number, adjoint, at_once)
        step = steps[number]
        p_nk.index_add_(0, step.rows, step.rate / len(step.rows) * products.T)
        sharpness = max(sharpness, met)
        adjoint = {
            name: part - step.rate * (curved[name] + weight_decay * part)
            for name, part in adjoint.items()
        }
        if not all(part.isfinite().all() for part in adjoint.values()):
            raise InputError(
                f"adjoint: expected finite values; got others before step {number}, where the rate"
                f" times the curvature along it is {met:.3g}; a rate below 2 / curvature is stable"
            )
    return Unrolled(p_nk, sharpness)


@dataclass(frozen=True)
class _Training:
    """Run the steps forwards from any of them, and pull adjoints back through one."""

    model: nn.Module
    steps: Sequence[Step]
    weights: Tensor
    weight_decay: float
    loss: Loss

    def losses(self, theta: Parameters, step: Step) -> Tensor:
        """Compute the loss of each sample of the step's batch: (b,)."""
        return called_with(self.model, theta, self.loss, step.batch)

    def weighted(self, theta: Parameters, step: Step) -> Tensor:
        return (self.weights[step.rows] * self.losses(theta, step)).mean()

    def run(self, theta: Parameters, numbers: range) -> list[Parameters]:
        """Return the parameters before each of the steps, and after the last of them."""
        path = [theta]
        for number in numbers:
            step = self.steps[number]
            gradient = grad(self.weighted)(path[-1], step)
            path.append(
                {
                    name: value - step.rate * (gradient[name] + self.weight_decay * value)
                    for name, value in path[-1].items()
                }
            )
        return path

    def forwards(self, stride: int, theta: Parameters) -> tuple[list[Parameters], Parameters]:
        """Return the parameters before every ``stride``-th step, and those at the end."""
        kept = []
        for first in range(0, len(self.steps), stride):
            kept.append(theta)
            theta = self.run(theta, range(first, min(first + stride, len(self.steps))))[-1]
        return kept, theta

    def backwards(self, kept: list[Parameters], stride: int) -> Iterator[tuple[int, Parameters]]:
        """Yield the number of each step, the last first, with the parameters before it."""
        for number, theta in reversed(list(enumerate(kept))):
            numbers = range(number * stride, min((number + 1) * stride, len(self.steps)))
            yield from reversed(list(zip(numbers, self.run(theta, numbers[:-1]), strict=True)))

    def pulled(
        self, theta: Parameters, number: int, adjoint: Parameters, at_once: int | None
    ) -> tuple[Tensor, Parameters, float]:
        """Compute grad l_i . a_k (k, b), H a_k by parameter (k, ...), and the sharpness met."""
        step = self.steps[number]

        def gradient_and_losses(theta: Parameters) -> tuple[Parameters, Tensor]:
            def weighted(theta: Parameters) -> tuple[Tensor, Tensor]:
                losses = self.losses(theta, step)
                return (self.weights[step.rows] * losses).mean(), losses

            return grad(weighted, has_aux=True)(theta)

        def pull_one(a: Parameters) -> tuple[Parameters, Tensor]:
            return jvp(gradient_and_losses, (theta,), (a,))[1]

        curved, products = vmap(pull_one, chunk_size=at_once)(adjoint)
        along, length = _dot(curved, adjoint), _dot(adjoint, adjoint)
        ratio = (along.abs() / length.clamp(min=torch.finfo(length.dtype).tiny)).max()
        return products.detach(), curved, step.rate * float(ratio)


def _dot(first: Parameters, second: Parameters) -> Tensor:
    """Compute the product of each adjoint k of the one with that of the other: (k,)."""
    products = [(first[name] * second[name]).flatten(1).sum(1) for name in first]
    return torch.stack(products).sum(0)


def _stride(steps: int, copies: float) -> int:
    """Return the least stride that holds so many copies of the parameters, or else the fewest."""
    last = max(1, math.isqrt(steps))
    return next((s for s in range(1, last) if math.ceil(steps / s) + s <= copies), last)


def _without_running_statistics(model: nn.Module) -> nn.Module:
    """Return a copy in training mode whose batch norm takes the statistics of each batch.

    Raises InputError for dropout, which would not draw again what the training has drawn.
    """
    copied = copy.deepcopy(model).train()
    for name, module in copied.named_modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0:
            raise InputError(f"start: expected no dropout; got p = {module.p} in module {name!r}")
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return copied


def _group_gradients(
    model: nn.Module,
    theta: Parameters,
    query: Batch,
    groups: Tensor,
    num_groups: int,
    query_loss: Loss,
) -> Parameters:
    """Compute q_k at ``theta``, a sum over the query samples of group k: (k, ...) by parameter."""

    def total(theta: Parameters, rows: Tensor) -> Tensor:
        batch = tuple(taken(part, rows) for part in query)
        return called_with(model, theta, query_loss, batch).sum()

    with evaluating(model):
        per_group = [grad(total)(theta, (groups == k).nonzero()[:, 0]) for k in range(num_groups)]
    return {name: torch.stack([gradients[name] for gradients in per_group]) for name in theta}
