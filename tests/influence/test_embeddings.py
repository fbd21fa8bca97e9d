"""An embedding is a linear layer whose inputs have a single 1: what holds for one holds for it."""

import pytest
import torch
from torch import Tensor, nn

from catwise.influence.factors import fit_factors
from catwise.influence.layers import coverage, covered_layers
from catwise.influence.vectors import influence_vectors

TOKENS, WIDTH, LENGTH = 7, 4, 5
PLAIN = {"damping": 0.1, "seed": 0, "batch_size": 8, "draw": "every"}


class Reader(nn.Module):
    """Average tokens and classify them; they come as numbers, or as vectors of a single 1."""

    def __init__(self, first: nn.Module):
        super().__init__()
        self.first = first
        self.inner = nn.Linear(WIDTH, 6)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.inner(self.first(x).tanh()).tanh().mean(1))


def twins(padding: int | None):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        by_number = Reader(nn.Embedding(TOKENS, WIDTH, padding_idx=padding)).double().eval()
        by_vector = Reader(nn.Linear(TOKENS, WIDTH, bias=False)).double().eval()
    weights = by_number.state_dict()
    by_vector.load_state_dict({**weights, "first.weight": weights["first.weight"].T})
    return by_number, by_vector


def tokens(n: int, seed: int):
    ids = torch.randint(TOKENS, (n, LENGTH), generator=torch.Generator().manual_seed(seed))
    ids[:, 1] = ids[:, 0]  # each sample has a token twice
    return ids, torch.arange(n) % 3


def as_vectors(batch, padding):
    ones = nn.functional.one_hot(batch[0], TOKENS).double()
    if padding is not None:
        ones[..., padding] = 0
    return ones, batch[1]


def vectors(model, train, query, **options):
    fitted = fit_factors(model, train, **PLAIN, **options)
    return influence_vectors(model, fitted, train, query, query[-1], 3, batch_size=8)


@pytest.mark.parametrize(
    ("kind", "padding"),
    # The basis E[g g^T] of the linear twin counts the padding too: with it only kinds without a
    # basis are comparable.
    [
        ("ekfac", None),
        ("kfac", None),
        ("diagonal", None),
        ("identity", None),
        ("diagonal", 0),
        ("identity", 0),
    ],
)
def test_an_embedding_has_the_vectors_of_a_linear_layer_of_single_ones(kind, padding):
    by_number, by_vector = twins(padding)
    train, query = tokens(20, 1), tokens(12, 2)
    covered = vectors(by_number, train, query, kind=kind, embeddings=True)
    expected = vectors(by_vector, as_vectors(train, padding), as_vectors(query, padding), kind=kind)
    atol = 1e-12 * float(expected.abs().max())
    torch.testing.assert_close(covered, expected, rtol=1e-9, atol=atol)
    without = vectors(by_number, train, query, kind=kind)
    assert not torch.allclose(covered, without, rtol=0.01)


def test_embeddings_are_covered_on_request_alone():
    model, _ = twins(None)
    assert list(covered_layers(model)) == ["inner", "last"]
    assert list(covered_layers(model, embeddings=True)) == ["first", "inner", "last"]
    assert coverage(model, covered_layers(model, embeddings=True)) == 1 > coverage(model)


def test_an_embedding_that_the_samples_share_is_as_one_that_each_has():
    class Positions(Reader):
        shared = True

        def forward(self, x: Tensor) -> Tensor:
            numbers = torch.arange(LENGTH).expand(1 if self.shared else len(x), -1)
            return self.last(self.inner(self.first(x) + self.position(numbers)).tanh().mean(1))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Positions(nn.Embedding(TOKENS, WIDTH))
        model.position = nn.Embedding(LENGTH, WIDTH)
    model.double().eval()
    options = {"kind": "ekfac", "embeddings": True}
    found = vectors(model, tokens(20, 1), tokens(12, 2), **options)
    model.shared = False
    expected = vectors(model, tokens(20, 1), tokens(12, 2), **options)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12 * float(expected.abs().max()))
