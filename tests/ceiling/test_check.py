"""Laws of the check: zero at a ceiling, unmoved by order and scale; its record is enough."""

import json

import numpy as np
import pytest

from catwise.ceiling.check import CeilingCheck, check_ceiling
from catwise.ceiling.headroom import headroom
from catwise.ceiling.records import check_record
from catwise.core.statistics import Estimate
from tests.helpers.small import binned_vectors


def test_at_a_ceiling_without_noise_every_figure_is_zero_and_the_rates_are_named():
    line = np.random.default_rng(0).normal(size=100)
    p_nk = np.stack([line, -3 * line], 1)
    check = check_ceiling(np.repeat(p_nk[:, :, None], 4, axis=2), ("a", "b"))
    assert check.headroom.value == pytest.approx(0, abs=1e-9)
    assert check.crossfitted.value == pytest.approx(0, abs=1e-9)
    assert check.smallest_share.value == pytest.approx(0, abs=1e-9)
    assert not check.room
    assert check.blocking == ("a", "b")
    assert check.exchange_rate == pytest.approx(1)  # in shares of each class's own mass


def test_the_classes_that_block_each_other_have_to_do_with_each_other():
    """A opposes B, and C opposes D, on other samples; the two largest rates are of any two."""
    rng = np.random.default_rng(0)
    a_n, c_n, zero_n = rng.normal(size=200), rng.normal(size=200), np.zeros(200)
    b_n, d_n = (0.1 * rng.normal(size=200) - one_n for one_n in (a_n, c_n))
    pairs = [(a_n, zero_n), (b_n, zero_n), (zero_n, c_n), (zero_n, d_n)]
    p_nk = np.stack([np.concatenate(pair) for pair in pairs], axis=1)
    for seed in range(10):
        noisy_nk = p_nk + 0.02 * np.random.default_rng(seed).normal(size=p_nk.shape)
        check = check_ceiling(np.repeat(noisy_nk[:, :, None], 3, axis=2), "ABCD")
        assert set(check.blocking) in ({"A", "B"}, {"C", "D"})
        assert 0 < check.exchange_rate <= 1


def test_without_noise_the_crossfitted_headroom_is_t_star(rng):
    p_nkb = binned_vectors(rng, 1.0, noise=0)
    check = check_ceiling(p_nkb)
    assert check.crossfitted.value == pytest.approx(headroom(p_nkb.sum(2)).value, abs=1e-9)
    assert check.crossfitted.low == pytest.approx(check.crossfitted.high, abs=1e-9)
    assert check.room


def test_the_order_of_bins_and_samples_and_the_scale_of_classes_change_nothing(rng):
    p_nkb = binned_vectors(rng, 0.3)
    expected = check_ceiling(p_nkb)
    rows, columns = rng.permutation(p_nkb.shape[0]), rng.permutation(p_nkb.shape[2])
    for other in (p_nkb[:, :, columns], p_nkb[rows], p_nkb * np.array([1, 50, 0.02])[:, None]):
        check = check_ceiling(other)
        for name in ("headroom", "crossfitted"):
            one, two = getattr(expected, name), getattr(check, name)
            assert (one.value, one.low, one.high) == pytest.approx(
                (two.value, two.low, two.high), abs=1e-7
            )


ANY = Estimate(0.5, 0.4, 0.6)


def test_the_record_names_the_classes_that_block_each_other_and_their_rate():
    exchange_k = np.array([0.1, 0.35, 0.5, 0.05])
    figure = Estimate(0.12, 0.034, 0.21)
    check = CeilingCheck(ANY, ANY, ANY, figure, exchange_k, 0.0, ("a", "b", "c", "d"))
    record = json.loads(json.dumps(check_record(check)))
    assert record["blocking"] == ["c", "b"]
    assert record["exchange_rate"] == pytest.approx(0.7)
    assert record["crossfitted"] == {"value": 0.12, "low": 0.034, "high": 0.21}


def test_classes_without_names_go_by_their_numbers(rng):
    assert check_ceiling(binned_vectors(rng, 0.3)).classes == ("0", "1", "2")
