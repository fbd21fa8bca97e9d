"""Draw the pairs of sample and label that stand for the Fisher matrix."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Draw", "Pairs", "draw_pairs"]


Draw = Literal["importance", "balanced", "every"]


@dataclass(frozen=True)
class Pairs:
    """Samples with labels: the mean of f(i, y) over all samples and predicted labels is sum_s weights_s f(i_s, y_s).

    ``inputs`` are the weights for what depends on the sample alone. Both sum to 1 in expectation.
    """

    rows: Tensor
    labels: Tensor
    weights: Tensor
    inputs: Tensor


def draw_pairs(p_nk: Tensor, given_n: Tensor, draw: Draw, samples: int | None, seed: int) -> Pairs:
    """Which pairs stand for the whole, from the predicted probabilities ``p_nk``; ``samples`` None: as many as n.

    importance  in proportion to p_y |e_y - p|^2, by systematic sampling along the given classes (n random numbers fewer
                than independent draws, and each class gets its share)
    balanced    samples without repetition, given classes as equal as their sizes allow; one label drawn for each
    every       all labels of all samples, weighted by p_y: no randomness, k times the work
    """
    n, num_classes = p_nk.shape
    size = n if samples is None else samples
    generator = torch.Generator().manual_seed(seed)
    p_nk, given_n = p_nk.double().cpu(), given_n.cpu()
    if draw == "every":
        weights = (p_nk / n).flatten()
        return Pairs(
            torch.arange(n).repeat_interleave(num_classes),
            torch.arange(num_classes).repeat(n),
            weights,
            weights,
        )
    if draw == "balanced":
        rows = torch.arange(n) if size == n else _balanced(given_n, size, generator)
        labels = torch.multinomial(
            p_nk[rows], 1, generator=torch.Generator().manual_seed(seed)
        ).flatten()
        equal = torch.full((size,), 1 / size, dtype=torch.float64)
        return Pairs(rows, labels, equal, equal)
    importance_nk = p_nk * (1 - 2 * p_nk + p_nk.square().sum(1, keepdim=True)).clamp(min=1e-12)
    importance_nk /= importance_nk.sum()
    order = given_n.argsort(stable=True)
    steps = importance_nk[order].flatten().cumsum(0)
    points = (
        torch.arange(size, dtype=torch.float64)
        + torch.rand((), generator=generator, dtype=torch.float64)
    ) / size
    drawn = torch.searchsorted(steps / steps[-1], points).clamp(max=n * num_classes - 1)
    rows, labels = order[drawn // num_classes], drawn % num_classes
    weights = p_nk[rows, labels] / n / (size * importance_nk[rows, labels])
    return Pairs(rows, labels, weights, 1 / n / (size * importance_nk[rows].sum(1)))


def _balanced(labels: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """``samples`` rows at random, in order, classes as equal as their sizes allow."""
    order = torch.randperm(len(labels), generator=generator)
    rank = torch.empty_like(
        order
    )  # the how-manieth of its class each sample is, in the shuffled order
    for label in labels.unique():
        mine = order[labels[order] == label]
        rank[mine] = torch.arange(len(mine))
    return order[rank[order].argsort(stable=True)][:samples].sort().values
