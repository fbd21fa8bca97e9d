"""Laws of the layers seen as matrices: sum_t g_t a_t^T is the gradient of the weight."""

import pytest
import torch
from torch import nn

from catwise.core.errors import InputError
from catwise.core.losses import logits_of
from catwise.influence.checks import checked_layers
from catwise.influence.layers import coverage, covered_layers, matrix_shape, select_layers
from catwise.influence.reading import as_samples
from catwise.influence.visits import visit_layers
from tests.helpers import small


def test_coverage_counts_the_parameters_of_linear_and_convolution():
    model = small.conv_net()
    norm = 8  # weight and bias of four channels
    total = sum(parameter.numel() for parameter in model.parameters())
    assert coverage(model) == (total - norm) / total
    for layer in covered_layers(model).values():
        assert matrix_shape(layer)[0] * matrix_shape(layer)[1] == sum(
            p.numel() for p in layer.parameters()
        )


def test_no_names_cover_nothing():
    assert coverage(small.conv_net(), names=[]) == 0


def frozen_backbone():
    model = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))
    model[0].requires_grad_(False)
    return model


def test_layers_that_are_frozen_are_left_out_and_not_counted():
    model = frozen_backbone()
    assert list(covered_layers(model)) == ["1"]
    assert coverage(model) == 1
    assert coverage(model, names=["0"]) == 0
    assert list(select_layers(model, ["0", "1"])) == ["0", "1"]  # a curvature may speak of both


def test_of_a_model_that_is_frozen_whole_all_is_covered():
    model = frozen_backbone().requires_grad_(False)
    assert list(covered_layers(model)) == ["0", "1"]
    assert coverage(model) == 1


def test_a_layer_goes_by_its_weight_where_one_part_of_it_is_frozen():
    model = frozen_backbone()
    model[0].bias.requires_grad_(True)
    model[1].bias.requires_grad_(False)
    assert list(covered_layers(model)) == ["1"]
    assert coverage(model) == 15 / 20  # the weight of the second, of it and the bias of the first
    x = torch.randn(2, 4)
    with pytest.warns(UserWarning, match=r"^left out of the influence: 0 \(Linear\); 75 % of"):
        checked_layers(model, logits_of, as_samples((x, torch.arange(2)), model))


def test_frozen_layers_are_not_named_as_left_out(recwarn):
    model, x = frozen_backbone(), torch.randn(2, 4)
    train = as_samples((x, torch.arange(2)), model)
    assert list(checked_layers(model, logits_of, train)) == ["1"]
    assert not recwarn
    assert [part.requires_grad for part in model.parameters()] == [False, False, True, True]
    model[1].requires_grad_(False)
    model.extra = nn.Parameter(torch.zeros(1))
    with pytest.raises(InputError, match="got none that is trained"):
        covered_layers(model)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 3, 3, padding=1),
        nn.Conv2d(2, 3, (3, 2), stride=2, padding=(1, 0), bias=False),
        nn.Conv2d(2, 3, (3, 5), padding="same", dilation=2),
        nn.Conv2d(2, 3, 3, padding="valid", dilation=2),
    ],
)
def test_inputs_and_gradients_give_back_the_gradient_of_the_weight(layer):
    model, (x, _) = nn.Sequential(layer).double(), small.images(4)
    visited = {}
    visit_layers(
        model,
        covered_layers(model),
        lambda: model(x).sin().sum(),
        lambda name, a, g: visited.update({name: (a, g)}),
    )
    a_nti, g_nto = visited["0"]
    gradients = torch.autograd.grad(model(x).sin().sum(), list(layer.parameters()))
    matrix = torch.einsum("nto,nti->oi", g_nto, a_nti)
    torch.testing.assert_close(matrix[:, : layer.weight[0].numel()], gradients[0].flatten(1))
    if layer.bias is not None:
        torch.testing.assert_close(matrix[:, -1], gradients[1])


def test_sequences_keep_their_positions():
    model, x = nn.Sequential(nn.Linear(3, 2)).double(), torch.randn(4, 5, 3, dtype=torch.float64)
    shapes = []
    visit_layers(
        model,
        covered_layers(model),
        lambda: model(x).sum(),
        lambda name, a, g: shapes.append((a.shape, g.shape)),
    )
    assert shapes == [((4, 5, 4), (4, 5, 2))]


def test_hooks_are_gone_afterwards_even_after_an_error():
    model, (x, _) = small.conv_net(), small.images(2)

    def fail(*_):
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        visit_layers(model, covered_layers(model), lambda: model(x).sum(), fail)
    assert not any(module._forward_hooks for module in model.modules())
