"""Whoever evaluates a model leaves it as it was, layers that were in evaluation before among it."""

import pytest
import torch
from torch import nn

from catwise.core.evaluation import evaluating
from catwise.core.losses import logits_of
from catwise.improvement.own_models import outputs
from catwise.influence.layers import frozen
from catwise.influence.unrolled import Step, unrolled_influence
from catwise.training import evaluate
from catwise.training.batch_norm import refresh_statistics

BATCH = torch.arange(12.0).reshape(6, 2), torch.tensor([0, 1, 0, 1, 0, 1])


def frozen_pass(model):
    with frozen(model):
        model(BATCH[0])


def unrolled(model):
    unrolled_influence(model, [Step(BATCH, torch.arange(6), 0.1)], 6, BATCH, BATCH[1], 2)


def failing(model):
    with pytest.raises(ZeroDivisionError), evaluating(model):
        raise ZeroDivisionError


CALLS = {
    "an error": failing,
    "frozen": frozen_pass,
    "logits": lambda model: evaluate.logits(model, BATCH),
    "outputs": lambda model: outputs(model, BATCH, logits_of),
    "refresh": lambda model: refresh_statistics(model, [BATCH]),
    "unrolled": unrolled,
}


def test_a_module_with_a_mode_of_its_own_enters_it_again():
    class Merging(nn.Linear):
        merged = False

        def train(self, mode=True):
            self.merged = not mode
            return super().train(mode)

    model = nn.Sequential(Merging(2, 2))
    with evaluating(model):
        assert model[0].merged
    assert not model[0].merged


@pytest.mark.parametrize("call", CALLS)
def test_a_layer_in_evaluation_stays_so_inside_a_model_in_training(call):
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.BatchNorm1d(2).eval())
    CALLS[call](model)
    assert [module.training for module in model.modules()] == [True, True, True, False]
