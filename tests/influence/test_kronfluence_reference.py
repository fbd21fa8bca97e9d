"""Our vectors are kronfluence's scores over n, whoever fits the factors, in one pass."""

import gc
from collections.abc import Iterator

import pytest
import torch

from catwise.core.losses import logits_of
from catwise.influence import kronfluence_reference as reference
from catwise.influence.factors import fit_factors
from catwise.influence.fisher_pairs import draw_pairs
from catwise.influence.vectors import influence_vectors
from catwise.training import bert
from tests.helpers import small

OPTIONS = {"kind": "ekfac", "damping": 0.1, "seed": 3, "batch_size": 7}
BALANCED = {**OPTIONS, "draw": "balanced"}  # one label of each sample, as kronfluence does
SIZES = {"batch_size": 10, "query_batch_size": 4}


class GivenLabels(reference.Classification):
    """Take the labels that we drew, so that both fit the same matrix."""

    def compute_train_loss(self, batch, model, sample=False):
        return super().compute_train_loss(batch, model, sample=False)


class GivenTexts(GivenLabels):
    """Leave the padding out, too."""

    def get_attention_mask(self, batch):
        return bert.real_positions(batch)


@pytest.fixture(autouse=True, scope="module")
def frozen_garbage() -> Iterator[None]:
    """Keep all objects so far out of kronfluence's many collections: nine tenths of the time."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def case():
    return small.conv_net(), small.images(24), small.images(12, seed=1)


def vectors(model, curvature, train, query):
    options = {"batch_size": 10, "statistics": "fixed"}  # as those of kronfluence
    return influence_vectors(model, curvature, train, query, query[-1], 3, **options)


def with_drawn_labels(model, train):
    with torch.no_grad():
        probability_nk = logits_of(model, train).softmax(1)
    pairs = draw_pairs(probability_nk, train[-1], "balanced", None, OPTIONS["seed"])
    return (*train[:-1], pairs.labels)


def summed_by_class(scores_mn, labels_m):
    return torch.stack([scores_mn[labels_m == k].sum(0) for k in range(3)], 1)


def assert_equal(ours, theirs, n, tolerance=1e-10):
    atol = tolerance * float(theirs.abs().max())
    torch.testing.assert_close(n * ours, theirs, rtol=tolerance, atol=atol)


def test_ekfac_equals_kronfluence_pairwise_and_summed_and_its_aggregated_calls(case):
    model, train, query = case
    ours = vectors(model, fit_factors(model, train, **BALANCED), train, query)
    with reference.analysis(model, GivenLabels()) as analyzer:
        reference.fit_all(analyzer, with_drawn_labels(model, train), 7)
        pairwise_mn = reference.pairwise_scores(analyzer, train, query, **SIZES)
        aggregated_nk = reference.aggregated_scores(analyzer, train, query, 3, **SIZES)
    assert_equal(ours, summed_by_class(pairwise_mn, query[-1]), 24)
    assert_equal(ours, aggregated_nk, 24)


def test_in_float32_too():
    model, train = small.conv_net().float(), small.images(24)
    train, query = ((x.float(), labels) for x, labels in (train, small.images(12, seed=1)))
    ours = vectors(model, fit_factors(model, train, **BALANCED), train, query)
    with reference.analysis(model, GivenLabels()) as analyzer:
        reference.fit_all(analyzer, with_drawn_labels(model, train), 7)
        pairwise_mn = reference.pairwise_scores(analyzer, train, query, **SIZES)
    theirs = summed_by_class(pairwise_mn, query[-1])
    assert (24 * ours - theirs).norm() <= 1e-5 * theirs.norm()


def test_factors_that_kronfluence_fitted_itself_serve_as_well(case):
    model, train, query = case
    fitted = reference.fit_kronfluence(model, train, damping=0.1, seed=0, batch_size=7)
    with reference.analysis(model, seed=0) as analyzer:
        reference.fit_all(analyzer, train, 7)
        pairwise_mn = reference.pairwise_scores(analyzer, train, query, **SIZES)
    ours = vectors(model, fitted, train, query)
    assert_equal(ours, summed_by_class(pairwise_mn, query[-1]), 24)


def test_a_transformer_with_padded_texts_equals_kronfluence():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = bert.small(30, 12, 3, width=32, layers=1).double().eval()
    texts = small.texts([4, 6, 3, 6, 5, 6, 2, 6, 4], padded_to=6)
    fitted = fit_factors(model, texts, mask=bert.real_positions, **BALANCED)
    ours = vectors(model, fitted, texts, texts)
    with reference.analysis(model, GivenTexts()) as analyzer:
        reference.fit_all(analyzer, with_drawn_labels(model, texts), 7)
        sizes = {"batch_size": 9, "query_batch_size": 3}
        pairwise_mn = reference.pairwise_scores(analyzer, texts, texts, **sizes)
    assert_equal(ours, summed_by_class(pairwise_mn, texts[-1]), 9, tolerance=1e-8)
