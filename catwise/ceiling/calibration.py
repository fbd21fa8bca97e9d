"""Calibrate predicted changes by retraining: what share of a predicted gain comes true.

Retrainings on subsets of the training samples have a predicted and a realised change of each class.
The noise of seeds and of trainings is in the realised change, and so leaves the slope of realised
on predicted without bias. Errors of P are in the predicted change and lower the slope; that is what
a prediction needs, which is made from the same P.

The weights of a verdict keep the total weight of each label, and random subsets do not. How many
of its own samples a class has left can move it far more than which ones, and P, whose columns
differ between labels, predicts that too. So P is centred within the labels, which leaves the slope
for weights that keep every label's total. The number of a class's own samples is fitted beside it:
that is not needed against a bias, and takes most of the noise out of the realised changes.

Intervals are jackknife intervals over the subsets, the unit of noise; the spread over subsets holds
that of the seeds within. They draw nothing at random.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from catwise.ceiling.joint_direction import joint_direction
from catwise.ceiling.partial_regression import TINY, PartialRegression
from catwise.core.errors import InputError
from catwise.core.statistics import Estimate

__all__ = [
    "FEWEST_SUBSETS",
    "Calibration",
    "PerClass",
    "besides_counts",
    "calibrate",
    "calibrate_from",
]

FEWEST_SUBSETS = 5  # fewer say nothing of their own noise


@dataclass(frozen=True)
class PerClass:
    """Hold an estimate for each class, its standard error, and the degrees of freedom of both."""

    value_k: np.ndarray
    error_k: np.ndarray
    degrees: int

    def half_width(self, tail: float = 0.025) -> np.ndarray:
        """Compute half the width of the interval with probability ``tail`` beyond each end."""
        return stdtrit(self.degrees, 1 - tail) * self.error_k

    def interval(self, k: int) -> Estimate:
        """Return the estimate of class k with its 95 % interval."""
        value, half = float(self.value_k[k]), float(self.half_width()[k])
        return Estimate(value, value - half, value + half)


@dataclass(frozen=True)
class Calibration:
    """Hold how realised gains follow predicted ones over ``subsets``, each of ``seeds`` trainings.

    All of it holds the number of a class's own samples fixed.

    slope             nats realised per nat predicted, the mean over the classes
    accuracy_slope    points of accuracy realised per nat predicted, the mean over the classes
    slopes            nats per nat of each class, drawn towards their mean as far as noise asks
    accuracy_slopes   points per nat of each class, likewise
    unpooled          nats per nat of each class by itself
    mixture_k         the mixture of classes that weights can raise least: shares of sum 1
    mixture           nats per nat of that mixture
    accuracy_mixture  points per nat of that mixture
    rank_score        Spearman's rho of predicted and realised gains in loss, the mean over the
                      classes
    """

    slope: Estimate
    accuracy_slope: Estimate
    slopes: PerClass
    accuracy_slopes: PerClass
    unpooled: PerClass
    mixture_k: np.ndarray
    mixture: PerClass
    accuracy_mixture: PerClass
    rank_score: Estimate
    subsets: int
    seeds: int

    @property
    def predictive(self) -> bool:
        """Tell whether slope and score are significantly above 0, and no class has a wrong sign."""
        return self.slope.low > 0 and self.rank_score.low > 0 and not self.reversed_k.any()

    @property
    def reversed_k(self) -> np.ndarray:
        """Tell of each class whether its own slope is significantly below 0."""
        return self.unpooled.value_k + self.unpooled.half_width() < 0


def calibrate(
    p_nk: np.ndarray,
    labels_n: np.ndarray,
    counts_k: np.ndarray,
    kept_hn: np.ndarray,
    loss_hsk: np.ndarray,
    accuracy_hsk: np.ndarray,
    design_h: np.ndarray | None = None,
) -> Calibration:
    """Regress realised on predicted gains of every class over retrained subsets.

    ``kept_hn`` says which training samples subset h keeps, and ``labels_n`` which class (0 to
    k - 1) each of them is of. ``loss_hsk`` (mean nats) and ``accuracy_hsk`` (shares) were measured
    of each class on the query samples of P, by seed s. ``design_h`` numbers the ways in which
    subsets were drawn. Per class and design there is an intercept, which takes away what all
    subsets of a design share, such as their size.

    Class k has the least squares fit y_hk = s_k x_hk + b_k c_hk: x is the gain that P predicts,
    centred within each label, y the realised one, and c the relative change of the total weight of
    the class's own samples; all centred. Where c is the same in all subsets there is no b_k. The
    shared slope is the mean of s_k; its error holds the noise of all s_k, with their correlations,
    and their true spread tau^2 (by moments), so that classes of opposite signs leave it near 0.
    ``slopes`` are the empirical Bayes estimates: s_k is drawn to the mean by B_k = v_k / (v_k +
    tau^2), v_k its variance. Their variance is that for a known tau, and 2 / (k - 3) B_k^2 (s_k -
    mean)^2 for not knowing it (Morris 1983, J. Am. Stat. Assoc. 78); three classes or fewer are not
    drawn. A class that is right on as many samples in all subsets tells nothing of its slope in
    accuracy: v_k is infinite, and the mean is that of the others; without any others nothing is
    known of that slope, and its error is infinite.

    The mixture has a slope of its own, because those of the classes do not tell it. Weights that
    raise all classes go where P says that no class stands in another's way. Most of what P says is
    of other changes, in which classes oppose each other; there errors of P, which are the same for
    all query samples, hardly show, and in the mixture, where the classes cancel, they do.

    Raises InputError for fewer than 5 subsets, and one more for each further design, for values
    that are not finite, and for a class on which all samples of a label have the same influence.
    """
    count = len(kept_hn)
    design_h = np.zeros(count, dtype=int) if design_h is None else design_h
    designs = len(np.unique(design_h))
    if count < FEWEST_SUBSETS + designs - 1:
        raise InputError(
            f"calibration: expected {FEWEST_SUBSETS + designs - 1} or more retrained subsets; "
            f"got {count}"
        )
    if not (np.isfinite(loss_hsk).all() and np.isfinite(accuracy_hsk).all()):
        raise InputError("calibration: expected finite losses and accuracies; got others")
    fit = PartialRegression.of(p_nk, labels_n, counts_k, kept_hn, design_h)
    loss_hk = fit.centred(-loss_hsk.mean(axis=1))
    points_hk = fit.centred(100 * accuracy_hsk.mean(axis=1))
    degrees = count - designs - 1 - int(fit.varies_k.any())
    slopes_hk = fit.slopes(loss_hk)
    covariance_kk = _covariance(slopes_hk[1:])
    slope, slopes = _pooled(slopes_hk[0], covariance_kk, degrees)
    points_slopes_hk = fit.slopes(points_hk)
    accuracy_slope, accuracy_slopes = _pooled(
        points_slopes_hk[0],
        _covariance(points_slopes_hk[1:]),
        degrees,
        np.ptp(points_hk, axis=0) > TINY,
    )
    mixture_k = joint_direction(p_nk, labels_n).mixture(counts_k)
    mixed = fit.mixture(mixture_k)
    mixture, accuracy_mixture = (
        _alone(mixed.slopes((values_hk @ mixture_k)[:, None]), degrees)
        for values_hk in (loss_hk, points_hk)
    )
    score = _scores(fit.besides(fit.x_hk), fit.besides(loss_hk))
    return Calibration(
        slope=slope,
        accuracy_slope=accuracy_slope,
        slopes=slopes,
        accuracy_slopes=accuracy_slopes,
        unpooled=_alone(slopes_hk, degrees),
        mixture_k=mixture_k,
        mixture=mixture,
        accuracy_mixture=accuracy_mixture,
        rank_score=_alone(score[:, None], degrees).interval(0),
        subsets=count,
        seeds=loss_hsk.shape[1],
    )


def calibrate_from(
    retrained: Mapping[str, np.ndarray],
    p_nk: np.ndarray,
    labels_n: np.ndarray,
    counts_k: np.ndarray,
) -> Calibration:
    """Calibrate P by subsets.npz, which the stage ``subsets`` writes: see ``calibrate``."""
    names = ("kept_hn", "loss_hsk", "accuracy_hsk", "design_h")
    return calibrate(p_nk, labels_n, counts_k, *(retrained[name] for name in names))


def besides_counts(
    p_nk: np.ndarray,
    labels_n: np.ndarray,
    counts_k: np.ndarray,
    kept_hn: np.ndarray,
    loss_hsk: np.ndarray,
    design_h: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return predicted and realised gains in nats, less what own samples' number explains.

    There is a column for each class, which a line through 0 with the slope s_k of ``calibrate``
    fits best, and one for the mixture: (h, k + 1).
    """
    fit = PartialRegression.of(p_nk, labels_n, counts_k, kept_hn, design_h)
    mixture_k = joint_direction(p_nk, labels_n).mixture(counts_k)
    mixed, loss_hk = fit.mixture(mixture_k), fit.centred(-loss_hsk.mean(axis=1))
    mixed_loss_h1 = (loss_hk @ mixture_k)[:, None]
    return (
        np.hstack([fit.besides(fit.x_hk), mixed.besides(mixed.x_hk)]),
        np.hstack([fit.besides(loss_hk), mixed.besides(mixed_loss_h1)]),
    )


def _sums(x_hk: np.ndarray, y_hk: np.ndarray) -> np.ndarray:
    """Compute sum_h x_h y_h of all subsets, then of those without each, centred anew: (1 + h, k).

    The subset that is left out of m, with mean 0, takes x_h y_h m / (m - 1) with it.
    """
    products_hk = x_hk * y_hk
    total_k = products_hk.sum(axis=0)
    return np.vstack([total_k, total_k - products_hk * len(x_hk) / (len(x_hk) - 1)])


def _scores(x_hk: np.ndarray, y_hk: np.ndarray) -> np.ndarray:
    """Compute Spearman's rho, the mean over classes, of all subsets and without each: (1 + h,).

    A class whose realised changes are all the same has none. The ranks, and what the counts explain
    of both, are those of all subsets; new ones without each would make the interval too wide.
    """
    from scipy.stats import rankdata  # a second to import

    x_hk, y_hk = (rankdata(values, axis=0) for values in (x_hk, y_hk))
    x_hk, y_hk = x_hk - x_hk.mean(axis=0), y_hk - y_hk.mean(axis=0)
    norm = _sums(x_hk, x_hk) * _sums(y_hk, y_hk)
    moved_k = (norm > TINY).all(axis=0)
    if not moved_k.any():
        return np.zeros(len(norm))
    rho = _sums(x_hk, y_hk)[:, moved_k] / norm[:, moved_k] ** 0.5
    return rho.mean(axis=1)


def _covariance(without_hk: np.ndarray) -> np.ndarray:
    """Compute the jackknife's covariance of k statistics from their values without one subset."""
    deviation_hk = without_hk - without_hk.mean(axis=0)
    return (len(without_hk) - 1) / len(without_hk) * deviation_hk.T @ deviation_hk


def _alone(values_hk: np.ndarray, degrees: int) -> PerClass:
    """Return each statistic of all subsets, the first row, with its jackknife error."""
    return PerClass(values_hk[0], np.diag(_covariance(values_hk[1:])) ** 0.5, degrees)


def _pooled(
    value_k: np.ndarray,
    covariance_kk: np.ndarray,
    degrees: int,
    telling_k: np.ndarray | None = None,
) -> tuple[Estimate, PerClass]:
    """Return the mean of the classes with its interval, and each class drawn towards it.

    A class that does not tell is drawn all the way; where none tells, all errors are infinite.
    """
    if telling_k is None:
        telling_k = np.ones(len(value_k), dtype=bool)
    if not telling_k.any():
        unknown = PerClass(value_k, np.full(len(value_k), np.inf), degrees)
        return unknown.interval(0), unknown
    pooled_k, pooled_kk = value_k[telling_k], covariance_kk[np.ix_(telling_k, telling_k)]
    k, mean = len(pooled_k), float(pooled_k.mean())
    # What noise adds to the spread of the classes is less where their noise is common.
    noise = (pooled_kk.trace() - pooled_kk.sum() / k) / max(k - 1, 1)
    true = max(float(pooled_k.var(ddof=1)) - noise, 0.0) if k > 1 else 0.0
    variance, variance_k = pooled_kk.sum() / k**2 + true / k, np.diag(covariance_kk)
    total_k = variance_k + true
    share_k = np.divide(true, total_k, out=np.zeros(len(value_k)), where=total_k > 0)
    share_k = np.where(telling_k, share_k if k > 3 else 1.0, 0.0)
    apart_k = np.where(telling_k, value_k - mean, 0.0)
    unsure_k = variance + 2 / max(k - 3, 1) * apart_k**2
    error_k = np.sqrt(
        np.where(telling_k, share_k * variance_k, true) + (1 - share_k) ** 2 * unsure_k
    )
    shared = PerClass(np.array([mean]), np.array([variance**0.5]), degrees).interval(0)
    return shared, PerClass(mean + share_k * apart_k, error_k, degrees)
