"""Is there a reweighting of the training samples that helps every class at once? The paper's rule and an exact one."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from catwise.core.errors import InputError

__all__ = ["Headroom", "headroom"]


@dataclass(frozen=True)
class Headroom:
    """``value`` = t*, ``exchange_k`` = y*, ``direction_n`` = delta*, ``gap`` = dual minus primal value (>= 0)."""

    value: float
    exchange_k: np.ndarray
    direction_n: np.ndarray
    gap: float


def headroom(p_nk: np.ndarray) -> Headroom:
    """t* = max_{|delta| <= 1} min_k delta . Pn[:, k] = min_{y in simplex} |Pn y|_1, Pn = P with columns of unit L1.

    t* is in [0, 1], a share of each class's influence mass: moving the weights by delta* lowers the loss of every
    class by at least t* of all that its column could be moved. It is 0 exactly at a first-order ceiling (Gordan's
    alternative), and then y* tells at which exchange rates the classes block each other. The two sides are evaluated
    apart from the solver, so the pair (delta*, y*) is its own certificate: primal <= t* <= dual.

    Samples far from Pn y = 0 have delta* = their sign, so the program is solved over those nearest to it, and over
    more of them until the gap closes: 0.1 s instead of 6 s at n = 50,000, k = 10.

    Differs from the paper: its criterion is ``first_component_ratio``. On samples t* is an optimistic estimate.
    Raises InputError for a zero column (a class without influence) and for values that are not finite.
    """
    p_nk = np.asarray(p_nk, dtype=np.float64)
    if not np.isfinite(p_nk).all():
        raise InputError(
            f"influence vectors: expected finite values; got {np.argwhere(~np.isfinite(p_nk))[0]} not so"
        )
    mass_k = np.abs(p_nk).sum(axis=0)
    if (mass_k == 0).any():
        raise InputError(
            f"influence vectors: expected influence on every class; column {mass_k.argmin()} is zero"
        )
    n, k = p_nk.shape
    scaled_nk = p_nk * (n / mass_k)  # entries of about 1, for the solver's tolerances
    exchange_k = _smoothed_exchange(scaled_nk)
    dual = float(np.abs(scaled_nk @ exchange_k).mean())
    if dual <= 1e-9:
        return Headroom(0.0, exchange_k, np.zeros(n), dual)
    free = 20 * k
    while True:
        room = _program(scaled_nk, exchange_k, free)
        if room.gap <= 1e-9 or free >= n:
            return room
        exchange_k, free = room.exchange_k, 4 * free


def _smoothed_exchange(scaled_nk: np.ndarray) -> np.ndarray:
    """About the minimum of |Pn y|_1: Newton's method on sum_i sqrt((Pn y)_i^2 + s^2) - (s n / k) sum_k log y_k, s -> 0.

    The logarithms keep y inside the simplex. Near a ceiling, where all Pn y vanish together, s goes on down with them.
    """
    n, k = scaled_nk.shape
    y_k = np.full(k, 1 / k)
    smoothing = max(float(np.abs(scaled_nk @ y_k).mean()), 1e-3)

    def value(y_k: np.ndarray) -> float:
        return float(
            np.hypot(scaled_nk @ y_k, smoothing).sum() - smoothing * n / k * np.log(y_k).sum()
        )

    while smoothing > 1e-4 or 1e-6 < smoothing > np.abs(scaled_nk @ y_k).mean() / 10:
        for _ in range(20):
            mix_n = scaled_nk @ y_k
            root_n = np.hypot(mix_n, smoothing)
            slope_k = (mix_n / root_n) @ scaled_nk - smoothing * n / k / y_k
            bend_kk = (scaled_nk * (smoothing**2 / root_n**3)[:, None]).T @ scaled_nk
            bend_kk += np.diag(smoothing * n / k / y_k**2)
            down_k, level_k = np.linalg.solve(bend_kk, np.stack([slope_k, np.ones(k)], axis=1)).T
            step_k = level_k * (down_k.sum() / level_k.sum()) - down_k  # keeps sum(y) = 1
            decrease = float(-slope_k @ step_k)
            if decrease < 1e-9 * smoothing * n:
                break
            length = min(1.0, float(0.95 / max((-step_k / y_k).max(), 1e-12)))
            before = value(y_k)
            while (
                value(y_k + length * step_k) > before - 1e-4 * length * decrease and length > 1e-9
            ):
                length /= 2
            y_k = y_k + length * step_k
            y_k /= y_k.sum()
        smoothing /= 5
    return y_k


def _program(scaled_nk: np.ndarray, exchange_k: np.ndarray, free: int) -> Headroom:
    """The linear program over the ``free`` samples nearest to Pn y = 0; the others keep the sign of Pn y."""
    n, k = scaled_nk.shape
    mix_n = scaled_nk @ exchange_k
    rows = np.argsort(np.abs(mix_n), kind="stable")[:free]
    direction_n = np.sign(mix_n)
    direction_n[rows] = 0
    # max t subject to t - delta . Pn[:, k] <= what the others give: free + 1 variables, k rows whose multipliers are y.
    solution = linprog(
        np.append(np.zeros(len(rows)), -1.0),
        A_ub=np.hstack([-scaled_nk[rows].T, np.ones((k, 1))]),
        b_ub=direction_n @ scaled_nk,
        bounds=[(-1, 1)] * len(rows) + [(None, None)],
        method="highs",
    )
    if solution.status != 0:
        raise RuntimeError(f"linear program of {len(rows)} x {k}: {solution.message}")
    direction_n[rows] = np.clip(solution.x[:-1], -1, 1)
    exchange_k = np.maximum(-solution.ineqlin.marginals, 0)
    exchange_k = exchange_k / exchange_k.sum()
    primal = max(float((direction_n @ scaled_nk).min()) / n, 0.0)
    dual = float(np.abs(scaled_nk @ exchange_k).mean())
    return Headroom(primal, exchange_k, direction_n, dual - primal)
