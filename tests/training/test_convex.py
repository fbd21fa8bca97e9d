import pytest
import torch

from catwise.core.errors import InputError
from catwise.training import models
from catwise.training.convex import fit_convex
from tests.helpers import small


def test_convergence_is_reported_and_reached(rng):
    x, y = small.blobs(rng, 60)
    model = models.build("logistic", x, 3)
    assert fit_convex(model, (x, y), 0.01) < 1e-12


def test_separable_data_without_a_penalty_is_refused():
    x = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1, 1])
    with pytest.raises(InputError, match=r"^l2: expected a penalty"):
        fit_convex(models.build("logistic", x, 2), (x, y), 0.0)


def test_a_weight_of_two_is_a_sample_seen_twice(rng):
    """Up to the factor n of the mean, which scales the penalty: n/(n+1) l2 for the repeated set."""
    x, y = small.blobs(rng, 60)
    weights = torch.ones(60, dtype=torch.float64)
    weights[5] = 2
    weighted, repeated = models.build("logistic", x, 3), models.build("logistic", x, 3)
    fit_convex(weighted, (x, y), 0.01, weights)
    fit_convex(repeated, (torch.cat([x, x[5:6]]), torch.cat([y, y[5:6]])), 0.01 * 60 / 61)
    torch.testing.assert_close(
        weighted.linear.weight, repeated.linear.weight, rtol=1e-9, atol=1e-10
    )
