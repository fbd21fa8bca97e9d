"""Sum squares over pairs of sample and label, the passes of which factors are made.

For one sample the gradient of a layer's matrix is G = sum_t g_t a_t^T: see
``catwise.influence.visits``. Sums are over the pairs of ``catwise.influence.fisher_pairs``, which
stand for the whole training set, and are divided among processes by ``catwise.influence.parts``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from catwise.core.losses import Batch, Logits
from catwise.core.progress import Progress
from catwise.influence.fisher_pairs import Pairs
from catwise.influence.layers import groups_of, matrix_shape, select_layers, weight_of
from catwise.influence.samples import Samples
from catwise.influence.visits import sample_gradients, visit_layers

__all__ = ["About", "Factors", "Mask", "attention_mask", "second_moments", "squares"]

Mask = Callable[[Batch], Tensor | None]  # 1 at the positions (n, t) of a padded batch that are real
Factors = dict[str, dict[str, Tensor]]  # by layer, then "outputs", "inputs" and "eigenvalues"


def attention_mask(batch: Batch) -> Tensor | None:
    """Return the ``attention_mask`` of a batch that is a dictionary, if it has one."""
    return batch[0].get("attention_mask") if isinstance(batch[0], Mapping) else None


class _PairBatch:
    """Hold a batch of the pairs, ready for a pass.

    The loss makes each gradient sqrt(weight) G, so that its squares are weighted.
    """

    def __init__(
        self, train: Samples, pairs: Pairs, members: Tensor, logits: Logits, mask: Mask
    ) -> None:
        device, members = train.labels.device, members.to(pairs.rows.device)
        self.samples = pairs.rows[members].to(device)
        *inputs, _ = train.rows(self.samples)
        self.batch: Batch = (*inputs, pairs.labels[members].to(device))
        self.weights = pairs.weights[members].to(device)
        self.input_weights = pairs.input_weights[members].to(device)
        self.logits = logits
        real_nt = mask(self.batch)
        self.real_nt = None if real_nt is None else real_nt.bool()

    def loss(self, model: nn.Module) -> Tensor:
        """Compute sum sqrt(weight) l(x, label) over the pairs."""
        losses = F.cross_entropy(self.logits(model, self.batch), self.batch[-1], reduction="none")
        return (self.weights.sqrt().to(losses) * losses).sum()

    def position_weights(self, a: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the weight of each position of inputs ``a``, 0 for padding: (n, t)."""
        weight_nt = self.input_weights.to(dtype)[:, None].expand(a.shape[:2])
        if self.real_nt is None or a.shape[1] % self.real_nt.shape[1]:
            return weight_nt
        uses = a.shape[1] // self.real_nt.shape[1]  # of the layer, one after the other
        return weight_nt * self.real_nt.repeat(1, uses)


@dataclass(frozen=True)
class About:
    """Hold what a pass is about: the pairs, how the model is called, and the layers it covers."""

    pairs: Pairs
    logits: Logits
    mask: Mask
    names: list[str]

    def batches(self, train: Samples, numbers: Iterable[Tensor]) -> Iterator[_PairBatch]:
        """Make the batches of pairs with these numbers."""
        for members in numbers:
            yield _PairBatch(train, self.pairs, members, self.logits, self.mask)


def squares(
    numbers: Sequence[Tensor], model: nn.Module, train: Samples, about: About, progress: Progress
) -> dict[tuple[str, str], Any]:
    """Sum a a^T and g g^T over pairs and positions of each layer, and the weights of these."""
    layers = select_layers(model, about.names)
    sums: dict[tuple[str, str], Any] = {}
    for name, layer in layers.items():
        o, i = matrix_shape(layer)
        groups, new_zeros = groups_of(layer), weight_of(layer).new_zeros
        one_of_each = isinstance(layer, nn.Embedding)
        sums["inputs", name] = new_zeros(i if one_of_each else _stacked(groups, i))
        sums["outputs", name] = new_zeros(_stacked(groups, o // groups))
        sums["mass", name] = 0.0

    def add(batch: _PairBatch, name: str, a: Tensor, g_nto: Tensor) -> None:
        weight_nt = batch.position_weights(a, g_nto.dtype)
        _add_squares(sums["outputs", name], g_nto)
        if a.dim() == 2:  # numbers of tokens: E[a a^T] is diagonal
            sums["inputs", name].index_add_(0, a.flatten(), weight_nt.flatten())
        else:
            root_nt = weight_nt.sqrt()[(..., *[None] * (a.dim() - 2))]
            _add_squares(sums["inputs", name], root_nt * a)
        sums["mass", name] += float(weight_nt.sum())

    for batch in about.batches(train, progress(numbers)):
        visit_layers(model, layers, partial(batch.loss, model), partial(add, batch), batch.samples)
    return sums


def _stacked(groups: int, size: int) -> tuple[int, ...]:
    """Return the shape of a square matrix, or of one for each group."""
    return (size, size) if groups == 1 else (groups, size, size)


def _add_squares(sums: Tensor, values: Tensor) -> None:
    """Add x x^T over samples and positions, for each group where ``sums`` has groups."""
    if sums.dim() == 2:
        x = values.flatten(0, 1).flatten(1)
        sums.addmm_(x.T, x)
        return
    x = values.reshape(-1, len(sums), sums.shape[-1]).transpose(0, 1)
    sums.baddbmm_(x.mT, x)


def second_moments(
    numbers: Sequence[Tensor],
    model: nn.Module,
    train: Samples,
    about: About,
    bases: Factors,
    progress: Progress,
) -> dict[str, Tensor]:
    """Sum (U_o^T G U_i)^2 over pairs per layer: (o, i). A layer without bases is not rotated."""
    layers = select_layers(model, about.names)
    sums = {name: weight_of(layer).new_zeros(matrix_shape(layer)) for name, layer in layers.items()}

    def add(name: str, a: Tensor, g_nto: Tensor) -> None:
        basis = bases[name]
        if a.dim() == 2:
            g_nto = g_nto @ basis["outputs"] if basis else g_nto
            tokens, gradients = _token_gradients(a, g_nto, sums[name].shape[1])
            sums[name].T.index_add_(0, tokens, gradients.square())
            return
        if a.dim() == 4:
            rotated_ngoi = sample_gradients(a, g_nto).unflatten(1, (a.shape[2], -1))
            if basis:
                rotated_ngoi = basis["outputs"].mT @ rotated_ngoi @ basis["inputs"]
            sums[name] += rotated_ngoi.square().sum(0).flatten(0, 1)
            return
        if a.shape[1] == 1:  # G is of rank one and never formed
            a, g = a[:, 0], g_nto[:, 0]
            if basis:
                a, g = a @ basis["inputs"], g @ basis["outputs"]
            sums[name] += g.square().T @ a.square()
            return
        if not basis:
            rotated_noi = sample_gradients(a, g_nto)
        elif a.shape[1] < g_nto.shape[2]:  # rotating t rows of a costs t i^2, o rows of G o i^2
            rotated_noi = (g_nto @ basis["outputs"]).transpose(1, 2) @ (a @ basis["inputs"])
        else:
            rotated_noi = (g_nto @ basis["outputs"]).transpose(1, 2) @ a @ basis["inputs"]
        sums[name] += rotated_noi.square().sum(0)

    for batch in about.batches(train, progress(numbers)):
        visit_layers(model, layers, partial(batch.loss, model), add, batch.samples)
    return sums


def _token_gradients(a_nt: Tensor, g_nto: Tensor, num_tokens: int) -> tuple[Tensor, Tensor]:
    """Collect the columns of every sample's G that are not zero.

    There is one for each token that occurs in a sample. Returns their tokens, and the gradients
    summed over the positions at which the token stands, (occurrences, o).
    """
    sample_n1 = torch.arange(len(a_nt), device=a_nt.device)[:, None]
    occurrences, index = torch.unique(a_nt + num_tokens * sample_n1, return_inverse=True)
    sums = g_nto.new_zeros(len(occurrences), g_nto.shape[2])
    sums.index_add_(0, index.flatten(), g_nto.flatten(0, 1))
    return occurrences % num_tokens, sums
