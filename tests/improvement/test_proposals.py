"""Proposals are ones where there is nothing to gain, and stay where weights are allowed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catwise.core.errors import InputError
from catwise.improvement import proposals
from catwise.improvement.proposals import Evidence, Region
from tests.helpers.small import ceiling_vectors

ALL = {
    "free": proposals.direction(0.5),
    "kept": proposals.direction(0.5, keep_masses=True),
    "classes": proposals.class_weights(0.5),
    "both": proposals.direction_within(0.5, 0.3),
    "harmful": proposals.drop_harmful,
    "mislabelled": proposals.drop_mislabelled,
    "frequency": proposals.Frequency(1.0),
    "mean": proposals.mean_direction(0.5),
    "targets": proposals.targets([1], 0.5),
}


@pytest.fixture
def evidence(rng):
    """Vectors of three classes at the second round, when the weights are no longer ones."""
    labels_n = rng.integers(0, 3, 90)
    weights_n = rng.uniform(0.2, 1.8, 90)
    p_nk = rng.normal(size=(90, 3)) + 0.5 * rng.normal(size=(90, 1))
    return Evidence(p_nk, labels_n, weights_n / weights_n.mean())


@pytest.mark.parametrize("name", ALL)
def test_what_is_proposed_ends_in_the_box_with_mean_one_within_the_trust_region(name, evidence):
    region = Region(w_max=1.7, trust=0.4)
    weights_n = region.nearest(ALL[name](evidence))
    assert weights_n.min() >= 0
    assert weights_n.max() <= 1.7 + 1e-12
    assert weights_n.mean() == pytest.approx(1, abs=1e-12)
    assert np.abs(weights_n - 1).mean() <= 0.4 + 1e-12


@given(seed=st.integers(0, 10_000), w_max=st.floats(1, 20), trust=st.floats(0.01, 2))
@settings(max_examples=50, deadline=None)
def test_the_region_takes_in_any_point_and_keeps_what_is_inside(seed, w_max, trust):
    x_n = 3 * np.random.default_rng(seed).normal(size=40)
    region = Region(w_max, trust)
    inside_n = region.nearest(x_n)
    assert inside_n.min() >= -1e-12
    assert inside_n.max() <= w_max + 1e-9
    assert inside_n.mean() == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(region.nearest(inside_n), inside_n, atol=1e-9)


def test_ones_stay_ones_to_the_last_bit():
    assert (Region().nearest(np.ones(7)) == 1).all()


@pytest.mark.parametrize(("w_max", "trust"), [(0.9, 1.0), (2.0, 0.0)])
def test_a_region_without_plain_weights_or_without_room_is_refused(w_max, trust):
    with pytest.raises(InputError, match=r"region: expected w_max of 1 or more .*; got"):
        Region(w_max, trust)


@pytest.mark.parametrize("name", ["free", "kept", "classes", "both"])
def test_each_direction_lowers_the_loss_of_every_class_to_first_order(name, rng):
    labels_n = np.arange(120) % 3
    help_n = rng.normal(size=(120, 1)) + np.array([0.8, 0.1, -0.5])[labels_n][:, None]
    evidence = Evidence(help_n + 0.1 * rng.normal(size=(120, 3)), labels_n, np.ones(120))
    weights_n = Region().nearest(ALL[name](evidence))
    assert ((weights_n - 1) @ evidence.p_nk > 0).all()


def test_the_mean_direction_helps_all_classes_in_sum_where_none_may_lose(rng):
    """A tail class gains much at a small price of the others: a ceiling, but not of the sum."""
    labels_n = np.arange(60) % 2
    p_nk = np.where(labels_n[:, None] == 0, [0.5, -1.0], [-0.1, 2.0])
    evidence = Evidence(p_nk, labels_n, np.ones(60))
    np.testing.assert_allclose(proposals.direction(0.5)(evidence), 1, atol=1e-9)
    gain_k = (ALL["mean"](evidence) - 1) @ p_nk
    assert gain_k.sum() > 0 > gain_k[0]


def test_masses_of_the_classes_are_kept_where_that_is_asked_for(evidence):
    weights_n = ALL["kept"](evidence)
    for k in range(3):
        rows = evidence.labels_n == k
        assert weights_n[rows].sum() == pytest.approx(evidence.weights_n[rows].sum())


def test_class_weights_are_one_factor_for_each_class(evidence):
    factor_n = ALL["classes"](evidence) / evidence.weights_n
    for k in range(3):
        assert np.ptp(factor_n[evidence.labels_n == k]) < 1e-12
    assert np.ptp(factor_n) > 0.1


def test_a_ceiling_in_the_means_of_the_classes_leaves_plain_weights(rng):
    """Two classes whose means lie opposite each other: no factor of the classes helps both."""
    labels_n = np.arange(40) % 2
    p_nk = np.where(labels_n[:, None] == 0, [1.0, -2.0], [-1.0, 2.0])
    weights_n = proposals.class_weights(0.5)(Evidence(p_nk, labels_n, np.ones(40)))
    np.testing.assert_allclose(weights_n, 1, atol=1e-9)


def test_an_exact_ceiling_leaves_plain_weights(rng):
    p_nk = ceiling_vectors(rng)[0]
    p_nk = p_nk - p_nk.mean(axis=0)
    labels_n = np.arange(len(p_nk)) % p_nk.shape[1]
    weights_n = proposals.direction(0.5)(Evidence(p_nk, labels_n, np.ones(len(p_nk))))
    np.testing.assert_allclose(weights_n, 1, atol=1e-6)


def test_what_is_dropped_stays_dropped(evidence):
    """Steps are relative, so that a round does not bring back what the last one left out."""
    weights_n = evidence.weights_n.copy()
    weights_n[:10] = 0
    later = Evidence(evidence.p_nk, evidence.labels_n, weights_n)
    for name in set(ALL) - {"frequency"}:
        assert (ALL[name](later)[:10] <= 0).all(), name


def test_the_samples_that_harm_every_class_are_those_left_out():
    p_nk = np.array([[1.0, 1.0], [-1.0, -0.1], [-1.0, 2.0]])
    weights_n = proposals.drop_harmful(Evidence(p_nk, np.array([0, 1, 1]), np.ones(3)))
    assert Region().nearest(weights_n).tolist() == [1.5, 0, 1.5]


@pytest.mark.parametrize("name", ["harmful", "mislabelled"])
def test_what_is_left_out_has_no_weight_even_where_the_largest_weight_cuts_others(name, rng):
    """The others take up the weight of three in ten, some of them from the largest weight on."""
    weights_n = np.tile([0.0, 2.0, 2.0, 0.5, 0.5], 20)
    p_nk = np.where(np.arange(100)[:, None] % 10 < 3, -9.0, 1.0) * rng.uniform(0.5, 1, (100, 2))
    evidence = Evidence(p_nk, np.arange(100) % 2, weights_n)
    out_n = (p_nk < 0).all(axis=1) | (weights_n == 0)
    nearest_n = Region(w_max=2.0).nearest(ALL[name](evidence))
    assert (nearest_n[out_n] == 0).all()
    assert (nearest_n[~out_n] > 0).all()
    assert nearest_n.mean() == pytest.approx(1, abs=1e-12)


def test_where_every_sample_harms_every_class_the_weights_stay(evidence):
    harmful = replace(evidence, p_nk=-np.abs(evidence.p_nk))
    assert (proposals.drop_harmful(harmful) == evidence.weights_n).all()


def test_targets_gain_and_no_other_class_loses(rng):
    p_nk = rng.normal(size=(200, 4))
    evidence = Evidence(p_nk, np.arange(200) % 4, np.ones(200))
    gain_k = (proposals.targets([2], 0.5)(evidence) - 1) @ p_nk
    mass_k = np.abs(p_nk).sum(axis=0)
    assert gain_k[2] > 0.1 * mass_k[2]
    assert (gain_k > -1e-6 * mass_k).all()


def test_frequency_gives_every_class_the_same_weight_in_sum():
    labels_n = np.array([0] * 9 + [1])
    evidence = Evidence(np.zeros((10, 2)), labels_n, np.ones(10))
    weights_n = proposals.Frequency(1.0)(evidence)
    assert weights_n[labels_n == 0].sum() == pytest.approx(weights_n[labels_n == 1].sum())


def test_what_harms_more_than_any_sample_helps_is_dropped_though_none_harms_every_class():
    p_nk = np.array([[-9.0, 1.0], [-2.0, 1.0], [1.0, -2.0], [3.0, -1.0], [2.0, 0.0], [2.0, 0.0]])
    evidence = Evidence(p_nk, np.array([0, 1, 0, 1, 0, 1]), np.ones(6))
    assert proposals.drop_harmful(evidence).tolist() == [1, 1, 1, 1, 1, 1]
    assert (proposals.drop_mislabelled(evidence) > 0).tolist() == [0, 1, 1, 1, 1, 1]
    weights_n = Region().nearest(proposals.drop_mislabelled(evidence))
    np.testing.assert_allclose(weights_n, [0, 1.2, 1.2, 1.2, 1.2, 1.2], atol=1e-9)
    helping = replace(evidence, p_nk=np.abs(p_nk))
    assert (proposals.drop_mislabelled(helping) > 0).tolist() == [1, 1, 1, 1, 1, 1]


def test_what_the_models_contradict_is_dropped_where_it_harms():
    p_nk = np.array([[-1.0, 0.5], [1.0, -0.5], [-1.0, 0.5], [0.4, 0.0], [1.0, 1.0], [1.0, 1.0]])
    evidence = Evidence(p_nk, np.array([0, 1, 0, 1, 0, 1]), np.ones(6))
    margin_n = np.array([-1.0, -1.0, 1.0, -1.0, 1.0, 1.0])
    assert (proposals.drop_mislabelled(evidence) > 0).tolist() == [1, 1, 1, 1, 1, 1]
    told = replace(evidence, margin_n=margin_n)
    assert (proposals.drop_mislabelled(told) > 0).tolist() == [0, 1, 1, 1, 1, 1]
    by_sample = replace(told, counts_k=np.array([100, 1]))  # then class 1 weighs alike
    assert (proposals.drop_mislabelled(by_sample) > 0).tolist() == [1, 0, 1, 1, 1, 1]
