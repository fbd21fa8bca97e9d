"""Laws of the curvature: its solve inverts the dense matrix, and a filter is a function of it."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load, save
from torch.utils.data import TensorDataset

from catwise.core.errors import InputError
from catwise.influence import curvature
from catwise.influence.factors import fit_factors
from catwise.influence.layers import covered_layers, matrix_shape
from tests.helpers import small


@pytest.fixture(scope="module")
def net():
    return small.conv_net()


@pytest.fixture(scope="module")
def fitted(net):
    return fit_factors(net, small.images(24), kind="ekfac", damping=0.1, seed=0, batch_size=24)


def directions(model):
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(2, *matrix_shape(layer), dtype=torch.float64, generator=generator)
        for name, layer in covered_layers(model).items()
    }


def test_exact_solves_the_penalised_hessian(rng):
    train = small.blobs(rng, 40)
    model = small.logistic(train, 0.1)
    hessian = curvature.exact_hessian(model, train, 0.1)
    q = directions(model)
    again = torch.cat([part.flatten(1) for part in hessian.solve(q).values()], 1) @ hessian.hessian
    torch.testing.assert_close(again, torch.cat([part.flatten(1) for part in q.values()], 1))
    eigenvalues = torch.linalg.eigvalsh(hessian.hessian)
    assert eigenvalues[0] > 40 * 0.1  # n l2 from the penalty, the rest is convex


def test_the_exact_hessian_is_that_of_the_evaluation_mode_and_restores_the_mode():
    net = torch.nn.Sequential(small.conv_net(), torch.nn.Dropout(), torch.nn.Linear(3, 3).double())
    expected = curvature.exact_hessian(net.eval(), small.images(9), 0.1).hessian
    found = curvature.exact_hessian(net.train(), small.images(9), 0.1).hessian
    torch.testing.assert_close(found, expected)
    assert all(module.training for module in net.modules())


def test_an_exact_hessian_that_bends_downwards_is_not_solved_with(rng):
    hessian = torch.diag(torch.tensor([1.0, -1.0]))
    bent = curvature.ExactHessian(hessian, {"layer": (1, 2)}, 1)
    with pytest.raises(InputError, match=r"^curvature: expected a positive definite Hessian"):
        bent.solve({"layer": torch.ones(1, 1, 2)})
    with pytest.raises(InputError, match=r"^l2: expected a finite number, 0 or more; got -1"):
        curvature.exact_hessian(torch.nn.Linear(4, 3), small.blobs(rng, 9), -1)


def test_the_exact_hessian_counts_the_samples_of_a_dataset(rng):
    train = small.blobs(rng, 40)
    model = small.logistic(train, 0.1)
    expected = curvature.exact_hessian(model, train, 0.1)
    of_items = curvature.exact_hessian(model, TensorDataset(*train), 0.1)
    assert of_items.n == expected.n == 40
    torch.testing.assert_close(of_items.hessian, expected.hessian)


def test_the_exact_hessian_is_also_that_of_inputs_by_name_and_of_an_output_with_logits(rng):
    class ByName(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x):
            return SimpleNamespace(logits=self.model(x))

    x, y = small.blobs(rng, 40)
    model = small.logistic((x, y), 0.1)
    expected = curvature.exact_hessian(model, (x, y), 0.1).hessian
    assert torch.equal(curvature.exact_hessian(ByName(model), ({"x": x}, y), 0.1).hessian, expected)


def test_ekfac_solve_inverts_the_matrix_it_stands_for(net, fitted):
    """Build H = n (U_o x U_i) diag(lambda + damping mean(lambda)) (U_o x U_i)^T densely."""
    q = directions(net)
    v = fitted.solve(q)
    for name, layer in fitted.layers.items():
        basis = torch.kron(layer["outputs"], layer["inputs"])
        damped = layer["eigenvalues"] + 0.1 * layer["eigenvalues"].mean()
        dense = 24 * basis @ torch.diag(damped.flatten()) @ basis.T
        torch.testing.assert_close(
            v[name].flatten(1) @ dense, q[name].flatten(1), rtol=1e-8, atol=1e-10
        )


@pytest.mark.parametrize("kind", ["exact", "ekfac"])
def test_factors_survive_a_file(kind, rng, net, fitted):
    if kind == "exact":
        train = small.blobs(rng, 40)
        net = small.logistic(train, 0.1)
        fitted = curvature.exact_hessian(net, train, 0.1)
    q = directions(net)
    restored = curvature.from_tensors(load(save(fitted.tensors())))
    for name, part in fitted.solve(q).items():
        assert torch.equal(restored.solve(q)[name], part)


@pytest.mark.parametrize("kind", ["ekfac", "identity"])
def test_factors_of_a_model_that_is_itself_the_layer_survive_a_file(kind, rng):
    model, train = torch.nn.Linear(4, 3).double(), small.blobs(rng, 40)
    fitted = fit_factors(model, train, kind=kind, damping=0.1, seed=0, batch_size=40)
    restored = curvature.from_tensors(load(save(fitted.tensors())))
    assert restored.names == fitted.names == [""]
    q = directions(model)
    assert torch.equal(restored.solve(q)[""], fitted.solve(q)[""])


def test_a_filter_is_a_function_of_the_mean_curvature():
    """Compare with exp(-h C) g of a dense mean curvature C."""
    generator = torch.Generator().manual_seed(2)
    bases = [
        torch.linalg.qr(torch.randn(s, s, dtype=torch.float64, generator=generator))[0]
        for s in (3, 4)
    ]
    eigenvalues = torch.rand(3, 4, dtype=torch.float64, generator=generator) + 0.05
    layer = {"outputs": bases[0], "inputs": bases[1], "eigenvalues": eigenvalues}
    q = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator)
    basis = torch.kron(*bases)
    dense = basis @ torch.diag(eigenvalues.flatten()) @ basis.T
    fitted = curvature.FactoredCurvature(50, 0.1, {"": layer})
    for horizon in (0.1, 3.0):
        v = fitted.apply({"": q}, lambda _, e, horizon=horizon: torch.exp(-horizon * e))[""]
        expected = q.flatten(1) @ torch.linalg.matrix_exp(-horizon * dense)
        torch.testing.assert_close(v.flatten(1), expected, rtol=1e-9, atol=1e-9)
