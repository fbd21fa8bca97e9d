"""Running statistics are those of the batches that are named, and the training does not see it."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from catwise.core.fingerprint import fingerprint
from catwise.training import batch_norm, models
from catwise.training.epochs import Recipe, new_optimizer, refresh, train_epoch
from tests.helpers import small

RECIPE = Recipe(
    seed=0, epochs=4, batch_size=20, optimizer="sgd", learning_rate=0.3, weight_decay=0.0, refresh=2
)


@pytest.fixture
def batch():
    x, y = small.images(60)
    return x.double()[:, :1].expand(-1, 3, -1, -1).repeat(1, 1, 3, 3), y


@pytest.fixture
def model(batch):
    return models.build("resnet9", batch[0], 3, width=2, seed=0)


def first_convolution(model, x):
    """Return the inputs of the first batch norm."""
    return model.layers[0][0](x)


@torch.no_grad()
def test_statistics_are_the_plain_means_over_the_batches(model, batch):
    x, y = batch
    parts = [(x[:20], y[:20]), (x[20:50], y[20:50])]
    batch_norm.refresh_statistics(model, parts)
    inputs = [first_convolution(model, part) for part, _ in parts]
    layer = model.layers[0][1]
    mean = torch.stack([z.mean((0, 2, 3)) for z in inputs]).mean(0)
    variance = torch.stack([z.transpose(0, 1).flatten(1).var(1) for z in inputs]).mean(0)
    torch.testing.assert_close(layer.running_mean, mean)
    torch.testing.assert_close(layer.running_var, variance)


def test_weights_modes_and_momenta_are_left_alone(model, batch):
    model.train()
    model.layers[2].eval()
    before = {name: value.clone() for name, value in model.named_parameters()}
    modes = [module.training for module in model.modules()]
    refresh(model, batch, RECIPE)
    assert all(torch.equal(before[name], value) for name, value in model.named_parameters())
    assert [module.training for module in model.modules()] == modes
    assert all(layer.momentum == 0.1 for layer in model.modules() if hasattr(layer, "momentum"))
    assert all(value.grad is None for value in model.parameters())


def test_a_model_without_batch_norm_and_zero_batches_change_nothing(model, batch):
    for net, recipe in ((nn.Sequential(nn.Flatten()), RECIPE), (model, replace(RECIPE, refresh=0))):
        before = fingerprint(net)
        refresh(net, batch, recipe)
        assert fingerprint(net) == before


@pytest.mark.parametrize("augment", [False, True])
def test_the_seed_decides_the_statistics_and_what_was_there_before_does_not(model, batch, augment):
    recipe = replace(RECIPE, augment=augment)
    found = []
    for seed, stale in ((0, 0.0), (0, 9.0), (1, 0.0)):
        model.layers[0][1].running_mean.fill_(stale)
        refresh(model, batch, replace(recipe, seed=seed))
        found.append(fingerprint(model))
    assert found[0] == found[1] != found[2]


def test_an_epoch_from_the_refreshed_checkpoint_takes_the_same_steps(model, batch):
    """The gradients in training do not depend on running statistics, so neither do the weights."""
    optimizer = new_optimizer(model, RECIPE)
    train_epoch(model, optimizer, batch, RECIPE, 1)
    left, state = batch_norm.statistics(model), model.state_dict()
    raw = {name: value.clone() for name, value in state.items()}
    refresh(model, batch, RECIPE)
    assert not torch.equal(raw["layers.0.1.running_mean"], state["layers.0.1.running_mean"])
    train_epoch(model, optimizer, batch, RECIPE, 2)
    after = {name: value.clone() for name, value in model.named_parameters()}
    model.load_state_dict(raw)
    train_epoch(model, optimizer, batch, RECIPE, 2)
    assert all(torch.equal(after[name], value) for name, value in model.named_parameters())
    model.load_state_dict(left, strict=False)
    assert all(torch.equal(raw[name], model.state_dict()[name]) for name in left)


def test_refreshed_statistics_are_nearer_to_those_of_the_weights_than_those_that_lag(model, batch):
    """After steps at a high rate, the mean of the whole set is what both estimate."""
    optimizer = new_optimizer(model, RECIPE)
    for epoch in (1, 2):
        train_epoch(model, optimizer, batch, RECIPE, epoch)
    layer = model.layers[1][1]
    model.eval()
    with torch.no_grad():
        whole = model.layers[1][0](model.layers[0](batch[0])).mean((0, 2, 3))
        lag = (layer.running_mean - whole).norm()
        refresh(model, batch, replace(RECIPE, refresh=3))
        whole = model.layers[1][0](model.layers[0](batch[0])).mean((0, 2, 3))
        assert (layer.running_mean - whole).norm() < lag / 2
