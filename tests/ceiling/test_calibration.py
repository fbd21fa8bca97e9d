"""Laws of the calibration: the slope is found, its interval covers it, wrong signs are seen."""

import numpy as np
import pytest

from catwise.ceiling.calibration import calibrate, predicted_gains
from catwise.core.errors import InputError
from catwise.core.statistics import Estimate

N, K = 120, 4
COUNTS = np.array([10, 20, 30, 40])


def retrained(
    rng,
    slope_k=0.2,
    *,
    subsets=40,
    seeds=2,
    noise=1.0,
    designs=1,
    error=0.0,
    counts_k=COUNTS,
):
    """Draw P and retrainings whose realised changes are ``slope_k`` times those of P, with noise.

    ``noise`` is in units of the deviation of the realised changes, ``error`` that of P in units of
    the deviation of P's true part.
    """
    k = len(counts_k)
    true_nk = rng.standard_t(4, size=(N, k))
    p_nk = true_nk + error * rng.standard_t(4, size=(N, k))
    design_h = np.arange(subsets) % designs
    kept_hn = rng.random((subsets, N)) < np.array([0.5, 0.9])[design_h][:, None]
    gain_hk = slope_k * predicted_gains(true_nk, counts_k, kept_hn)
    gain_hk = gain_hk - gain_hk.mean(axis=0)
    size_k = gain_hk.std(axis=0)
    draws = rng.normal(size=(subsets, seeds, k)) + rng.normal(size=(subsets, seeds, 1))
    loss_hsk = 1.0 + design_h[:, None, None] - gain_hk[:, None] + noise * size_k * draws
    accuracy_hsk = 0.8 - 0.3 * loss_hsk  # 30 points for a nat
    return p_nk, counts_k, kept_hn, loss_hsk, accuracy_hsk, design_h


def test_without_noise_the_slope_is_exact_and_so_are_accuracy_and_score(rng):
    found = calibrate(*retrained(rng, 0.2, noise=0, designs=2))
    for estimate, value in ((found.slope, 0.2), (found.accuracy_slope, 6), (found.lds, 1)):
        ends = (estimate.value, estimate.low, estimate.high)
        assert ends == pytest.approx((value, value, value), rel=1e-9)
    np.testing.assert_allclose(found.slopes.value_k, 0.2, rtol=1e-9)
    assert (found.subsets, found.seeds, found.predictive) == (40, 2, True)


def test_the_jackknife_is_that_of_subsets_left_out_one_by_one(rng):
    p_nk, counts_k, *arrays = retrained(rng, subsets=15, designs=2)
    own_rk = []
    for h in range(15):
        rest = [np.delete(values, h, axis=0) for values in arrays]
        own_rk.append(calibrate(p_nk, counts_k, *rest).own.value_k)
    expected_k = np.var(own_rk, axis=0) ** 0.5 * 14**0.5
    found = calibrate(p_nk, counts_k, *arrays).own.error_k
    np.testing.assert_allclose(found, expected_k, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("subsets", "designs"), [(8, 1), (40, 1), (60, 2)])
def test_the_interval_covers_the_slope_in_about_95_of_100_draws(subsets, designs):
    """200 draws cover between 182 and 198 times, but for 1 in 1000 (binomial of .95)."""
    rng = np.random.default_rng(subsets)
    draws = [calibrate(*retrained(rng, 0.2, subsets=subsets, designs=designs)) for _ in range(200)]
    assert 180 <= sum(found.slope.low <= 0.2 <= found.slope.high for found in draws) <= 199
    low = np.array([found.slopes.value_k - found.slopes.half_width() for found in draws])
    high = np.array([found.slopes.value_k + found.slopes.half_width() for found in draws])
    assert ((low <= 0.2) & (high >= 0.2)).mean() >= 0.92


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.3, 1.0])
@pytest.mark.parametrize(("classes", "subsets"), [(2, 10), (4, 10), (10, 10), (4, 40), (10, 40)])
def test_slopes_that_differ_between_classes_are_covered_too(classes, subsets, spread):
    rng, counts_k, hits = np.random.default_rng(1), np.full(classes, 20), []
    for _ in range(200):
        true_k = 0.2 * (1 + spread * rng.normal(size=classes))
        slopes = calibrate(*retrained(rng, true_k, subsets=subsets, counts_k=counts_k)).slopes
        hits.append(np.abs(slopes.value_k - true_k) <= slopes.half_width())
    assert np.mean(hits) > 0.91


def test_errors_of_p_lower_the_slope_as_a_prediction_from_p_needs(rng):
    """With errors as large as the truth, half of what P predicts comes true."""
    found = calibrate(*retrained(rng, 0.2, noise=0.2, error=1.0, subsets=400))
    assert found.slope.value == pytest.approx(0.1, abs=0.03)


def test_noise_in_place_of_p_is_seldom_predictive():
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(100):
        p_nk, *rest = retrained(rng, 0.2, noise=0.5)
        found += calibrate(rng.permutation(p_nk), *rest).predictive
    assert found <= 5


@pytest.mark.parametrize("flipped", [1, 2])
def test_a_class_whose_sign_is_wrong_makes_influence_not_predictive(rng, flipped):
    sign_k = np.where(np.arange(K) < flipped, -1, 1)
    p_nk, *rest = retrained(rng, 0.2, noise=0.3)
    found = calibrate(p_nk * sign_k, *rest)
    assert found.reversed_k.tolist() == (sign_k < 0).tolist()
    assert not found.predictive


@pytest.mark.parametrize("accuracy", [0, 1])
def test_a_class_whose_accuracy_never_moves_takes_the_slope_of_the_others(rng, accuracy):
    """It tells nothing of its own, and is no ceiling by that."""
    p_nk, counts_k, kept_hn, loss_hsk, accuracy_hsk, design_h = retrained(rng, noise=0.5)
    moving = [values[..., 1:] for values in (p_nk, loss_hsk, accuracy_hsk)]
    accuracy_hsk[:, :, 0] = accuracy
    found = calibrate(p_nk, counts_k, kept_hn, loss_hsk, accuracy_hsk, design_h)
    others = calibrate(moving[0], counts_k[1:], kept_hn, *moving[1:], design_h)
    assert found.accuracy_slope == others.accuracy_slope
    still, *rest = (found.accuracy_slopes.interval(k) for k in range(K))
    assert rest == [others.accuracy_slopes.interval(k) for k in range(K - 1)]
    assert still.value == found.accuracy_slope.value
    assert still.low <= found.accuracy_slope.low
    assert still.high >= found.accuracy_slope.high


def test_where_no_accuracy_moves_no_points_are_told(rng):
    p_nk, counts_k, kept_hn, loss_hsk, accuracy_hsk, design_h = retrained(rng)
    found = calibrate(p_nk, counts_k, kept_hn, loss_hsk, 0 * accuracy_hsk, design_h)
    assert found.accuracy_slope == Estimate(0, 0, 0)


def test_bad_input_is_named(rng):
    p_nk, counts_k, *rest, design_h = retrained(rng, subsets=3)
    with pytest.raises(InputError, match="expected 4 or more retrained subsets; got 3"):
        calibrate(p_nk, counts_k, *rest, design_h)
    p_nk, counts_k, kept_hn, loss_hsk, accuracy_hsk, _ = retrained(rng)
    p_nk[:, 2] = 0
    with pytest.raises(InputError, match="got equal ones of class 2"):
        calibrate(p_nk, counts_k, kept_hn, loss_hsk, accuracy_hsk)
    loss_hsk[3, 0, 1] = np.nan
    with pytest.raises(InputError, match="expected finite losses"):
        calibrate(p_nk, counts_k, kept_hn, loss_hsk, accuracy_hsk)
