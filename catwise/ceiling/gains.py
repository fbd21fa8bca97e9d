"""Predict what a new training with other weights gains, on bins that did not choose the weights."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from catwise.ceiling.calibration import PerClass
from catwise.ceiling.crossfit import as_bins, crossfitted, jackknifed

__all__ = ["Gains", "Weigh", "crossfitted_gains"]

Weigh = Callable[[np.ndarray], np.ndarray]  # P (n, k) to the weights of the samples (n,), mean 1


@dataclass(frozen=True)
class Gains:
    """Hold predicted gains in nats: of each class, and of a mixture of the classes.

    ``optimism`` is what the mixture is said to gain beyond that where the bins that are asked chose
    the weights too.
    """

    classes: PerClass
    mixture: PerClass
    optimism: float


def crossfitted_gains(
    p_nkb: np.ndarray, counts_k: np.ndarray, weigh: Weigh, mixture_k: np.ndarray
) -> Gains:
    """Compute by how much the mean loss of each class falls under cross-fitted weights, in nats.

    With w_b the weights from all B bins but b, and counts_k query samples of class k,

        gain_k = mean_b (w_b - 1) . P[:, k, b] B / counts_k,

    to first order, as P has it: nothing is calibrated yet. A mixture of the classes gains
    sum_k mixture_k gain_k. The standard error is the jackknife's over the bins, with B - 1 degrees
    of freedom; the weights are found anew without the bin that is left out, because the gains of
    two bins share most of theirs.

    >>> p_nk = np.array([[2.0, 1.0], [-2.0, -1.0]])  # what helps one class helps the other
    >>> p_nkb = np.repeat(p_nk[:, :, None], 4, axis=2) / 4
    >>> weigh = lambda p_nk: 1 + np.sign(p_nk[:, 0])
    >>> gains = crossfitted_gains(p_nkb, np.array([10, 10]), weigh, np.array([0.5, 0.5]))
    >>> gains.classes.value_k.tolist(), gains.classes.error_k.tolist()
    ([0.4, 0.2], [0.0, 0.0])
    >>> gains.mixture.value_k.round(6).tolist()
    [0.3]
    """
    p_nkb = as_bins(p_nkb)
    count = p_nkb.shape[2]
    total_nk = p_nkb.sum(axis=2)
    gain_bbk = crossfitted(p_nkb, lambda p_nk: weigh(p_nk) - 1) * count / counts_k
    mixture = _jackknife((gain_bbk @ mixture_k)[:, :, None])
    in_sample = (weigh(total_nk) - 1) @ total_nk / counts_k @ mixture_k
    return Gains(_jackknife(gain_bbk), mixture, float(in_sample - mixture.value_k[0]))


def _jackknife(gain_bbk: np.ndarray) -> PerClass:
    """Return the mean of the diagonal, with its error from the gains without each bin."""
    gain_k, without_bk = jackknifed(gain_bbk)
    freedom = len(gain_bbk) - 1
    return PerClass(gain_k, np.sqrt(freedom * without_bk.var(axis=0)), freedom)
