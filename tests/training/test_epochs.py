from dataclasses import replace

import pytest
import torch
from torch import nn

from catwise.core.fingerprint import fingerprint
from catwise.training import models
from catwise.training.augment import crop_and_flip, crop_and_flip_one
from catwise.training.epochs import (
    Recipe,
    learning_rates,
    load_optimizer,
    new_optimizer,
    optimizer_tensors,
    train_epoch,
    train_epochs,
    triangle,
)
from tests.helpers import small

SGD = Recipe(seed=0, epochs=4, batch_size=10, optimizer="sgd", learning_rate=0.1, weight_decay=0.01)
RECIPES = {
    "sgd": SGD,
    "adamw": replace(SGD, optimizer="adamw", learning_rate=0.01),
    "augmented": replace(SGD, augment=True),
    "bfloat16, channels last": replace(SGD, precision="bfloat16", channels_last=True),
}


class Dropping(nn.Module):
    """A classifier of which every forward pass in training draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 3))

    def forward(self, x):
        return self.layers(x)


def dropping():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Dropping()


def trained(batch, recipe=SGD, weights=None, model=None):
    model = model or models.build("cnn", batch[0], 3, width=2, seed=0)
    for _ in train_epochs(model, batch, recipe, weights):
        pass
    return fingerprint(model)


def flat(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.fixture
def greys():
    x, y = small.images(45)
    return x[:, :1].float(), y


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_all_ones_weights_give_the_bits_of_no_weights(greys, recipe):
    assert trained(greys, recipe) == trained(greys, recipe, weights=torch.ones(45))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_seed_decides_the_bits(greys, recipe):
    assert trained(greys, recipe) == trained(greys, recipe)
    assert trained(greys, recipe) != trained(greys, replace(recipe, seed=1))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_an_epoch_can_be_taken_again_from_the_one_before(greys, recipe):
    """The weights and the optimiser's memory after epoch 2 decide, not what was drawn before."""
    straight = dropping()
    optimizer = new_optimizer(straight, recipe)
    for epoch in (1, 2):
        train_epoch(straight, optimizer, greys, recipe, epoch)
    weights = {name: value.clone() for name, value in straight.state_dict().items()}
    memory = {name: value.clone() for name, value in optimizer_tensors(optimizer).items()}
    train_epoch(straight, optimizer, greys, recipe, 3)

    torch.manual_seed(99)
    again = dropping()
    again.load_state_dict(weights)
    optimizer = new_optimizer(again, recipe)
    load_optimizer(optimizer, memory)
    train_epoch(again, optimizer, greys, recipe, 3)
    assert fingerprint(again) == fingerprint(straight)


def test_only_adamw_has_a_memory(greys):
    for name, expected in (("sgd", 0), ("adamw", 3 * 2)):
        model = dropping()
        optimizer = new_optimizer(model, RECIPES[name])
        train_epoch(model, optimizer, greys, RECIPES[name], 1)
        assert len(optimizer_tensors(optimizer)) == expected


def test_a_weight_of_zero_hides_the_sample(greys):
    x, y = greys
    weights = torch.ones(45)
    weights[7] = 0
    spoiled = x.clone()
    spoiled[7] = 100
    assert trained((x, y), weights=weights) == trained((spoiled, y), weights=weights)
    assert trained((x, y)) != trained((spoiled, y))


def test_the_global_random_state_is_left_alone(greys):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    trained(greys, RECIPES["augmented"], model=dropping())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("switch", "tolerance"), [({"channels_last": True}, 1e-4), ({"precision": "bfloat16"}, 0.1)]
)
def test_speed_switches_change_the_last_digits_alone(greys, switch, tolerance):
    """Autocast's copies of old weights would change much more than these shares of the movement."""
    moved = []
    for recipe in (replace(SGD, learning_rate=0.5), replace(SGD, learning_rate=0.5, **switch)):
        model = models.build("cnn", greys[0], 3, width=2, seed=0)
        before = flat(model)
        trained(greys, recipe, model=model)
        moved.append(flat(model) - before)
    assert (moved[1] - moved[0]).norm() < tolerance * moved[0].norm()


@pytest.mark.parametrize("crop", [crop_and_flip, lambda x: map(crop_and_flip_one, x)])
def test_a_crop_is_a_window_of_the_padded_image_or_of_its_mirror(crop):
    torch.manual_seed(0)
    x = torch.rand(200, 2, 6, 5)
    padded = torch.nn.functional.pad(x, (4,) * 4)
    seen = set()
    for image, around in zip(crop(x), padded, strict=True):
        windows = [
            (top, left, mirrored)
            for top in range(9)
            for left in range(9)
            for mirrored in (False, True)
            if torch.equal(
                image.flip(2) if mirrored else image, around[:, top : top + 6, left : left + 5]
            )
        ]
        assert len(windows) == 1 or not image.any()
        seen.add(windows[0])
    assert len({window[:2] for window in seen}) > 60  # of 81, in 200 draws
    assert {window[2] for window in seen} == {False, True}


def test_the_learning_rate_is_a_triangle():
    assert [triangle(p, 25) for p in (0, 2.5, 5, 15, 25)] == [0, 0.5, 1, 0.5, 0]
    assert triangle(1, 2) == 1  # fewer than five epochs: the peak is after the first


def test_the_rates_of_an_epoch_follow_the_triangle_or_stay():
    assert learning_rates(SGD, 1, 35) == [0.1 * triangle((step + 1) / 3, 4) for step in range(3)]
    assert learning_rates(replace(SGD, schedule="constant"), 9, 35) == [0.1] * 3
    assert len(learning_rates(SGD, 2, 7)) == 1  # fewer samples than a batch: a step on all of them
