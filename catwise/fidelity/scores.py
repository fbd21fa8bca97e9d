"""Score how well influence vectors predict what retraining on random halves does."""

import numpy as np

from catwise.core.statistics import spearman

__all__ = ["bootstrap_intervals", "linear_datamodeling_score"]


def linear_datamodeling_score(
    p_nk: np.ndarray, kept_hn: np.ndarray, loss_hk: np.ndarray
) -> np.ndarray:
    """Compute Spearman's rho per class between predicted and actual losses: (k,).

    Row h of ``loss_hk`` is measured of a model that is trained on half h alone. To first order,
    leaving out the samples R raises the loss of class k by sum_{i in R} P[i, k]. NaN for a class
    whose losses are all the same. Source: Park et al. 2023, arXiv 2303.14186, with one query group
    per class in place of one per sample.

    >>> p_nk = np.array([[2.0], [1.0], [-1.0], [-2.0]])
    >>> kept_hn = np.array([[True, True, False, False], [False, True, True, False]])
    >>> linear_datamodeling_score(p_nk, kept_hn, loss_hk=np.array([[0.3], [0.9]]))
    array([1.])
    """
    predicted_hk = ~kept_hn @ p_nk
    return spearman(predicted_hk, loss_hk)


def bootstrap_intervals(
    vectors: dict[str, np.ndarray],
    kept_hn: np.ndarray,
    loss_hk: np.ndarray,
    rng: np.random.Generator,
    draws: int = 500,
) -> dict[str, tuple[float, float, float]]:
    """Compute the mean score over the classes with its 95 % interval: (mean, low, high) by kind.

    ``vectors`` holds P of each kind of curvature. The interval is a bootstrap's over the halves.
    The kinds share each draw of halves, so that the extra entry ``best - next``, of the two with
    the highest scores, is a paired difference.
    """
    count = len(kept_hn)
    resamples = [np.arange(count), *(rng.integers(count, size=count) for _ in range(draws))]
    scores = {}
    for kind, p_nk in vectors.items():
        by_class = (
            linear_datamodeling_score(p_nk, kept_hn[rows], loss_hk[rows]) for rows in resamples
        )
        scores[kind] = np.array([_mean(score_k) for score_k in by_class])
    best, *others = sorted(scores, key=lambda kind: -scores[kind][0])
    if others:
        scores["best - next"] = scores[best] - scores[others[0]]
    intervals = {}
    for name, values in scores.items():
        low, high = np.nanquantile(values[1:], (0.025, 0.975))
        intervals[name] = (float(values[0]), float(low), float(high))
    return intervals


def _mean(score_k: np.ndarray) -> float:
    """Average over the classes that have a score; NaN where none has one.

    A draw that repeats one half again and again has no score.
    """
    finite = score_k[np.isfinite(score_k)]
    return float(finite.mean()) if len(finite) else float("nan")
