import pytest
import torch
from torch import nn

from catwise.core.losses import QUERY_LOSSES


@pytest.fixture
def batch(generator):
    return torch.randn(40, 4, dtype=torch.float64, generator=generator), torch.arange(40) % 4


def test_every_query_loss_falls_as_the_right_class_is_favoured(batch):
    z, y = batch
    better = z + 0.5 * nn.functional.one_hot(y, 4)
    for loss in QUERY_LOSSES.values():
        assert (loss(nn.Identity(), (better, y)) < loss(nn.Identity(), (z, y))).all()


def test_the_margin_is_negative_where_the_class_is_right_and_probability_fits_the_loss(batch):
    z, y = batch
    values = {name: loss(nn.Identity(), batch) for name, loss in QUERY_LOSSES.items()}
    assert ((values["margin"] < 0) == (z.argmax(1) == y)).all()
    torch.testing.assert_close(-values["probability"], torch.exp(-values["loss"]))
