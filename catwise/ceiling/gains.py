"""Predict what a new training with other weights gains, on bins that did not choose the weights."""

from collections.abc import Callable

import numpy as np

from catwise.ceiling.calibration import PerClass
from catwise.ceiling.crossfit import as_bins

__all__ = ["Weigh", "crossfitted_gains"]

Weigh = Callable[[np.ndarray], np.ndarray]  # P (n, k) to the weights of the samples (n,), mean 1


def crossfitted_gains(p_nkb: np.ndarray, counts_k: np.ndarray, weigh: Weigh) -> PerClass:
    """Compute by how much the mean loss of each class falls under cross-fitted weights, in nats.

    With w_b the weights from all B bins but b, and counts_k query samples of class k,

        gain_k = mean_b (w_b - 1) . P[:, k, b] B / counts_k,

    to first order, as P has it: nothing is calibrated yet. The standard error is the jackknife's
    over the bins, with B - 1 degrees of freedom; the weights are found anew without the bin that is
    left out, because the gains of two bins share most of theirs.

    >>> p_nk = np.array([[2.0, 1.0], [-2.0, -1.0]])  # what helps one class helps the other
    >>> p_nkb = np.repeat(p_nk[:, :, None], 4, axis=2) / 4
    >>> weigh = lambda p_nk: 1 + np.sign(p_nk[:, 0])
    >>> gains = crossfitted_gains(p_nkb, np.array([10, 10]), weigh)
    >>> gains.value_k.tolist(), gains.error_k.tolist()
    ([0.4, 0.2], [0.0, 0.0])
    """
    p_nkb = as_bins(p_nkb)
    count = p_nkb.shape[2]
    total_nk = p_nkb.sum(axis=2)
    # Row b, column c: the gain on bin b of the weights that saw all bins but b and c.
    gain_bbk = np.empty((count, count, p_nkb.shape[1]))
    for b in range(count):
        for c in range(b, count):
            rest_nk = total_nk - p_nkb[:, :, b] - (p_nkb[:, :, c] if c > b else 0)
            change_n = weigh(rest_nk) - 1
            gain_bbk[b, c] = change_n @ p_nkb[:, :, b] * count / counts_k
            gain_bbk[c, b] = change_n @ p_nkb[:, :, c] * count / counts_k
    own_bk = gain_bbk[np.arange(count), np.arange(count)]
    without_bk = (gain_bbk.sum(axis=0) - own_bk) / (count - 1)
    error_k = np.sqrt((count - 1) * without_bk.var(axis=0))
    return PerClass(own_bk.mean(axis=0), error_k, count - 1)
