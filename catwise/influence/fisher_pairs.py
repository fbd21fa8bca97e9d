"""Draw the pairs of sample and label that stand for the Fisher matrix."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Draw", "Pairs", "draw_pairs"]

Draw = Literal["importance", "balanced", "every"]


@dataclass(frozen=True)
class Pairs:
    """Hold pairs of a sample and a label, with weights that make sums over them means.

    The mean of f(i, y) over all samples i, and over labels y as likely as predicted, is the sum of
    weight f(row, label) over the pairs. For an f(i) of the sample alone it is the sum of
    input_weight f(row). Both weights sum to 1 in expectation.
    """

    rows: Tensor
    labels: Tensor
    weights: Tensor
    input_weights: Tensor


def draw_pairs(
    probability_nk: Tensor, labels_n: Tensor, draw: Draw, samples: int | None, seed: int
) -> Pairs:
    """Draw the pairs that stand for all, given the predicted probabilities of every label.

    ``samples`` is how many pairs are drawn, of which ``every`` takes no notice; None draws as many
    as there are samples. ``draw`` says how, and ``labels_n`` are the given labels, over which the
    draw is spread:

        importance  in proportion to p_y |e_y - p|^2, by systematic sampling along the given classes
                    (n random numbers fewer than independent draws, and each class gets its share)
        balanced    samples without repetition, given classes as equal as their sizes allow, and one
                    label drawn for each
        every       all labels of all samples, weighted by p_y: no randomness, k times the work

    >>> pairs = draw_pairs(torch.tensor([[0.75, 0.25]]), torch.tensor([0]), "every", None, seed=0)
    >>> pairs.labels.tolist(), pairs.weights.tolist()
    ([0, 1], [0.75, 0.25])
    """
    probability_nk, labels_n = probability_nk.double().cpu(), labels_n.cpu()
    count = len(labels_n) if samples is None else samples
    if draw == "every":
        return _every(probability_nk)
    if draw == "balanced":
        return _balanced(probability_nk, labels_n, count, seed)
    return _importance(probability_nk, labels_n, count, seed)


def _every(probability_nk: Tensor) -> Pairs:
    n, k = probability_nk.shape
    weights = (probability_nk / n).flatten()
    return Pairs(torch.arange(n).repeat_interleave(k), torch.arange(k).repeat(n), weights, weights)


def _balanced(probability_nk: Tensor, labels_n: Tensor, count: int, seed: int) -> Pairs:
    n = len(labels_n)
    rows = torch.arange(n) if count == n else _balanced_rows(labels_n, count, seed)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(probability_nk[rows], 1, generator=generator).flatten()
    weights = torch.full((count,), 1 / count, dtype=torch.float64)
    return Pairs(rows, labels, weights, weights)


def _balanced_rows(labels_n: Tensor, count: int, seed: int) -> Tensor:
    """Draw ``count`` rows at random, sorted, with classes as equal as their sizes allow."""
    generator = torch.Generator().manual_seed(seed)
    order_n = torch.randperm(len(labels_n), generator=generator)
    rank_n = torch.empty_like(order_n)  # of each sample within its class, in the shuffled order
    for label in labels_n.unique():
        members = order_n[labels_n[order_n] == label]
        rank_n[members] = torch.arange(len(members))
    return order_n[rank_n[order_n].argsort(stable=True)][:count].sort().values


def _importance(probability_nk: Tensor, labels_n: Tensor, count: int, seed: int) -> Pairs:
    n, k = probability_nk.shape
    error_nk = 1 - 2 * probability_nk + probability_nk.square().sum(1, keepdim=True)  # |e_y - p|^2
    importance_nk = probability_nk * error_nk.clamp(min=1e-12)
    importance_nk /= importance_nk.sum()
    generator = torch.Generator().manual_seed(seed)
    order_n = labels_n.argsort(stable=True)
    steps = importance_nk[order_n].flatten().cumsum(0)
    offset = torch.rand((), generator=generator, dtype=torch.float64)
    points = (torch.arange(count, dtype=torch.float64) + offset) / count
    drawn = torch.searchsorted(steps / steps[-1], points).clamp(max=n * k - 1)
    rows, labels = order_n[drawn // k], drawn % k
    weights = probability_nk[rows, labels] / n / (count * importance_nk[rows, labels])
    return Pairs(rows, labels, weights, 1 / n / (count * importance_nk[rows].sum(1)))
