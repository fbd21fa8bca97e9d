"""Compute the paper's ceiling rule, the ratio of the first principal component (section 5.2)."""

import numpy as np

from catwise.core.errors import InputError
from catwise.core.statistics import require_finite

__all__ = ["RULE", "first_component_ratio", "uncentred_spectrum"]

RULE = 0.2  # section 5.2, "consistently exceeds 0.2": above it the paper sees room


def first_component_ratio(p_nk: np.ndarray) -> float:
    """Compute the explained variance ratio of the first principal component (paper, section 5.2).

    The influence vectors are centred first. The paper reads a ratio above ``RULE`` as room for
    improvement. That is unsound both ways: vectors on the line y = -x, a ceiling, have ratio 1;
    isotropic vectors of 10 classes, with much room, have 0.1. The ratio is kept for comparison.

    Raises InputError where all vectors are the same, and for values that are not finite.

    >>> first_component_ratio(np.array([[1.0, -1.0], [-1.0, 1.0], [2.0, -2.0]]))
    1.0
    """
    require_finite(p_nk, "influence vectors", ("sample", "class"))
    p_nk = p_nk.astype(np.float64)
    centred_nk = p_nk - p_nk.mean(axis=0)
    variance_k = np.linalg.svd(centred_nk, compute_uv=False) ** 2
    if not np.sqrt(variance_k.sum()) > 1e-12 * np.linalg.norm(p_nk):
        raise InputError(
            "influence vectors: expected vectors that differ; got one vector for all samples"
        )
    return float(variance_k[0] / variance_k.sum())


def uncentred_spectrum(p_nk: np.ndarray) -> np.ndarray:
    """Compute the squared singular values of P as shares of their sum, largest first: (k,).

    P is not centred, because the vectors lie on a hyperplane *through the origin* exactly when the
    last share is 0. Raises InputError where all of P is 0, and for values that are not finite.

    >>> uncentred_spectrum(np.array([[3.0, 0.0], [0.0, 1.0]]))
    array([0.9, 0.1])
    """
    require_finite(p_nk, "influence vectors", ("sample", "class"))
    energy_k = np.linalg.svd(p_nk.astype(np.float64), compute_uv=False) ** 2
    if energy_k.sum() == 0:
        raise InputError("influence vectors: expected vectors that are not all zero; got zeros")
    return energy_k / energy_k.sum()
