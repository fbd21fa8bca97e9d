"""Describe weights of training samples: how many samples count, how much candidates differ."""

import hashlib

import numpy as np

__all__ = ["diversity", "effective_samples", "weights_key"]


def effective_samples(weights_n: np.ndarray) -> float:
    """(sum w)^2 / sum w^2: the number of equally weighted samples whose mean would be as noisy."""
    return float(weights_n.sum() ** 2 / (weights_n**2).sum())


def diversity(weights_cn: np.ndarray) -> float:
    """Mean over pairs of candidates of sum_i |w_i - w'_i| / (2 n): the share of the weight that is not common.

    Of sorted values, sum over pairs |w - w'| = sum_c (2 c - C + 1) w_(c), c = 0 ... C - 1.
    """
    count = len(weights_cn)
    if count < 2:
        return 0.0
    ranks_c = 2 * np.arange(count) - count + 1
    return float((ranks_c @ np.sort(weights_cn, axis=0)).mean() / (count * (count - 1)))


def weights_key(weights_n: np.ndarray) -> str:
    """Equal for weights that agree to six decimals: a training epoch that need not be run again."""
    return hashlib.sha256((np.round(weights_n, 6) + 0.0).tobytes()).hexdigest()
