"""Laws of the cross-fitted headroom: at most t* on average, at most 0 at a ceiling, deaf to what must not matter."""

import numpy as np
import pytest

from catwise.ceiling.crossfit import Estimate, crossfitted_headroom, permutation_null
from catwise.ceiling.headroom import headroom
from catwise.ceiling.verdict import CeilingCheck, check_ceiling, verdict
from catwise.core.errors import InputError
from catwise.influence.vectors import validation_bins


def binned(rng, size, n=150, k=3, b=6, noise=0.1):
    """Vectors at a ceiling (y . p = 0, y > 0) with ``size`` of a direction that helps every class, and noise by bin."""
    y_k = rng.uniform(0.3, 1, k)
    p_nk = rng.normal(size=(n, k))
    p_nk -= np.outer(p_nk @ y_k, y_k) / (y_k @ y_k)
    p_nk += size * rng.normal(size=(n, 1))
    return p_nk[:, :, None] / b + noise * rng.normal(size=(n, k, b)) / b**0.5


def test_at_a_ceiling_without_noise_every_figure_is_zero_and_the_rates_are_named():
    line = np.random.default_rng(0).normal(size=100)
    found = check_ceiling(np.repeat(np.stack([line, -3 * line], 1)[:, :, None], 4, axis=2))
    assert found.headroom.value == pytest.approx(0, abs=1e-9)
    assert found.crossfitted.value == pytest.approx(0, abs=1e-9)
    assert found.smallest_share.value == pytest.approx(0, abs=1e-9)
    assert not found.room
    assert "at its ceiling within noise; classes" in verdict(found, ("a", "b"))
    assert verdict(found, ("a", "b")).endswith(
        "block each other at 1 : 1"
    )  # in shares of each class's own mass


def test_without_noise_the_crossfitted_headroom_is_t_star(rng):
    p_nkb = binned(rng, 1.0, noise=0)
    found = check_ceiling(p_nkb)
    assert found.crossfitted.value == pytest.approx(headroom(p_nkb.sum(2)).value, abs=1e-9)
    assert found.crossfitted.low == pytest.approx(found.crossfitted.high, abs=1e-9)
    assert found.room


@pytest.mark.parametrize("size", [0.0, 0.3, 1.0])
def test_is_at_most_t_star_on_average_and_at_most_zero_at_a_ceiling(rng, size):
    draws = [binned(rng, size, noise=0.3) for _ in range(15)]
    crossed = np.array([crossfitted_headroom(p_nkb).value for p_nkb in draws])
    flattering = np.array([headroom(p_nkb.sum(2)).value for p_nkb in draws])
    assert crossed.mean() < flattering.mean()
    if size == 0:
        assert crossed.mean() < 0 < flattering.min()


def test_says_ceiling_at_ceilings_and_room_where_there_is_much(rng):
    said = [
        [crossfitted_headroom(binned(rng, size)).low > 0 for _ in range(10)] for size in (0.0, 1.0)
    ]
    assert sum(said[0]) == 0
    assert sum(said[1]) == 10


def test_the_order_of_bins_and_samples_and_the_scale_of_classes_change_nothing(rng):
    p_nkb = binned(rng, 0.3)
    expected = check_ceiling(p_nkb)
    rows, columns = rng.permutation(p_nkb.shape[0]), rng.permutation(p_nkb.shape[2])
    for other in (p_nkb[:, :, columns], p_nkb[rows], p_nkb * np.array([1, 50, 0.02])[:, None]):
        same = check_ceiling(other)
        for name in ("headroom", "crossfitted"):
            one, two = getattr(expected, name), getattr(same, name)
            assert (one.value, one.low, one.high) == pytest.approx(
                (two.value, two.low, two.high), abs=1e-7
            )


def test_two_sides_of_three_bins_by_hand(rng):
    """The mean over bins of the gain under the direction of the two others."""
    p_nkb = binned(rng, 0.5, b=3)
    mass_k = np.abs(p_nkb.sum(2)).sum(0)
    gains = []
    for b, others in enumerate(([1, 2], [0, 2], [0, 1])):
        gains.append(headroom(p_nkb[:, :, others].sum(2)).direction_n @ p_nkb[:, :, b])
    assert crossfitted_headroom(p_nkb).value == pytest.approx(
        (np.sum(gains, axis=0) / mass_k).min()
    )


def test_the_null_lies_at_or_below_zero_where_all_classes_cancel_and_above_where_they_agree(rng):
    opposed = binned(rng, 0, noise=0.3)
    opposed -= opposed.mean(axis=(1, 2), keepdims=True)  # the sum over classes and bins is 0
    assert np.quantile(permutation_null(opposed, 40, rng)[:, 1], 0.9) <= 0
    assert permutation_null(opposed, 40, rng)[:, 0].max() < 1e-6
    agreeing = rng.normal(size=(150, 1, 1)) + 0.1 * rng.normal(size=(150, 3, 6))
    assert permutation_null(agreeing, 40, rng).min() > 0.8


def test_the_same_generator_gives_the_same_null():
    p_nkb = binned(np.random.default_rng(1), 0.3)
    first, second = (permutation_null(p_nkb, 5, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_bins_deal_each_class_evenly(rng):
    labels = rng.integers(0, 3, 100)
    groups = validation_bins(labels, 4, rng)
    np.testing.assert_array_equal(groups // 4, labels)
    for label in range(3):
        sizes = np.bincount(groups[labels == label] % 4, minlength=4)
        assert sizes.max() - sizes.min() <= 1
    with pytest.raises(InputError, match=r"^bins: expected at most 2, .* got 4"):
        validation_bins(np.array([0] * 9 + [1] * 2), 4, rng)


def test_words_of_hand_made_cases():
    some = Estimate(0.5, 0.4, 0.6)
    rates = np.array([0.1, 0.35, 0.5, 0.05])

    def said(crossed):
        return verdict(
            CeilingCheck(some, some, some, crossed, rates, np.zeros(3), 0.0), ("a", "b", "c", "d")
        )

    room = "room for a joint improvement of about 12 % of the influence mass (95 % 3.4 to 21)"
    assert said(Estimate(0.12, 0.034, 0.21)) == room
    block = "at its ceiling within noise; classes c and b block each other at 1 : 0.7"
    assert said(Estimate(0.12, -0.01, 0.2)) == block


def test_too_few_bins_are_named(rng):
    with pytest.raises(InputError, match="at least 3 bins"):
        crossfitted_headroom(rng.normal(size=(20, 2, 2)))
