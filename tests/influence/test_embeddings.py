"""An embedding is a linear layer whose inputs have a single 1: everything said of the one holds for the other."""

import pytest
import torch
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.influence.factors import fit_factors
from catwise.influence.layers import coverage, covered_layers
from catwise.influence.vectors import influence_vectors
from catwise.training import bert

TOKENS, WIDTH, LENGTH = 7, 4, 5
PLAIN = {"damping": 0.1, "seed": 0, "batch_size": 8, "draw": "every"}


class Reader(nn.Module):
    """Tokens, by number through an embedding or as vectors through a linear layer, averaged and classified."""

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
    # the linear twin's basis E[g g^T] counts the padding too, so with padding only what has no basis is comparable
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
    found = vectors(by_number, train, query, kind=kind, embeddings=True)
    expected = vectors(by_vector, as_vectors(train, padding), as_vectors(query, padding), kind=kind)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12 * float(expected.abs().max()))
    without = vectors(by_number, train, query, kind=kind)
    assert not torch.allclose(found, without, rtol=0.01)


def test_only_those_who_ask_cover_embeddings():
    model, _ = twins(None)
    assert list(covered_layers(model)) == ["inner", "last"]
    assert list(covered_layers(model, embeddings=True)) == ["first", "inner", "last"]
    assert coverage(model, embeddings=True) == 1 > coverage(model)


def test_an_embedding_that_the_samples_share_is_named():
    class Shared(Reader):
        def forward(self, x: Tensor) -> Tensor:
            places = self.place(torch.arange(LENGTH)[None])  # one row for all samples
            return self.last(self.inner(self.first(x) + places).mean(1))

    model = Shared(nn.Embedding(TOKENS, WIDTH))
    model.place = nn.Embedding(LENGTH, WIDTH)
    model.double().eval()
    with pytest.raises(
        InputError, match=r"model\.place: expected an input for each of the 8 samples.*got 1"
    ):
        vectors(model, tokens(20, 1), tokens(12, 2), kind="ekfac", embeddings=True)


def test_padding_changes_nothing_in_a_bert_whose_embeddings_are_covered():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = bert.small(30, 12, 3, width=32, layers=1).double().eval()
    assert (
        coverage(model, embeddings=True)
        > 0.98
        > 0.5
        > coverage(bert.small(4000, 12, 3, width=32, layers=1))
    )
    ids = torch.randint(5, 30, (9, 6), generator=torch.Generator().manual_seed(1))
    found = []
    for extra in (0, 5):
        padded = nn.functional.pad(ids, (0, extra))
        batch = (padded, (padded > 0).long(), torch.arange(9) % 3)
        fitted = fit_factors(
            model, batch, kind="ekfac", mask=bert.real_positions, embeddings=True, **PLAIN
        )
        assert (
            len(fitted.names) == len(covered_layers(model)) + 3
        )  # words, positions, kinds of text
        found.append(influence_vectors(model, fitted, batch, batch, batch[-1], 3, batch_size=4))
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-10 * float(found[0].abs().max()))
