"""How well do influence vectors predict what retraining does, and how much do they depend on how they were computed?"""

import numpy as np

from catwise.core.statistics import spearman

__all__ = ["bootstrap_intervals", "linear_datamodeling_score", "random_halves"]


def random_halves(n: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` random halves of the training set, as masks of what is kept: (count, n)."""
    kept = np.zeros((count, n), dtype=bool)
    for mask in kept:
        mask[rng.choice(n, n // 2, replace=False)] = True
    return kept


def linear_datamodeling_score(
    p_nk: np.ndarray, kept_hn: np.ndarray, loss_hk: np.ndarray
) -> np.ndarray:
    """Spearman's rho per class between the predicted and the actual loss of models trained on the halves h: (k,).

    Leaving out R raises the loss of class k by sum_{i in R} P[i, k], to first order; ``loss_hk`` is the measured one.
    Source: Park et al. 2023, arXiv 2303.14186, with one query group per class in place of one per sample.
    """
    predicted_hk = ~kept_hn @ p_nk
    return spearman(predicted_hk, loss_hk)


def _mean(score_k: np.ndarray) -> float:
    """Over the classes that have a score; NaN where none has one (a draw of one half again and again)."""
    found = score_k[np.isfinite(score_k)]
    return float(found.mean()) if len(found) else float("nan")


def bootstrap_intervals(
    vectors: dict[str, np.ndarray],
    kept_hn: np.ndarray,
    loss_hk: np.ndarray,
    rng: np.random.Generator,
    draws: int = 500,
) -> dict[str, tuple[float, ...]]:
    """Mean score over the classes of each kind, with its 95 % bootstrap interval over the halves.

    The kinds share each draw of halves, so ``best - next`` (the two of the highest score) is a paired difference.
    """
    samples = [
        np.arange(len(kept_hn)),
        *(rng.integers(len(kept_hn), size=len(kept_hn)) for _ in range(draws)),
    ]
    scores = {
        kind: np.array(
            [
                _mean(linear_datamodeling_score(p_nk, kept_hn[rows], loss_hk[rows]))
                for rows in samples
            ]
        )
        for kind, p_nk in vectors.items()
    }
    best, *rest = sorted(scores, key=lambda kind: -scores[kind][0])
    if rest:
        scores["best - next"] = scores[best] - scores[rest[0]]
    return {
        name: (float(s[0]), *(float(q) for q in np.nanquantile(s[1:], (0.025, 0.975))))
        for name, s in scores.items()
    }
