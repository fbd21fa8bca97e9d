import pytest
import torch

from catwise.config.schema import Exact, Factored, Logistic
from catwise.influence.factors import fit_factors
from catwise.pipeline.fitted_factors import fit_curvature, fit_own_factors
from tests.helpers import small

SECTION = Factored(
    kind="ekfac",
    earlier=[],
    damping=0.1,
    draw="balanced",
    samples=20,
    embeddings=False,
    seed=3,
    batch_size=8,
    precision="float32",
)


def assert_same(one, other):
    one, other = one.tensors(), other.tensors()
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["ekfac", "kfac", "diagonal", "identity"])
def test_every_value_of_the_section_reaches_the_fit(kind):
    model, batch = small.conv_net(), small.images(30)
    section = SECTION.model_copy(update={"kind": kind})
    direct = fit_factors(
        model, batch, kind=kind, damping=0.1, draw="balanced", samples=20, seed=3, batch_size=8
    )
    assert_same(fit_curvature(model, batch, object(), section), direct)
    everything = section.model_copy(update={"samples": "all"})
    direct = fit_factors(
        model, batch, kind=kind, damping=0.1, draw="balanced", seed=3, batch_size=8
    )
    assert_same(fit_own_factors(model, batch, everything), direct)


def test_our_fit_takes_kronfluence_as_ekfac():
    model, batch = small.conv_net(), small.images(30)
    kronfluence = SECTION.model_copy(update={"kind": "kronfluence"})
    assert_same(fit_own_factors(model, batch, kronfluence), fit_own_factors(model, batch, SECTION))


def test_the_exact_hessian_has_the_penalty_of_the_training(rng):
    batch = small.blobs(rng, 30)
    model = small.logistic(batch, 0.01)
    one, other = (
        fit_curvature(model, batch, Logistic(model="logistic", l2=l2), Exact(kind="exact"))
        for l2 in (0.01, 0.02)
    )
    difference = other.tensors()["hessian"] - one.tensors()["hessian"]
    expected = 30 * 0.01 * torch.eye(len(difference), dtype=difference.dtype)
    torch.testing.assert_close(difference, expected)
