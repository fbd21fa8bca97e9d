"""Find the reweighting of samples that helps every class at once, or show that there is none."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog

from catwise.core.errors import InputError
from catwise.core.statistics import require_finite

__all__ = ["Headroom", "headroom"]


@dataclass(frozen=True)
class Headroom:
    """Hold t* = ``value``, y* = ``exchange_k``, delta* = ``direction_n`` and their ``gap``.

    The gap is the dual minus the primal value, at least 0: the largest error of t*.
    """

    value: float
    exchange_k: np.ndarray
    direction_n: np.ndarray
    gap: float


def headroom(p_nk: np.ndarray) -> Headroom:
    """Solve t* = max_{|delta| <= 1} min_k delta . Pn[:, k] = min_{y in simplex} |Pn y|_1.

    Pn is P with its columns scaled to unit L1 norm. t* is in [0, 1], a share of each class's
    influence mass: moving the weights by delta* lowers the loss of every class by at least t* of
    all that its column could be moved. It is 0 exactly at a first-order ceiling (Gordan's
    alternative), and then y* tells at which exchange rates the classes block each other. The two
    sides are evaluated apart from the solver, so the pair (delta*, y*) is its own certificate:
    primal <= t* <= dual.

    Samples at an angle to Pn y = 0 have delta* = their sign. So y is found about, first from the
    longest samples, then from all, and the program is solved over the samples of the least angle,
    and over more of them until the gap closes.

    Differs from the paper, whose criterion is ``first_component_ratio``. With P from a validation
    sample t* is an optimistic estimate; ``crossfitted_headroom`` is not. Raises InputError for a
    zero column (a class without influence) and for values that are not finite.

    >>> headroom(np.array([[1.0, -2.0], [-1.0, 2.0]])).value  # what helps one class harms the other
    0.0
    >>> room = headroom(np.array([[3.0, 1.0], [-1.0, 3.0]]))
    >>> round(room.value, 6), room.direction_n
    (0.625, array([1. , 0.5]))
    """
    p_nk = np.asarray(p_nk, dtype=np.float64)
    require_finite(p_nk, "influence vectors", ("sample", "class"))
    mass_k = np.abs(p_nk).sum(axis=0)
    if (mass_k == 0).any():
        raise InputError(
            "influence vectors: expected influence on every class; got zeros alone for class"
            f" {mass_k.argmin()}, counted from 0; its query samples may have no loss"
        )
    n, k = p_nk.shape
    scaled_nk = p_nk * (n / mass_k)  # entries of about 1, for the solver's tolerances
    longest_n = np.argsort(-np.linalg.norm(scaled_nk, axis=1), kind="stable")[: 400 * k]
    exchange_k = _smoothed_exchange(scaled_nk[longest_n], np.full(k, 1 / k), 1.0, 1e-3)
    exchange_k = _smoothed_exchange(scaled_nk, exchange_k, 1e-3, 1e-5)
    dual = float(np.abs(scaled_nk @ exchange_k).mean())
    if dual <= 1e-9:
        return Headroom(0.0, exchange_k, np.zeros(n), dual)
    free = 40 * k
    while (room := _program(scaled_nk, exchange_k, free)).gap > 1e-9 and free < n:
        free *= 4
    return room


def _smoothed_exchange(
    scaled_nk: np.ndarray, exchange_k: np.ndarray, width: float, end: float
) -> np.ndarray:
    """Minimise |Pn y|_1 over the simplex, about: Newton's method on a smooth objective, s -> 0.

    The objective is sum_i sqrt((Pn y)_i^2 + s^2 L_i^2) - (s / k) sum_i L_i sum_k log y_k, with L_i
    = |Pn_i|, so that samples of any length are smoothed alike; the logarithms keep y inside the
    simplex. s falls from ``width`` to ``end``; near a ceiling, where all Pn y vanish together, it
    goes on down with them.
    """
    length_n = np.linalg.norm(scaled_nk, axis=1)
    length_n = np.maximum(length_n, 1e-12 * length_n.mean())  # a sample of zeros divides by it
    total, k = length_n.sum(), scaled_nk.shape[1]

    def objective(exchange_k: np.ndarray) -> float:
        barrier = width * total / k * np.log(exchange_k).sum()
        return float(np.hypot(scaled_nk @ exchange_k, width * length_n).sum() - barrier)

    while width > end or 1e-7 < width > np.abs(scaled_nk @ exchange_k).sum() / total / 10:
        for _ in range(20):
            mix_n, core_n = scaled_nk @ exchange_k, width * length_n
            root_n = np.hypot(mix_n, core_n)
            slope_k = (mix_n / root_n) @ scaled_nk - width * total / k / exchange_k
            bend_n = core_n * core_n / (root_n * root_n * root_n)
            bend_kk = (scaled_nk * bend_n[:, None]).T @ scaled_nk
            bend_kk += np.diag(width * total / k / exchange_k**2)
            down_k, level_k = np.linalg.solve(bend_kk, np.stack([slope_k, np.ones(k)], axis=1)).T
            step_k = level_k * (down_k.sum() / level_k.sum()) - down_k  # keeps sum(y) = 1
            decrease = float(-slope_k @ step_k)
            if decrease < 1e-4 * width * total:
                break
            length = min(1.0, float(0.95 / max((-step_k / exchange_k).max(), 1e-12)))
            limit = objective(exchange_k)
            while (
                objective(exchange_k + length * step_k) > limit - 1e-4 * length * decrease
                and length > 1e-9
            ):
                length /= 2
            exchange_k = exchange_k + length * step_k
            exchange_k /= exchange_k.sum()
        width /= 5
    return exchange_k


def _program(scaled_nk: np.ndarray, exchange_k: np.ndarray, free: int) -> Headroom:
    """Solve over the ``free`` samples of least certain sign; the others keep that of Pn y.

    A change of y by d turns the sign of (Pn y)_i only if |(Pn y)_i| <= |Pn_i| |d|, so samples are
    ranked by the sine of their angle to the plane Pn y = 0. Their distance would put the many of
    little influence first, which hardly move t*. The program is max t subject to
    t - delta . Pn[:, k] <= what the others give: free + 1 variables, and k rows whose multipliers
    are y.
    """
    n, k = scaled_nk.shape
    mix_n = scaled_nk @ exchange_k
    length_n = np.linalg.norm(scaled_nk, axis=1)
    sine_n = np.divide(np.abs(mix_n), length_n, out=np.full(n, np.inf), where=length_n > 0)
    rows = np.argsort(sine_n, kind="stable")[:free]
    direction_n = np.sign(mix_n)
    direction_n[rows] = 0
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
