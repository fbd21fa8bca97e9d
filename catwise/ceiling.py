"""Is there a reweighting of the training samples that helps every class at once? The paper's rule and an exact one."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from catwise.errors import InputError

__all__ = ["Headroom", "first_component_ratio", "headroom", "uncentred_spectrum"]


@dataclass(frozen=True)
class Headroom:
    """``value`` = t*, ``exchange_k`` = y*, ``direction_n`` = delta*, ``gap`` = dual minus primal value (>= 0)."""

    value: float
    exchange_k: np.ndarray
    direction_n: np.ndarray
    gap: float


def first_component_ratio(p_nk: np.ndarray) -> float:
    """Explained variance ratio of the first principal component of the centred vectors (paper, section 5.2).

    The paper reads a ratio above 0.2 as room for improvement. Unsound both ways: vectors on the line y = -x, a
    ceiling, have ratio 1; isotropic vectors of 10 classes, with much room, have 0.1. Kept for comparison.
    """
    centred = p_nk - p_nk.mean(axis=0)
    variance = np.linalg.svd(centred.astype(np.float64), compute_uv=False) ** 2
    if variance.sum() == 0:
        raise InputError("influence vectors: expected some that differ; came one vector for all samples")
    return float(variance[0] / variance.sum())


def uncentred_spectrum(p_nk: np.ndarray) -> np.ndarray:
    """Squared singular values of P as shares of their sum, largest first: (k,).

    Uncentred, because the vectors lie on a hyperplane *through the origin* exactly when the last share is 0.
    """
    energy = np.linalg.svd(p_nk.astype(np.float64), compute_uv=False) ** 2
    if energy.sum() == 0:
        raise InputError("influence vectors: expected some that are not zero; came zeros alone")
    return energy / energy.sum()


def headroom(p_nk: np.ndarray) -> Headroom:
    """t* = max_{|delta| <= 1} min_k delta . Pn[:, k] = min_{y in simplex} |Pn y|_1, Pn = P with columns of unit L1.

    t* is in [0, 1], a share of each class's influence mass: moving the weights by delta* lowers the loss of every
    class by at least t* of all that its column could be moved. It is 0 exactly at a first-order ceiling (Gordan's
    alternative), and then y* tells at which exchange rates the classes block each other. The two sides are evaluated
    apart from the solver, so the pair (delta*, y*) is its own certificate: primal <= t* <= dual.

    Differs from the paper: its criterion is ``first_component_ratio``. On samples t* is an optimistic estimate.
    Raises InputError for a zero column (a class without influence) and for values that are not finite.
    """
    p_nk = np.asarray(p_nk, dtype=np.float64)
    if not np.isfinite(p_nk).all():
        raise InputError(f"influence vectors: expected finite values; came {np.argwhere(~np.isfinite(p_nk))[0]} not so")
    mass_k = np.abs(p_nk).sum(axis=0)
    if (mass_k == 0).any():
        raise InputError(f"influence vectors: expected influence on every class; column {mass_k.argmin()} is zero")
    scaled_nk = p_nk / mass_k
    n, k = scaled_nk.shape
    # max t subject to t - delta . Pn[:, k] <= 0: n + 1 variables, k rows whose multipliers are y.
    solution = linprog(
        np.append(np.zeros(n), -1.0),
        A_ub=np.hstack([-scaled_nk.T, np.ones((k, 1))]),
        b_ub=np.zeros(k),
        bounds=[(-1, 1)] * n + [(0, 1)],
        method="highs",
    )
    if solution.status != 0:
        raise RuntimeError(f"linear program of {n} x {k}: {solution.message}")
    direction_n = np.clip(solution.x[:n], -1, 1)
    exchange_k = np.maximum(-solution.ineqlin.marginals, 0)
    exchange_k = exchange_k / exchange_k.sum() if exchange_k.sum() > 0 else np.full(k, 1 / k)
    primal = float((direction_n @ scaled_nk).min())
    dual = float(np.abs(scaled_nk @ exchange_k).sum())
    return Headroom(max(primal, 0.0), exchange_k, direction_n, dual - max(primal, 0.0))
