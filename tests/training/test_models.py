import pytest
import torch

from catwise.core.errors import InputError
from catwise.core.fingerprint import fingerprint
from catwise.influence.layers import coverage
from catwise.training import models


def test_resnet9_has_the_parameters_of_the_paper_and_nearly_all_are_covered():
    model = models.ResNet9(64, 10)
    assert sum(parameter.numel() for parameter in model.parameters()) == 2_274_880
    assert coverage(model) == pytest.approx(0.9988, abs=1e-4)
    assert model.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_logistic_regression_of_two_classes_has_one_logit():
    model = models.build("logistic", torch.zeros(1, 2, dtype=torch.float64), 2)
    assert sum(parameter.numel() for parameter in model.parameters()) == 3
    assert model(torch.zeros(1, 2, dtype=torch.float64)).tolist() == [[0, 0]]


@pytest.mark.parametrize("name", ["cnn", "resnet9"])
def test_the_seed_decides_the_initial_weights_and_nothing_else_does(name):
    x = torch.zeros(1, 1 if name == "cnn" else 3, 32, 32, dtype=torch.float64)
    state = torch.get_rng_state()
    prints = [fingerprint(models.build(name, x, 4, width=2, seed=seed)) for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]
    assert torch.equal(state, torch.get_rng_state())
    assert next(models.build(name, x, 4, width=2).parameters()).dtype == torch.float64


def test_an_unknown_model_is_named():
    with pytest.raises(InputError, match="model: expected logistic, cnn or resnet9; got 'vgg'"):
        models.build("vgg", torch.zeros(1, 1), 2)


def test_the_fingerprint_sees_a_single_bit():
    model = models.build("cnn", torch.zeros(1, 1, 8, 8), 3, width=2, seed=0)
    before = fingerprint(model)
    weight = next(model.parameters()).data.view(-1)
    original = weight[0].clone()
    weight[0] = torch.nextafter(original, original + 1)
    assert fingerprint(model) != before
    weight[0] = original
    assert fingerprint(model) == before
