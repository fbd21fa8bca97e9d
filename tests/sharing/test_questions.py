"""A diagnosis answers further questions as a new one would, and only about its own model."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from catwise.core.errors import InputError
from catwise.core.losses import per_sample_probability
from catwise.diagnosis import diagnose
from catwise.influence import factors
from catwise.influence.vectors import influence_vectors
from tests.helpers.diagnoses import CLASSES, diagnosis, noisy

pytestmark = pytest.mark.slow


@pytest.fixture
def never_fitted(monkeypatch):
    diagnosis()  # made once for all tests, before the fit is forbidden

    def refuse(*args, **kwargs):
        raise AssertionError("fitted again")

    monkeypatch.setattr(factors, "squares", refuse)
    monkeypatch.setattr(factors, "second_moments", refuse)


@pytest.mark.usefixtures("never_fitted")
def test_the_same_question_has_the_same_answer():
    asked = diagnosis().ask(noisy()[2])
    np.testing.assert_array_equal(asked.p_nk, diagnosis().p_nk)
    np.testing.assert_array_equal(asked.weights_n, diagnosis().weights_n)
    assert asked.verdict == diagnosis().verdict


def test_other_query_samples_are_answered_as_by_a_new_diagnosis():
    model, train, query = noisy()
    half = tuple(part[:60] for part in query)
    asked = diagnosis().ask(half)
    anew = diagnose(model, train, half, CLASSES, batch_size=50)
    np.testing.assert_array_equal(asked.p_nk, anew.p_nk)
    assert asked.ceiling.crossfitted == anew.ceiling.crossfitted


def test_groups_part_the_influence_on_the_classes_that_they_part():
    """P is a sum over query samples: groups within the classes add up to the classes."""
    query = noisy()[2]
    groups = [f"{CLASSES[label]}, {i % 2}" for i, label in enumerate(query[1].tolist())]
    asked = diagnosis().ask(query, groups)
    assert asked.ceiling.classes == tuple(sorted(set(groups)))
    for k, name in enumerate(CLASSES):
        parts = [g for g, group in enumerate(asked.ceiling.classes) if group.startswith(f"{name},")]
        np.testing.assert_allclose(
            asked.p_nk[:, parts].sum(1), diagnosis().p_nk[:, k], rtol=1e-9, atol=1e-12
        )  # they add up in another order
    labels_n = noisy()[1][1].numpy()
    for k in range(3):  # the weights keep the classes of the training samples, not the groups
        assert asked.weights_n[labels_n == k].mean() == pytest.approx(1, abs=1e-9)


def test_another_measure_is_the_query_loss_of_that_name():
    model, _, query = noisy()
    asked = diagnosis().ask(query, measure="probability")
    fitted = diagnosis().fitted
    expected = influence_vectors(
        model,
        fitted.curvature,
        fitted.train,
        query,
        query[1],
        3,
        batch_size=50,
        query_loss=per_sample_probability,
    )
    np.testing.assert_allclose(asked.p_nk, expected.numpy(), rtol=1e-9, atol=1e-12)
    assert not np.allclose(asked.p_nk, diagnosis().p_nk)
    by_hand = diagnosis().ask(query, measure=per_sample_probability)
    np.testing.assert_array_equal(by_hand.p_nk, asked.p_nk)


@pytest.mark.parametrize("measure", ["loss", "probability", "margin"])
def test_labels_of_eight_bits_are_asked_as_wide_ones(measure):
    model, *parts = noisy()
    narrow = [(x, y.to(torch.uint8)) for x, y in parts]
    asked = diagnose(model, *narrow, CLASSES, batch_size=50).ask(narrow[1], measure=measure)
    expected = diagnosis().ask(parts[1], measure=measure)
    np.testing.assert_array_equal(asked.p_nk, expected.p_nk)


def test_what_cannot_be_asked_is_one_line():
    model, _, query = noisy()

    def said(match, found, *question):
        with pytest.raises(InputError, match=match) as caught:
            found.ask(*question)
        assert "\n" not in str(caught.value)

    said(
        "groups: expected one for each of 120 query samples; got 2", diagnosis(), query, ["a", "b"]
    )
    said("groups: expected two or more; got a", diagnosis(), query, ["a"] * 120)
    few = ["a"] * 118 + ["b"] * 2
    said("query: expected 3 samples or more of every class; got 2 of 'b'", diagnosis(), query, few)
    measure = (query, None, "accuracy")
    said(
        "measure: expected one of loss, probability, margin.*got 'accuracy'", diagnosis(), *measure
    )
    said("ask: expected a diagnosis with its model", replace(diagnosis(), fitted=None), query)
    changed = deepcopy(model)
    with torch.no_grad():
        changed[0].bias[0] += 1e-12
    other = replace(diagnosis(), fitted=replace(diagnosis().fitted, model=changed))
    said("model: expected the weights that the factors were fitted at", other, query)
