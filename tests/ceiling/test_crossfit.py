"""Laws of the cross-fitted headroom: at most t* on average, at most 0 at a ceiling. Its null."""

import numpy as np
import pytest
from scipy.special import stdtrit

from catwise.ceiling.check import check_ceiling
from catwise.ceiling.crossfit import crossfitted_headroom, permutation_null
from catwise.ceiling.headroom import headroom
from catwise.core.errors import InputError
from tests.helpers.small import binned_vectors


@pytest.mark.slow
@pytest.mark.parametrize("size", [0.0, 0.3, 1.0])
def test_is_at_most_t_star_on_average_and_at_most_zero_at_a_ceiling(rng, size):
    draws = [binned_vectors(rng, size, noise=0.3) for _ in range(15)]
    crossfitted = np.array([crossfitted_headroom(p_nkb).value for p_nkb in draws])
    flattering = np.array([headroom(p_nkb.sum(2)).value for p_nkb in draws])
    assert crossfitted.mean() < flattering.mean()
    if size == 0:
        assert crossfitted.mean() < 0 < flattering.min()


@pytest.mark.slow
@pytest.mark.parametrize(("size", "room"), [(0.0, False), (1.0, True)])
def test_finds_a_ceiling_at_ceilings_and_room_where_there_is_much(rng, size, room):
    for _ in range(10):
        assert (crossfitted_headroom(binned_vectors(rng, size)).low > 0) == room


def test_is_the_mean_gain_under_the_direction_of_the_other_bins(rng):
    p_nkb = binned_vectors(rng, 0.5, bins=3)
    mass_k = np.abs(p_nkb.sum(2)).sum(0)
    gain_bk = []
    for b, others in enumerate(([1, 2], [0, 2], [0, 1])):
        gain_bk.append(headroom(p_nkb[:, :, others].sum(2)).direction_n @ p_nkb[:, :, b])
    expected = (np.sum(gain_bk, axis=0) / mass_k).min()
    assert crossfitted_headroom(p_nkb).value == pytest.approx(expected)


@pytest.mark.slow
def test_the_null_is_at_most_zero_where_all_classes_cancel_and_large_where_they_agree(rng):
    opposed = binned_vectors(rng, 0, noise=0.3)
    opposed -= opposed.mean(axis=(1, 2), keepdims=True)  # the sum over classes and bins is 0
    null = permutation_null(opposed, 40, rng)
    assert null[:, 0].max() < 1e-6
    assert np.quantile(null[:, 1], 0.9) <= 0
    agreeing = rng.normal(size=(150, 1, 1)) + 0.1 * rng.normal(size=(150, 3, 4))
    assert permutation_null(agreeing, 40, rng).min() > 0.8


def test_the_same_generator_gives_the_same_null():
    p_nkb = binned_vectors(np.random.default_rng(1), 0.3)
    first = permutation_null(p_nkb, 5, np.random.default_rng(7))
    second = permutation_null(p_nkb, 5, np.random.default_rng(7))
    np.testing.assert_array_equal(first, second)


def test_the_upper_end_pays_for_each_class_and_the_lower_one_for_none(rng):
    """A class that is there four times is nothing new but to the number of upper ends."""
    noise_nkb = rng.normal(size=(200, 1, 6))
    often, once = (crossfitted_headroom(np.tile(noise_nkb, (1, k, 1))) for k in (4, 1))
    assert (often.value, often.low) == pytest.approx((once.value, once.low))
    widths = [one.high - one.value for one in (often, once)]
    quantiles = stdtrit(5, 1 - 0.025 / np.array([4, 1]))
    assert widths[0] / widths[1] == pytest.approx(quantiles[0] / quantiles[1])


def test_too_few_bins_are_named(rng):
    with pytest.raises(InputError, match=r"at least 3 bins; got \(20, 2, 2\)"):
        crossfitted_headroom(rng.normal(size=(20, 2, 2)))


def test_one_class_has_nothing_to_be_checked(rng):
    with pytest.raises(InputError, match="expected two classes or more; got 1"):
        check_ceiling(rng.normal(size=(20, 1, 4)))


def test_no_end_is_larger_than_the_whole_influence(rng):
    """All gains of three unlike bins are near 1, where their jackknife reaches beyond."""
    p_nkb = np.abs(rng.normal(size=(4, 2, 3))) * np.array([1.0, 5.0, 25.0])
    estimate = crossfitted_headroom(p_nkb)
    assert estimate.high == 1
    assert estimate.low <= estimate.value <= 1
