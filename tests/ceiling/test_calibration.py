"""Laws of the calibration: the slope is found, its interval covers it, wrong signs are seen.

What the counts of labels do is told apart from what influence predicts.
"""

import numpy as np
import pytest

from catwise.ceiling.calibration import besides_counts, calibrate
from catwise.ceiling.partial_regression import predicted_gains
from catwise.core.errors import InputError
from catwise.core.statistics import Estimate
from catwise.fidelity.scores import linear_datamodeling_score
from catwise.fidelity.subsets import halves_of_labels

N, K = 120, 4
COUNTS = np.array([10, 20, 30, 40])


def within(values_nk, labels_n):
    """Centre within each label."""
    return values_nk - np.array([values_nk[labels_n == label].mean(axis=0) for label in labels_n])


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
    pull=0.0,
):
    """Draw P and retrainings whose realised changes are ``slope_k`` times those of P, with noise.

    ``noise`` is in units of the deviation of the realised changes, ``error`` that of P in units of
    the deviation of P's true part. Twice as many of its own samples help a class by ``pull`` nats.
    What P says of whole labels is noise.
    """
    k = len(counts_k)
    labels_n = np.arange(N) % k
    true_nk = within(rng.standard_t(4, size=(N, k)), labels_n)
    p_nk = true_nk + error * rng.standard_t(4, size=(N, k)) + rng.normal(size=(k, k))[labels_n]
    design_h = np.arange(subsets) % designs
    kept_hn = rng.random((subsets, N)) < np.array([0.5, 0.9])[design_h][:, None]
    own_hk = predicted_gains(np.eye(k)[labels_n], np.bincount(labels_n), kept_hn)
    gain_hk = slope_k * predicted_gains(true_nk, counts_k, kept_hn) + pull * own_hk
    gain_hk = gain_hk - gain_hk.mean(axis=0)
    size_k = gain_hk.std(axis=0)
    draws = rng.normal(size=(subsets, seeds, k)) + rng.normal(size=(subsets, seeds, 1))
    loss_hsk = 1.0 + design_h[:, None, None] - gain_hk[:, None] + noise * size_k * draws
    accuracy_hsk = 0.8 - 0.3 * loss_hsk  # 30 points for a nat
    return p_nk, labels_n, counts_k, kept_hn, loss_hsk, accuracy_hsk, design_h


@pytest.mark.parametrize("pull", [0.0, 3.0, -3.0])
def test_without_noise_the_slope_is_exact_whatever_the_counts_do(rng, pull):
    found = calibrate(*retrained(rng, 0.2, noise=0, designs=2, pull=pull))
    for estimate, value in ((found.slope, 0.2), (found.accuracy_slope, 6), (found.rank_score, 1)):
        ends = (estimate.value, estimate.low, estimate.high)
        assert ends == pytest.approx((value, value, value), rel=1e-9)
    np.testing.assert_allclose(found.slopes.value_k, 0.2, rtol=1e-9)
    assert (found.subsets, found.seeds, found.predictive) == (40, 2, True)


def test_the_jackknife_is_that_of_subsets_left_out_one_by_one(rng):
    p_nk, labels_n, counts_k, *arrays = retrained(rng, subsets=15, designs=2, pull=0.5)
    arrays[-1][-1] = 2  # a design of its own
    own_rk = []
    for h in range(14):
        rest = [np.delete(values, h, axis=0) for values in arrays]
        own_rk.append(calibrate(p_nk, labels_n, counts_k, *rest).unpooled.value_k)
    found = calibrate(p_nk, labels_n, counts_k, *arrays).unpooled
    own_rk.append(found.value_k)  # which tells nothing of the slope
    np.testing.assert_allclose(found.error_k, np.var(own_rk, axis=0) ** 0.5 * 14**0.5, rtol=1e-9)
    assert found.degrees == 15 - 3 - 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("subsets", "designs", "pull"), [(8, 1, 0), (40, 1, 0), (60, 2, 0), (40, 1, 1)]
)
def test_the_interval_covers_the_slope_in_about_95_of_100_draws(subsets, designs, pull):
    """200 draws cover between 180 and 199 times, but for 1 in 1000 (binomial of .95).

    With few subsets the interval covers more: the spread between classes is cut off at 0.
    """
    rng = np.random.default_rng(subsets)
    options = {"subsets": subsets, "designs": designs, "pull": pull}
    draws = [calibrate(*retrained(rng, 0.2, **options)) for _ in range(200)]
    hits = sum(found.slope.low <= 0.2 <= found.slope.high for found in draws)
    assert 180 <= hits <= (199 if subsets >= 40 else 200)
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


def test_errors_of_p_take_the_slope_of_a_mixture_in_which_the_classes_cancel():
    """The slopes of the classes hardly show them."""
    rng = np.random.default_rng(4)
    p_nk, labels_n, counts_k, *rest = retrained(rng, 0.2, noise=0, counts_k=np.full(K, 20))
    common_nk = p_nk.mean(axis=1, keepdims=True)
    kept_hn, _, _, design_h = rest
    opposed_nk = p_nk - common_nk  # at a ceiling: some combination of all classes stays as it is
    gain_hk = 0.2 * predicted_gains(within(opposed_nk, labels_n), counts_k, kept_hn)
    loss_hsk = np.repeat(1 - gain_hk[:, None], 2, axis=1)
    known = (labels_n, counts_k, kept_hn, loss_hsk, 0.8 - 0.3 * loss_hsk, design_h)
    true = calibrate(p_nk, *known)
    assert true.mixture.interval(0).value == pytest.approx(0, abs=0.03)
    np.testing.assert_allclose(true.mixture_k, 1 / K, atol=0.1)
    assert (true.slopes.value_k > 0.1).all()


def test_without_errors_the_mixture_has_the_slope_of_the_classes(rng):
    found = calibrate(*retrained(rng, 0.2, noise=0, pull=2.0, designs=2))
    assert found.mixture.interval(0).value == pytest.approx(0.2, rel=1e-6)
    assert found.accuracy_mixture.interval(0).value == pytest.approx(6, rel=1e-6)
    assert found.mixture_k.sum() == pytest.approx(1)


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


def test_p_that_tells_labels_apart_and_nothing_else_is_seldom_predictive():
    """Its score is high, for what moves a class is how many of its own samples are left."""
    rng = np.random.default_rng(3)
    found, score_r = 0, []
    for _ in range(100):
        p_nk, labels_n, counts_k, kept_hn, loss_hsk, *rest = retrained(rng, 0.0, noise=0.3, pull=1)
        p_nk += 3 * np.eye(K)[labels_n]
        found += calibrate(p_nk, labels_n, counts_k, kept_hn, loss_hsk, *rest).predictive
        score_k = linear_datamodeling_score(p_nk, kept_hn, loss_hsk.mean(axis=1))
        score_r.append(score_k.mean())
    assert found <= 5
    assert np.mean(score_r) > 0.5


def test_subsets_with_the_same_number_of_every_label_need_no_counts(rng):
    p_nk, labels_n, counts_k, *_ = retrained(rng)
    kept_hn = halves_of_labels(labels_n, 30, rng)
    x_hk = predicted_gains(within(p_nk, labels_n), counts_k, kept_hn)
    loss_hk = rng.normal(size=x_hk.shape) - 0.2 * x_hk
    found = calibrate(p_nk, labels_n, counts_k, kept_hn, loss_hk[:, None], -loss_hk[:, None] / 100)
    x_hk, y_hk = x_hk - x_hk.mean(axis=0), loss_hk.mean(axis=0) - loss_hk
    expected_k = (x_hk * y_hk).sum(axis=0) / (x_hk**2).sum(axis=0)
    np.testing.assert_allclose(found.unpooled.value_k, expected_k)
    assert found.unpooled.degrees == 30 - 1 - 1


def test_what_is_returned_besides_counts_has_the_slopes_of_the_classes(rng):
    arrays = retrained(rng, noise=0.5, pull=1, designs=2)
    x_hk, y_hk = besides_counts(*arrays[:5], arrays[-1])
    expected_k = (x_hk * y_hk).sum(axis=0) / (x_hk**2).sum(axis=0)
    found = calibrate(*arrays)
    np.testing.assert_allclose(expected_k, [*found.unpooled.value_k, *found.mixture.value_k])


@pytest.mark.parametrize("flipped", [1, 2])
def test_a_class_whose_sign_is_wrong_makes_influence_not_predictive(rng, flipped):
    sign_k = np.where(np.arange(K) < flipped, -1, 1)
    p_nk, *rest = retrained(rng, 0.2, noise=0.3)
    found = calibrate(p_nk * sign_k, *rest)
    assert found.reversed_k.tolist() == (sign_k < 0).tolist()
    assert not found.predictive


@pytest.mark.parametrize("accuracy", [0, 1, 29 / 30])
def test_a_class_whose_accuracy_never_moves_takes_the_slope_of_the_others(rng, accuracy):
    """It tells nothing of its own, and is no ceiling by that."""
    *arrays, accuracy_hsk, _ = retrained(rng, noise=0.5)
    accuracy_hsk[:, :, 0] = accuracy
    found = calibrate(*arrays, accuracy_hsk, np.repeat([0, 1], [29, 11]))
    still, *rest = (found.accuracy_slopes.interval(k) for k in range(K))
    assert found.accuracy_slope.value == pytest.approx(np.mean([one.value for one in rest]))
    assert still.value == found.accuracy_slope.value
    assert still.low <= found.accuracy_slope.low
    assert still.high >= found.accuracy_slope.high


def test_where_no_accuracy_moves_nothing_is_known_of_points(rng):
    """Its steps may be too coarse for what the losses show."""
    *arrays, accuracy_hsk, design_h = retrained(rng)
    found = calibrate(*arrays, 0 * accuracy_hsk, design_h)
    assert found.accuracy_slope == Estimate(0, -np.inf, np.inf)
    assert np.isinf(found.accuracy_slopes.half_width()).all()
    assert found.slope.low > 0


def test_bad_input_is_named(rng):
    with pytest.raises(InputError, match="expected 5 or more retrained subsets; got 4"):
        calibrate(*retrained(rng, subsets=4))
    p_nk, *arrays = retrained(rng)
    p_nk[:, 2] = np.array([0.1, 0.3, 0.7, 0.2])[arrays[0]]
    with pytest.raises(InputError, match="differs within labels; got equal ones of class 2"):
        calibrate(p_nk, *arrays)
    arrays[3][3, 0, 1] = np.nan
    with pytest.raises(InputError, match="expected finite losses"):
        calibrate(p_nk, *arrays)
