"""Regress changes on what P predicts of them, with the counts of labels held fixed.

Partial regression: what the number of a class's own samples explains is taken out of both sides
first (Frisch and Waugh 1933, Econometrica 1).
"""

from dataclasses import dataclass

import numpy as np

from catwise.core.errors import InputError

__all__ = ["TINY", "PartialRegression", "predicted_gains"]

TINY = 1e-9  # more than rounding


def predicted_gains(p_nk: np.ndarray, counts_k: np.ndarray, kept_hn: np.ndarray) -> np.ndarray:
    """Compute by how much mean class losses fall on subset h, to first order, in nats: (h, k).

    A training on a subset is one with weights of mean 1, w = n / |subset| on the subset and 0
    elsewhere: (w - 1) . P[:, k] / counts_k, with P in nats of *summed* query loss and counts_k
    query samples of class k. On halves that varies twice as much as the sum over what is left out,
    because the others count double; so a slope holds for halves, for tenths and for weights alike.

    >>> predicted_gains(np.array([[3.0], [1.0]]), np.array([10]), np.array([[True, False]]))
    array([[0.2]])
    """
    weights_hn = kept_hn / kept_hn.mean(axis=1, keepdims=True)
    return (weights_hn - 1) @ p_nk / counts_k


@dataclass(frozen=True)
class PartialRegression:
    """Regress realised on predicted gains, with the number of own samples held fixed.

    ``x_hk`` is the gain of class k on subset h that P predicts, and ``c_hk`` the relative change
    of the total weight of the class's own samples, both centred within each design. Where c is the
    same in all subsets it takes no part.
    """

    x_hk: np.ndarray
    c_hk: np.ndarray
    design_h: np.ndarray

    @classmethod
    def of(
        cls,
        p_nk: np.ndarray,
        labels_n: np.ndarray,
        counts_k: np.ndarray,
        kept_hn: np.ndarray,
        design_h: np.ndarray,
    ) -> "PartialRegression":
        """Make both regressors from P (n, k) and the labels, for subsets that keep ``kept_hn``.

        Raises InputError for a class on which all samples of a label have the same influence.
        """
        x_hk = _centred(predicted_gains(_centred(p_nk, labels_n), counts_k, kept_hn), design_h)
        same_k = np.abs(x_hk).max(axis=0) <= 1e-12 * np.abs(p_nk).sum(axis=0) / counts_k
        if same_k.any():
            raise InputError(
                "calibration: expected influence that differs within labels; got equal ones of "
                f"class {same_k.argmax()}"
            )
        own_nk = np.eye(len(counts_k))[labels_n]
        # With a class's own samples in place of P and of the query, a gain is the change of c.
        c_hk = predicted_gains(own_nk, np.maximum(own_nk.sum(axis=0), 1), kept_hn)
        return cls(x_hk, _centred(c_hk, design_h), design_h)

    def mixture(self, mixture_k: np.ndarray) -> "PartialRegression":
        """Return the regression of a mixture of the classes, with shares ``mixture_k``, as one.

        Where the classes cancel but for rounding, as at an exact ceiling, nothing is predicted.
        """
        x_h, c_h = self.x_hk @ mixture_k, self.c_hk @ mixture_k
        cancelled = np.abs(x_h).max() <= TINY * np.abs(self.x_hk * mixture_k).max()
        return PartialRegression((x_h * ~cancelled)[:, None], c_h[:, None], self.design_h)

    @property
    def varies_k(self) -> np.ndarray:
        """Tell where c differs between subsets by more than rounding."""
        return self._squares_k > TINY

    def centred(self, values_hk: np.ndarray) -> np.ndarray:
        """Subtract from each row the mean of its design."""
        return _centred(values_hk, self.design_h)

    def besides(self, values_hk: np.ndarray) -> np.ndarray:
        """Subtract from centred values their least squares fit by c."""
        return values_hk - self.c_hk * _share((self.c_hk * values_hk).sum(axis=0), self._squares_k)

    def slopes(self, y_hk: np.ndarray) -> np.ndarray:
        """Compute s_k from all subsets, then from those without each, exactly: (1 + h, k).

        Without subset h least squares changes by its residual times x, over 1 less its leverage. A
        subset that alone decides the fit is kept. Where nothing is predicted, the slope is 0.
        """
        x_hk = self.besides(self.x_hk)
        squares_k = (x_hk**2).sum(axis=0)
        squares_k = np.where(squares_k > 0, squares_k, 1.0)
        slope_k = (x_hk * y_hk).sum(axis=0) / squares_k
        alike_h = (self.design_h[:, None] == self.design_h).sum(axis=0)
        free_hk = 1 - 1 / alike_h[:, None] - _share(self.c_hk**2, self._squares_k)
        free_hk -= x_hk**2 / squares_k
        change_hk = x_hk * (self.besides(y_hk) - slope_k * x_hk) / squares_k
        return np.vstack([slope_k, slope_k - _share(change_hk, free_hk)])

    @property
    def _squares_k(self) -> np.ndarray:
        return (self.c_hk**2).sum(axis=0)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide, with 0 where the whole is 0 but for rounding."""
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > TINY)


def _centred(values_hk: np.ndarray, group_h: np.ndarray) -> np.ndarray:
    """Subtract from each row the mean of its group."""
    centred_hk = values_hk.astype(np.float64)
    for group in np.unique(group_h):
        centred_hk[group_h == group] -= values_hk[group_h == group].mean(axis=0)
    return centred_hk
