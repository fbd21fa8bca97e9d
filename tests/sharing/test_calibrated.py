"""A function that trains is refused in one line where it gives no new model for its weights."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from catwise.ceiling.verdict import Verdict
from catwise.core.errors import InputError
from catwise.core.statistics import Estimate
from catwise.diagnosis import diagnose
from catwise.sharing import calibrated
from tests.helpers.diagnoses import noisy

pytestmark = pytest.mark.slow


def trained_on(model, weights_n):
    """Go one step on with the weights, in place."""
    x, y = noisy()[1]
    losses = nn.functional.cross_entropy(model(x), y, reduction="none")
    (torch.from_numpy(weights_n) * losses).mean().backward()
    with torch.no_grad():
        for part in model.parameters():
            part -= 0.1 * part.grad
            part.grad = None
    return model


def said(match, model, retrain):
    with pytest.raises(InputError, match=match):
        diagnose(model, *noisy()[1:], "abc", retrain=retrain, halves=5)


def test_weights_that_are_ignored_are_noticed():
    model = noisy()[0]
    match = "^retrain: expected another model with other weights; got the same; multiply the loss"
    said(match, model, lambda weights_n, seed: deepcopy(model))
    calls = []

    def by_seed(weights_n, seed):
        calls.append(seed)
        model = deepcopy(noisy()[0])
        next(model.parameters()).data += 0.01 * seed
        return model

    said(match, model, by_seed)
    assert calls == [0, 0]  # and not after all trainings


def test_halves_that_are_the_same_by_chance_are_no_sign_of_ignored_weights(monkeypatch):
    """Of two samples in each class a quarter of the first two halves are the same."""
    model = noisy()[0]
    halves = calibrated.halves_of_labels

    def alike(labels_n, count, rng):
        kept_hn = halves(labels_n, count, rng)
        kept_hn[1] = kept_hn[0]
        return kept_hn

    monkeypatch.setattr(calibrated, "halves_of_labels", alike)
    retrain = lambda weights_n, seed: trained_on(deepcopy(model), weights_n)  # noqa: E731
    assert diagnose(model, *noisy()[1:], "abc", retrain=retrain, halves=5).verdict.calibrated


def test_a_training_that_diverges_is_noticed_at_once():
    calls = []

    def diverging(weights_n, seed):
        calls.append(seed)
        model = trained_on(deepcopy(noisy()[0]), weights_n)
        next(model.parameters()).data *= torch.nan
        return model

    said("^retrain: expected a model with finite losses; got others", noisy()[0], diverging)
    assert calls == [0]


def test_a_model_that_is_trained_on_is_noticed():
    model, other = deepcopy(noisy()[0]), deepcopy(noisy()[0])
    match = "^retrain: expected a new model each time; got the one before, trained on$"
    said(match, model, lambda weights_n, seed: trained_on(other, weights_n))
    match = "^retrain: expected a new model; got the diagnosed one, trained on$"
    said(match, model, lambda weights_n, seed: trained_on(model, weights_n))
    model = deepcopy(noisy()[0])
    said(match, model, lambda weights_n, seed: deepcopy(trained_on(model, weights_n)))


def test_a_function_of_other_arguments_or_a_model_of_other_outputs_is_noticed():
    model, calls = noisy()[0], []
    said(r"^retrain: expected a function of \(weights_n, seed\); got <lambda>$", model, lambda w: w)
    said(r"^retrain: expected a function of \(weights_n, seed\); got int$", model, 3)
    match = r"^retrain: expected logits of 3 classes, \(8, 3\); got \(8, 2\)"
    said(match, model, lambda weights_n, seed: calls.append(seed) or nn.Linear(4, 2).double())
    assert calls == [0]  # and not after all trainings


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_models_of_another_precision_are_measured_in_that_of_the_diagnosis(dtype):
    model = noisy()[0]

    def retrain(weights_n, seed):
        return trained_on(deepcopy(model), weights_n).to(dtype)

    found = diagnose(model, *noisy()[1:], "abc", retrain=retrain, halves=5)
    assert found.verdict.calibrated


def test_an_output_that_is_no_class_is_none_in_the_accuracy_before_and_after(monkeypatch):
    """One diagnosis has one accuracy: that of the classes, whatever else the model puts out."""
    model, train, query = noisy()
    wide = nn.Sequential(deepcopy(model), nn.Linear(3, 4).double())
    with torch.no_grad():
        wide[1].weight.copy_(torch.eye(4, 3))
        wide[1].bias.copy_(torch.tensor([0.0, 0.0, 0.0, 50.0]))
    accuracies = {}
    judged, calibrate = calibrated.calibrated_check, calibrated.calibrate

    def noted(*given):
        accuracies["after"] = given[5]
        return calibrate(*given)

    def judged_by(*given):
        accuracies["before"] = given[4]
        return judged(*given)

    monkeypatch.setattr(calibrated, "calibrate", noted)
    monkeypatch.setattr(calibrated, "calibrated_check", judged_by)

    def retrain(weights_n, seed):
        again = deepcopy(wide)
        trained_on(again, weights_n)
        return again

    answer = diagnose(wide, train, query, "abc", retrain=retrain, halves=5)
    right_m = (model(query[0]).argmax(1) == query[1]).double().numpy()
    counts_k = np.bincount(query[1])
    np.testing.assert_array_equal(answer.accuracy_k, np.bincount(query[1], right_m) / counts_k)
    np.testing.assert_array_equal(accuracies["before"], answer.accuracy_k)
    assert accuracies["after"].min() > 0.5


@pytest.mark.parametrize("gains", [True, False])
def test_room_is_tried_by_trainings_with_its_weights(monkeypatch, gains):
    model, train, query = noisy()
    room = Verdict("room", Estimate(0.1, 0.05, 0.2), ("a", "b"), 1.0)
    estimate = Estimate(0.1, 0.05, 0.2)
    room = replace(room, slope=estimate, rank_score=estimate, loss=estimate, points=estimate)
    monkeypatch.setattr(calibrated, "calibrated_check", lambda *_: (room, None))
    tried = []

    def retrain(weights_n, seed):
        if seed < 5:
            return trained_on(deepcopy(model), weights_n)
        tried.append((weights_n, seed))
        again = deepcopy(model)
        if (weights_n == 1).all() == gains:  # the worse of the two knows next to nothing
            for part in again.parameters():
                part.data *= 0.01
        return again

    found = diagnose(model, train, query, "abc", retrain=retrain, halves=5)
    assert [seed for _, seed in tried] == [5, 5, 6, 6]
    for weights_n, _ in tried[::2]:
        np.testing.assert_array_equal(weights_n, 1)
    for weights_n, _ in tried[1::2]:
        np.testing.assert_array_equal(weights_n, found.weights_n)
    verdict = found.verdict
    if gains:
        assert verdict.answer == "room"
        assert f"{verdict.trial_gain:.2g} nats" in verdict.sentence
        assert "in trainings with such weights" in verdict.sentence
    else:
        assert verdict.answer == "not_confirmed"
        assert (
            f"class {verdict.trial_class} lost {-verdict.trial_gain:.2g} nats" in verdict.sentence
        )
        assert verdict.remedy.startswith("Weights nearer to 1")


def test_a_function_that_edits_its_weights_edits_its_own(monkeypatch):
    model, seen = noisy()[0], []

    def retrain(weights_n, seed):
        seen.append(weights_n.copy())
        again = trained_on(deepcopy(model), weights_n)
        weights_n /= 7
        return again

    diagnose(model, *noisy()[1:], "abc", retrain=retrain, halves=5)
    assert [weights_n.mean() for weights_n in seen] == [1] * len(seen)
