"""Laws of the pairs: without bias, balanced, and fewer where they are drawn by importance."""

import numpy as np
import pytest
import torch

from catwise.influence.factors import fit_factors
from catwise.influence.fisher_pairs import draw_pairs
from tests.helpers import small


@pytest.mark.parametrize("samples", [1, 7, 30, 99, 100])
def test_a_balanced_subset_is_as_balanced_as_the_classes_reach(samples):
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    pairs = draw_pairs(torch.full((100, 3), 1 / 3), labels, "balanced", samples, 0)
    assert len(set(pairs.rows.tolist())) == samples
    counts = torch.bincount(labels[pairs.rows], minlength=3)
    open_counts = counts[counts < torch.bincount(labels)]  # of classes that are not used up
    assert len(open_counts) == 0 or open_counts.max() - open_counts.min() <= 1


@pytest.mark.parametrize("draw", ["importance", "balanced", "every"])
def test_draws_are_unbiased(rng, draw):
    """Average a function of sample and label over 400 draws: within 5 standard errors."""
    probability_nk = torch.from_numpy(rng.dirichlet([0.3] * 4, size=30))
    labels, value_nk = probability_nk.argmax(1), torch.from_numpy(rng.normal(size=(30, 4)))
    means, masses = [], []
    for seed in range(400):
        count = 30 if draw == "balanced" else 12
        pairs = draw_pairs(probability_nk, labels, draw, count, seed)
        means.append(float((pairs.weights * value_nk[pairs.rows, pairs.labels]).sum()))
        masses.append(float(pairs.input_weights.sum()))
    for values, truth in ((means, float((probability_nk * value_nk).sum() / 30)), (masses, 1.0)):
        error = np.std(values) / np.sqrt(len(values))
        assert abs(np.mean(values) - truth) <= 5 * error + 1e-12


def test_importance_needs_fewer_pairs_than_one_label_of_each_sample():
    """Compare the squared errors of the eigenvalues' sum on a model that is sure of its answers."""
    model, train = small.conv_net(), small.images(60)
    with torch.no_grad():
        model[-1].weight *= 200  # mean probability of the likeliest class: 0.95

    def trace(draw, samples, seed):
        options = {"kind": "diagonal", "damping": 0.1, "batch_size": 60}
        fitted = fit_factors(model, train, draw=draw, samples=samples, seed=seed, **options)
        return torch.stack([layer["eigenvalues"].sum() for layer in fitted.layers.values()])

    def error(draw):
        traces = torch.stack([trace(draw, 20, seed) for seed in range(20)])
        return float((traces / truth - 1).square().mean())

    truth = trace("every", None, 0)
    assert error("importance") < error("balanced") / 2
