"""A linear program of many boxed samples and few rows, by Newton on its smoothed dual; HiGHS settles the last samples.

    max_x c . x    subject to    A[:, k] . x >= s_k for k < K,    A[:, K] . x = s_K,    lo <= x <= hi

Its multipliers y are K + 1, y_k >= 0 but for the last, and any such y proves an upper bound (``Rows.upper``).
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog, nnls

__all__ = ["LOOSE", "ROUNDED", "TIGHT", "Descent", "Rows", "descend", "settle", "smooth"]

FEW = 200  # samples that HiGHS takes in about 4 ms; with fewer the whole program goes to it
MANY = 2000  # beyond, HiGHS gets an interior point first: ties leave it 50,000, and its simplex takes 20 s
LOOSE, TIGHT = (
    1e-5,
    1e-12,
)  # residual per sample at which Newton stops, on the way and at its last eps
ROUNDED = (
    1e-10  # of the dual gap per sample: what is left to rounding, so nothing more is to be settled
)


class Rows(NamedTuple):
    """The program above. Columns of A and c are scaled to a mean size of about 1, x to about 1."""

    a_nk: np.ndarray
    c_n: np.ndarray
    lo_n: np.ndarray
    hi_n: np.ndarray
    s_k: np.ndarray

    def nearest(self, d_n: np.ndarray, count: int) -> np.ndarray:
        """Mask of the ``count`` samples whose sign of d the smallest change of y could turn: least |d_i|/|A_i|."""
        free_n = np.ones(len(d_n), dtype=bool)
        if count < len(d_n):
            norm_n = np.sqrt(np.einsum("nk,nk->n", self.a_nk, self.a_nk))
            free_n[np.argpartition(np.abs(d_n) / norm_n, count)[count:]] = False
        return free_n

    def lowest(self, eps: float) -> float:
        """No x in the box has a lower c . x - (eps/2) |x|^2; a dual value below proves that no x keeps the rows."""
        linear = np.maximum(-self.c_n * self.lo_n, -self.c_n * self.hi_n).sum()
        return float(-linear - eps / 2 * np.maximum(self.lo_n**2, self.hi_n**2).sum()) - 1e-6 * len(
            self.c_n
        )

    def respond(self, y_k: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """d = c + A y, the x that maximises d . x - (eps/2) |x|^2 in the box, and A^T x."""
        d_n = self.c_n + self.a_nk @ y_k
        x_n = np.clip(d_n / eps, self.lo_n, self.hi_n)
        return d_n, x_n, x_n @ self.a_nk

    def upper(self, y_k: np.ndarray) -> tuple[float, np.ndarray]:
        """Dual value sum_i max_x d_i x - y . s with d = c + A y; an upper bound for every y >= 0 (last: free)."""
        d_n = self.c_n + self.a_nk @ y_k
        return float(np.maximum(d_n * self.lo_n, d_n * self.hi_n).sum() - y_k @ self.s_k), d_n


class Descent(NamedTuple):
    """Where Newton stopped: multipliers, d = c + A y, x, the largest residual, and whether no x keeps the rows."""

    y_k: np.ndarray
    d_n: np.ndarray
    x_n: np.ndarray
    residual: float
    empty: bool

    def unsettled(self, p: Rows) -> np.ndarray:
        return (self.x_n > p.lo_n) & (self.x_n < p.hi_n)

    def free(self, p: Rows) -> np.ndarray:
        """The samples that HiGHS is given: those inside their box and those nearest to it."""
        return p.nearest(self.d_n, max(FEW, 3 * len(p.s_k))) | self.unsettled(p)


def smooth(p: Rows, y_k: np.ndarray | None, eps: float, last: float = 0.0) -> Descent:
    """Newton along a falling eps to ``last``, or (0) until few samples are unsettled, or no x keeps the rows."""
    n, y_k = len(p.c_n), np.zeros(len(p.s_k)) if y_k is None else y_k
    while True:
        final = eps <= last
        found = descend(p, y_k, eps, (TIGHT if final else LOOSE) * n, 100 if final else 30)
        few = not last and (
            found.unsettled(p).sum() <= max(FEW // 2, 3 * len(p.s_k) // 2) or eps < 1e-6
        )
        if final or few or found.empty:
            return found
        y_k, eps = found.y_k, max(eps / 8, last)


def descend(p: Rows, y_k: np.ndarray, eps: float, tolerance: float, steps: int) -> Descent:
    """Semismooth Newton on the dual of  max c . x - (eps/2) |x|^2,  whose x is clip(d/eps, lo, hi), d = c + A y.

    F(y) = sum_i (d_i x_i - eps x_i^2/2) - y . s is convex, its gradient A^T x - s, its (generalised) Hessian
    A_B^T A_B/eps over the samples B strictly inside their box. Stops when the largest residual of the optimality
    conditions is below ``tolerance``, or when F proves that no x keeps the rows (``empty``).
    """
    lowest = p.lowest(eps)
    d_n, x_n, ax_k = p.respond(y_k, eps)
    left, fresh = steps, True
    while True:
        gradient_k = ax_k - p.s_k
        value = float(d_n @ x_n - eps / 2 * (x_n @ x_n) - y_k @ p.s_k)
        residual_k = np.where(y_k > 0, np.abs(gradient_k), np.maximum(-gradient_k, 0))
        residual_k[-1] = abs(gradient_k[-1])
        if residual_k.max() <= tolerance or value < lowest or left == 0:
            if fresh:
                return Descent(y_k, d_n, x_n, float(residual_k.max()), value < lowest)
            (d_n, x_n, ax_k), fresh = (
                p.respond(y_k, eps),
                True,
            )  # d was summed up over steps, some perhaps huge
            continue
        move_k = _newton_step(p, x_n, y_k, gradient_k, eps)
        slope_n, slope = p.a_nk @ move_k, float(gradient_k @ move_k)
        if not slope < 0:
            left = 0
            continue
        fall = move_k[:-1] < 0
        longest = float((-y_k[:-1][fall] / move_k[:-1][fall]).min()) if fall.any() else np.inf
        t = _line_search(p, d_n, slope_n, eps, float(move_k @ p.s_k), slope, longest)
        y_k = y_k + t * move_k
        y_k[:-1] = np.maximum(y_k[:-1], 0)
        d_n = d_n + t * slope_n
        new_n = np.clip(d_n / eps, p.lo_n, p.hi_n)
        moved = np.flatnonzero(new_n != x_n)
        ax_k = ax_k + (new_n[moved] - x_n[moved]) @ p.a_nk[moved]
        x_n, fresh, left = new_n, False, left - 1


def _newton_step(
    p: Rows, x_n: np.ndarray, y_k: np.ndarray, gradient_k: np.ndarray, eps: float
) -> np.ndarray:
    """z - y, z = argmin z.H z/2 - q.z, z_k >= 0 but for the last, which is eliminated: least squares in the rest."""
    inside = p.a_nk[(x_n > p.lo_n) & (x_n < p.hi_n)]
    h_kk = inside.T @ inside / eps
    h_kk[np.diag_indices_from(h_kk)] += 1e-10 * h_kk.diagonal().max() + 1e-7 * len(x_n) / eps
    q_k = h_kk @ y_k - gradient_k
    ratio_k = h_kk[-1, :-1] / h_kk[-1, -1]
    reduced_kk = h_kk[:-1, :-1] - np.outer(ratio_k, h_kk[-1, :-1])
    size_k = np.sqrt(reduced_kk.diagonal())
    root_kk = np.linalg.cholesky(reduced_kk / np.outer(size_k, size_k))
    z_k = (
        nnls(root_kk.T, np.linalg.solve(root_kk, (q_k[:-1] - ratio_k * q_k[-1]) / size_k))[0]
        / size_k
    )
    return np.append(z_k, (q_k[-1] - h_kk[-1, :-1] @ z_k) / h_kk[-1, -1]) - y_k


def _line_search(
    p: Rows,
    d_n: np.ndarray,
    slope_n: np.ndarray,
    eps: float,
    s_move: float,
    slope: float,
    longest: float,
) -> float:
    """t > 0 where the slope of F along the step has shrunk to a third, or the longest step that keeps y >= 0."""
    left, left_slope, right, right_slope = 0.0, slope, np.inf, np.inf
    t = min(1.0, longest)
    for _ in range(50):
        now = float(slope_n @ np.clip((d_n + t * slope_n) / eps, p.lo_n, p.hi_n)) - s_move
        if abs(now) <= -slope / 3 or (now < 0 and t >= min(longest, 1e9)):
            break
        if now < 0:
            left, left_slope = t, now
        else:
            right, right_slope = t, now
        if right == np.inf:
            t = min(8 * t, longest)
        else:
            t = left + (right - left) * min(
                max(left_slope / (left_slope - right_slope), 0.05), 0.95
            )
    return t


def settle(p: Rows, found: Descent | None = None) -> tuple[np.ndarray, np.ndarray] | None:
    """Exact (x, y), None if no x keeps the rows: settled samples stay where their sign of d says, HiGHS has the rest.

    Without ``found`` it has all of them. Its multipliers give every sample's reduced cost d. A settled sample whose
    sign has turned is set free and the rest solved again, so the free set only grows: finite, and as exact as HiGHS.
    """
    d_n = p.c_n if found is None else found.d_n
    free_n = np.ones(len(d_n), dtype=bool) if found is None else found.free(p)
    while True:
        x_n = np.where(d_n > 0, p.hi_n, p.lo_n)
        a_nk = p.a_nk[free_n]
        rest_k = p.s_k - np.where(free_n, 0, x_n) @ p.a_nk
        answer = linprog(
            -p.c_n[free_n],
            A_ub=-a_nk[:, :-1].T,
            b_ub=-rest_k[:-1],
            A_eq=a_nk[:, -1:].T,
            b_eq=rest_k[-1:],
            bounds=np.stack([p.lo_n[free_n], p.hi_n[free_n]], axis=1),
            method="highs-ds" if free_n.sum() <= MANY else "highs-ipm",
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        if answer.status == 0:
            x_n[free_n] = np.clip(answer.x, p.lo_n[free_n], p.hi_n[free_n])
            y_k = np.append(np.maximum(-answer.ineqlin.marginals, 0), answer.eqlin.marginals)
            upper, new_n = p.upper(y_k)
            turned_n = ~free_n & (new_n * x_n < 0)
            if upper - p.c_n @ x_n <= ROUNDED * len(x_n) or not turned_n.any():
                return x_n, y_k
            free_n |= turned_n
        elif free_n.all():
            return None
        else:
            free_n = p.nearest(d_n, 8 * int(free_n.sum())) | free_n
