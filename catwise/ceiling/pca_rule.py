"""Compute the paper's ceiling rule, the ratio of the first principal component (section 5.2)."""

import numpy as np

from catwise.core.errors import InputError

__all__ = ["first_component_ratio", "uncentred_spectrum"]


def first_component_ratio(p_nk: np.ndarray) -> float:
    """Explained variance ratio of the first principal component of the centred vectors (paper, section 5.2).

    The paper reads a ratio above 0.2 as room for improvement. Unsound both ways: vectors on the line y = -x, a
    ceiling, have ratio 1; isotropic vectors of 10 classes, with much room, have 0.1. Kept for comparison.
    """
    centred = p_nk - p_nk.mean(axis=0)
    variance = np.linalg.svd(centred.astype(np.float64), compute_uv=False) ** 2
    if variance.sum() == 0:
        raise InputError(
            "influence vectors: expected some that differ; got one vector for all samples"
        )
    return float(variance[0] / variance.sum())


def uncentred_spectrum(p_nk: np.ndarray) -> np.ndarray:
    """Squared singular values of P as shares of their sum, largest first: (k,).

    Uncentred, because the vectors lie on a hyperplane *through the origin* exactly when the last share is 0.
    """
    energy = np.linalg.svd(p_nk.astype(np.float64), compute_uv=False) ** 2
    if energy.sum() == 0:
        raise InputError("influence vectors: expected some that are not zero; got zeros alone")
    return energy / energy.sum()
