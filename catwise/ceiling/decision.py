"""Decide the verdict: room, a ceiling, or one of two reasons why nothing can be told.

With retrainings the verdict is about what a *new training* with other weights would bring every
class, in nats and in points of accuracy: the cross-fitted predicted gain (``gains``) times the
slope of realised on predicted gains (``calibration``). Without them it is about the cross-fitted
headroom, and says what it has not checked.

Errors that P has on all query samples alike pass the cross-fitting, and at a ceiling they are all
that is left for the weights to follow. So room asks for more than every class's gain: the mixture
of classes that weights can raise least must gain too, by the slope of its own.

The smallest gain of k classes has the interval (min_k low_k, min_k high_k). Each low_k errs with
probability 2.5 %, and so does their minimum: room, which asks all of them to lie above 0, is an
intersection-union test. Each high_k errs with probability 2.5 % / k, because the minimum of k upper
ends is too low as soon as one of them is.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from catwise.ceiling.calibration import Calibration, PerClass
from catwise.ceiling.check import CeilingCheck
from catwise.ceiling.gains import Gains, crossfitted_gains
from catwise.ceiling.joint_direction import joint_weights
from catwise.ceiling.verdict import Answer, Verdict
from catwise.core.statistics import Estimate, highest_share

__all__ = [
    "SIZE",
    "SMALL_GAIN",
    "SMALL_SHARE",
    "calibrated_check",
    "calibrated_verdict",
    "product",
    "uncalibrated_verdict",
]

SIZE = 0.25  # mean |w - 1| of the weights of the new training; much beyond, P is no longer linear
SMALL_GAIN = 0.5  # points of accuracy; a smaller gain of the worst class is a ceiling
SMALL_SHARE = 0.02  # of the influence mass: the same without retrainings


def uncalibrated_verdict(check: CeilingCheck) -> Verdict:
    """Give the verdict without retrainings, from the cross-fitted headroom.

    It is room where the interval lies above 0, a ceiling where it ends below 2 % of the influence
    mass, and cannot be told otherwise.

    >>> from catwise.ceiling.check import check_ceiling
    >>> p_nk = np.array([[1.0, -2.0], [-1.0, 2.0]])  # what helps one class harms the other
    >>> check = check_ceiling(np.repeat(p_nk[:, :, None], 3, axis=2), ["cat", "dog"])
    >>> print(uncalibrated_verdict(check).sentence)
    at its ceiling: no weights are shown that lower the loss of every class at once; with the best \
that these samples show, one class gains 0 % of the most that weights from 0 to 2 could change it \
(95 % interval 0 to 0 %) and no class less; if dog alone gains 1 % of its influence mass, cat \
loses at least 1 % of its own
    """
    gain = check.crossfitted
    answer: Answer = "too_few_samples"
    if gain.low > 0:
        answer = "room"
    elif gain.high < SMALL_SHARE:
        answer = "ceiling"
    factors = [
        _factor(gain.value, gain.value - gain.low),
        _factor_below(SMALL_SHARE, gain),
    ]
    return Verdict(answer, gain, check.blocking, check.exchange_rate, factor=_least(factors))


def calibrated_check(
    check: CeilingCheck,
    p_nkb: np.ndarray,
    labels_n: np.ndarray,
    counts_k: np.ndarray,
    accuracy_k: np.ndarray,
    calibration: Calibration,
    classes: Sequence[str],
    small_gain: float = SMALL_GAIN,
) -> tuple[Verdict, Gains]:
    """Give the verdict, and the gains that P predicts of weights along the joint direction.

    P is that of ``counts_k`` query samples, by bins; ``labels_n`` are those of the training
    samples. See ``calibrated_verdict`` for the rest.
    """
    weigh = partial(joint_weights, labels_n=labels_n, size=SIZE)
    gains = crossfitted_gains(p_nkb, counts_k, weigh, calibration.mixture_k)
    about = classes, accuracy_k, counts_k
    return calibrated_verdict(check, gains, calibration, *about, small_gain), gains


def calibrated_verdict(
    check: CeilingCheck,
    gains: Gains,
    calibration: Calibration,
    classes: Sequence[str],
    accuracy_k: np.ndarray,
    counts_k: np.ndarray,
    small_gain: float = SMALL_GAIN,
) -> Verdict:
    """Give the verdict on what a new training would bring every class.

    ``gains`` are the cross-fitted predicted gains in nats, and ``accuracy_k`` the accuracy (a
    share) of each class with plain training, on the same ``counts_k`` query samples.

    Asked first is whether influence predicts retraining: slope and score lie significantly above
    0, and no class changes against its prediction. There is room where the gain in nats of every
    class lies above 0, and so does that of their mixture; where the mixture's does not, influence
    predicts each class, but not what all gain at once. It is a ceiling where the gain of every
    class is not shown, the upper end of the smallest gain in accuracy lies below ``small_gain``
    points, and either a class loses significantly or the upper end of the mean gain lies below
    ``small_gain`` too: where one class stays as it is and the others gain, nothing is used up.

    No class gains more than it has errors; one with fewer than ``small_gain`` does not count as the
    smallest. Where few samples show no error, there may be many: upper ends are limited by the
    most errors that the samples leave possible. The upper end of the mean is the mean of the
    classes' upper ends, as if their errors were one.
    """
    ends = _intervals(gains.classes, calibration.slopes)
    loss, low_k = Estimate(*(float(end_k.min()) for end_k in ends)), ends[1]
    worst, bound = int(ends[0].argmin()), int(ends[1].argmin())  # the second sets the low end
    errors_k = 100 * (1 - accuracy_k)
    most_k = 100 * highest_share(1 - accuracy_k, counts_k, 0.025 / len(classes))
    ends = _intervals(gains.classes, calibration.accuracy_slopes)
    points, mean = _points(ends, errors_k, most_k, small_gain)
    joint = _joint(gains, calibration.mixture, calibration.slope)
    answer: Answer = "too_few_samples"
    factor = _settling_factor(loss, points, mean, small_gain)
    if not calibration.predictive:
        answer = "not_predictive"
    elif loss.low > 0 and joint.low > 0:
        answer = "room"
        loss = _at_most(loss, joint)
        if (errors_k > small_gain).all():
            joint_points = _joint(gains, calibration.accuracy_mixture, calibration.accuracy_slope)
            points = _at_most(points, joint_points)
    elif loss.low > 0:
        answer = "not_predictive"
        factor = _least([_factor(joint.value, joint.value - joint.low)])
    elif points.high < small_gain and (loss.high < 0 or mean.high < small_gain):
        answer = "ceiling"
    # Which of the two factors of its gain is the less certain one decides what to get more of.
    predicted, slopes = gains.classes, calibration.slopes
    validation = predicted.half_width()[bound] * abs(slopes.value_k[bound])
    retraining = abs(predicted.value_k[bound]) * slopes.half_width()[bound]
    by_mixture = answer == "room" and joint.low < float(low_k.min())
    return Verdict(
        answer,
        check.crossfitted,
        check.blocking,
        check.exchange_rate,
        worst=classes[worst],
        unsure=None if bound == worst or by_mixture else classes[bound],
        loss=loss,
        points=points,
        small_gain=small_gain,
        slope=calibration.slope,
        rank_score=calibration.rank_score,
        joint=joint,
        wrong=tuple(classes[k] for k in np.flatnonzero(calibration.reversed_k).tolist()),
        factor=factor,
        more="validation samples" if validation >= retraining else "retrained subsets",
    )


def product(gains: PerClass, slopes: PerClass, tail: float = 0.025) -> tuple[np.ndarray, ...]:
    """Multiply gains by slopes; return the product and half the width of its interval, (k,) each.

    With half widths h at probability ``tail`` beyond each end, that of g s is
    sqrt((g h_s)^2 + (s h_g)^2 + (h_g e_s)^2), e_s the standard error of s: as the deviation of a
    product of independent factors.
    """
    g_k, s_k = gains.value_k, slopes.value_k
    wide_g_k, wide_s_k = gains.half_width(tail), slopes.half_width(tail)
    with np.errstate(invalid="ignore"):  # 0 times inf, of a slope that nothing is known of
        square_k = (g_k * wide_s_k) ** 2 + (s_k * wide_g_k) ** 2 + (wide_g_k * slopes.error_k) ** 2
    return g_k * s_k, np.sqrt(np.nan_to_num(square_k, nan=np.inf, posinf=np.inf))


def _intervals(gains: PerClass, slopes: PerClass) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute each class's calibrated gain, its low end, and its high end at 2.5 % / k."""
    value_k, half_k = product(gains, slopes)
    _, wide_k = product(gains, slopes, 0.025 / len(value_k))
    return value_k, value_k - half_k, value_k + wide_k


def _joint(gains: Gains, mixture: PerClass, slope: Estimate) -> Estimate:
    """Compute what the mixture of the classes would gain.

    The retrained models were measured on the query samples of P. So what comes true of the mixture
    is in part the luck of these samples, which chose the weights. It is taken off as the optimism
    of the prediction, times the slope of the classes, at which luck comes true like all else.
    """
    value, optimism = gains.mixture.value_k[0], gains.optimism
    in_sample = value + optimism
    gain = in_sample * mixture.value_k[0] - optimism * slope.value
    parts = (
        in_sample * mixture.half_width()[0],
        optimism * (slope.high - slope.low) / 2,
        gains.mixture.half_width()[0] * slope.value,
    )
    half = float(np.linalg.norm(parts))
    return Estimate(float(gain), float(gain) - half, float(gain) + half)


def _at_most(smallest: Estimate, joint: Estimate) -> Estimate:
    """Return the smallest gain, at most that of the mixture."""
    return Estimate(
        min(smallest.value, joint.value),
        min(smallest.low, joint.low),
        min(smallest.high, joint.high),
    )


def _points(
    ends: tuple[np.ndarray, np.ndarray, np.ndarray],
    errors_k: np.ndarray,
    most_k: np.ndarray,
    small_gain: float,
) -> tuple[Estimate, Estimate]:
    """Return the smallest gain and the mean gain in points, from value, low and high end (k,).

    ``errors_k`` limit the first two of each class, and ``most_k`` its high end.
    """
    open_k = errors_k > small_gain
    open_k |= not open_k.any()
    value_k, low_k, high_k = ends
    limits = errors_k, errors_k, most_k

    def limit(*ends: np.ndarray) -> np.ndarray:
        return np.clip(ends, -100, limits)

    smallest = limit(value_k, low_k, high_k)[:, open_k].min(axis=1)
    mean = limit(value_k, low_k, 2 * value_k - low_k).mean(axis=1)
    return Estimate(*smallest.tolist()), Estimate(*mean.tolist())


def _settling_factor(
    loss: Estimate, points: Estimate, mean: Estimate, small_gain: float
) -> float | None:
    """Return how many times the samples would show room or a ceiling, None where no number does."""
    paid = min(_factor_below(0, loss), _factor_below(small_gain, mean))
    ceiling = max(_factor_below(small_gain, points), paid)
    return _least([_factor(loss.value, loss.value - loss.low), ceiling])


def _factor_below(limit: float, estimate: Estimate) -> float:
    """Compute how many times the samples bring the upper end of an interval below a limit."""
    return _factor(limit - estimate.value, estimate.high - estimate.value)


def _factor(distance: float, half: float) -> float:
    """Compute how many times the samples bring half the width, ~ 1 / sqrt(m), to the distance."""
    return float((half / distance) ** 2) if distance > 0 else float("inf")


def _least(factors: list[float]) -> float | None:
    """Return the smallest factor, None where none is finite."""
    return min(factors) if np.isfinite(min(factors)) else None
