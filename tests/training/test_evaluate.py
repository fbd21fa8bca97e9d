import numpy as np
import pytest
import torch

from catwise.training import evaluate
from catwise.training.epochs import Recipe
from tests.helpers import small


def test_per_class_figures_are_means_over_the_class(rng):
    x, y = small.blobs(rng, 50)
    model = small.logistic((x, y), 0.01)
    accuracy_k, loss_k = evaluate.per_class(model, (x, y), 4)
    with torch.no_grad():
        logits = model(x)
    for k in range(3):
        members = y == k
        assert accuracy_k[k] == (logits[members].argmax(1) == k).double().mean()
        expected = -logits[members].log_softmax(1)[:, k].mean()
        assert float(loss_k[k]) == pytest.approx(float(expected), rel=1e-12)
    assert np.isnan([accuracy_k[3], loss_k[3]]).all()  # absent


def test_predictions_are_the_likeliest_classes_and_the_mode_of_the_model_is_left_alone(rng):
    x, y = small.blobs(rng, 50)
    model = small.logistic((x, y), 0.01).train()
    label_n, probability_n = evaluate.predict(evaluate.logits(model, (x, y)))
    expected = model(x).detach().softmax(1)
    assert torch.equal(label_n, expected.argmax(1))
    torch.testing.assert_close(probability_n, expected.amax(1))
    assert model.training


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_passes_take_the_format_and_the_layout_of_the_training(layout):
    seen = []

    class Spy(torch.nn.Conv2d):
        def forward(self, x):
            seen.append((x.is_contiguous(memory_format=layout), torch.is_autocast_enabled("cpu")))
            return super().forward(x)

    x, y = small.images(30)
    x = x.float().expand(-1, 3, -1, -1) if x.shape[1] == 1 else x.float()
    model = torch.nn.Sequential(Spy(x.shape[1], 3, 3), torch.nn.Flatten(), torch.nn.LazyLinear(3))
    whole = evaluate.logits(model, (x, y))
    recipe = Recipe(
        **{"seed": 0, "epochs": 1, "batch_size": 5, "optimizer": "sgd", "learning_rate": 0.1},
        **{"weight_decay": 0.0, "precision": "bfloat16"},
        channels_last=layout is torch.channels_last,
    )
    seen.clear()
    rounded = evaluate.logits(model, (x, y), recipe)
    assert seen == [(True, True)]
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, whole)
    # a bfloat16 has eight digits of two: a share of 1/256 of the largest, over few sums
    torch.testing.assert_close(rounded, whole, rtol=0, atol=0.03 * float(whole.abs().max()))
