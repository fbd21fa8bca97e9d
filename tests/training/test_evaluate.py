import numpy as np
import pytest
import torch

from catwise.training import evaluate
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
    label_n, probability_n = evaluate.predict(model, (x, y))
    expected = model(x).detach().softmax(1)
    assert torch.equal(label_n, expected.argmax(1))
    torch.testing.assert_close(probability_n, expected.amax(1))
    assert model.training
