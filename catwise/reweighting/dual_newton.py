"""Solve a linear program of many samples and few floors by Newton's method on its smoothed dual.

    max_x c . x   subject to   A[:, k] . x >= s_k for k < K,   A[:, K] . x = s_K,   lo <= x <= hi

HiGHS solves for the last samples. The program has K + 1 multipliers y, of which y_k >= 0 but for
the last. Any such y proves an upper bound on c . x (``BoxedProgram.upper_bound``), so an answer x
with the same value is optimal, whoever found it.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog, nnls

__all__ = [
    "LOOSE",
    "ROUNDED",
    "TIGHT",
    "BoxedProgram",
    "Descent",
    "minimise_dual",
    "minimise_smoothed_dual",
    "solve_exactly",
]

FEW = 200  # samples that HiGHS takes in about 4 ms; a program of fewer goes to it as a whole
# Samples beyond which HiGHS uses an interior point: ties may leave it 50,000, for which its simplex
# needs 20 s.
MANY = 2000
LOOSE = 1e-5  # residual per sample at which Newton stops on the way to a smaller eps
TIGHT = 1e-12  # residual per sample at which Newton stops at the last eps
ROUNDED = 1e-10  # gap per sample that is rounding, so that nothing more needs to be solved


class BoxedProgram(NamedTuple):
    """Hold the program above. Columns of A and c have a mean size of about 1, and so has x.

    a_nk, n x (K + 1); c_n, lo_n, hi_n (n,); s_k (K + 1,).
    """

    a_nk: np.ndarray
    c_n: np.ndarray
    lo_n: np.ndarray
    hi_n: np.ndarray
    s_k: np.ndarray

    def nearest(self, d_n: np.ndarray, count: int) -> np.ndarray:
        """Mask the ``count`` samples of least |d_i| / |A_i|.

        Their sign of d is the one that the smallest change of y could turn.
        """
        nearest_n = np.ones(len(d_n), dtype=bool)
        if count < len(d_n):
            norm_n = np.sqrt(np.einsum("nk,nk->n", self.a_nk, self.a_nk))
            nearest_n[np.argpartition(np.abs(d_n) / norm_n, count)[count:]] = False
        return nearest_n

    def lowest_value(self, eps: float) -> float:
        """Bound c . x - (eps/2) |x|^2 from below over the box.

        A dual value below the bound proves that no x keeps the floors.
        """
        linear = np.maximum(-self.c_n * self.lo_n, -self.c_n * self.hi_n).sum()
        square = np.maximum(self.lo_n**2, self.hi_n**2).sum()
        return float(-linear - eps / 2 * square) - 1e-6 * len(self.c_n)

    def respond(self, y_k: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Compute d = c + A y, the x in the box that maximises d . x - (eps/2) |x|^2, and A^T x."""
        d_n = self.c_n + self.a_nk @ y_k
        x_n = np.clip(d_n / eps, self.lo_n, self.hi_n)
        return d_n, x_n, x_n @ self.a_nk

    def upper_bound(self, y_k: np.ndarray) -> tuple[float, np.ndarray]:
        """Compute the dual value sum_i max_x d_i x - y . s with d = c + A y, and d.

        It is an upper bound on c . x for every y >= 0, the last of which may have any sign.
        """
        d_n = self.c_n + self.a_nk @ y_k
        return float(np.maximum(d_n * self.lo_n, d_n * self.hi_n).sum() - y_k @ self.s_k), d_n


class Descent(NamedTuple):
    """Hold where Newton stopped.

    y_k the multipliers; d_n = c + A y; x_n the answer to them; ``residual`` the largest of the
    optimality conditions; ``infeasible`` whether it is proved that no x keeps the floors.
    """

    y_k: np.ndarray
    d_n: np.ndarray
    x_n: np.ndarray
    residual: float
    infeasible: bool

    def inside(self, program: BoxedProgram) -> np.ndarray:
        """Mask the samples that are strictly inside their box, so not settled."""
        return (self.x_n > program.lo_n) & (self.x_n < program.hi_n)

    def left_to_solve(self, program: BoxedProgram) -> np.ndarray:
        """Mask the samples that HiGHS is given: those inside their box, and those nearest to it."""
        count = max(FEW, 3 * len(program.s_k))
        return program.nearest(self.d_n, count) | self.inside(program)


def minimise_smoothed_dual(
    program: BoxedProgram, y_k: np.ndarray | None, eps: float, last_eps: float = 0.0
) -> Descent:
    """Minimise the dual along a falling eps, from the multipliers ``y_k`` or from 0.

    It stops at ``last_eps``; where that is 0, as soon as few samples are inside their box; and as
    soon as it is proved that no x keeps the floors.
    """
    n, classes = len(program.c_n), len(program.s_k)
    if y_k is None:
        y_k = np.zeros(classes)
    while True:
        is_last = eps <= last_eps
        tolerance, steps = (TIGHT * n, 100) if is_last else (LOOSE * n, 30)
        descent = minimise_dual(program, y_k, eps, tolerance, steps)
        if is_last or descent.infeasible:
            return descent
        few = max(FEW // 2, 3 * classes // 2)
        if last_eps == 0 and (eps < 1e-6 or descent.inside(program).sum() <= few):
            return descent
        y_k, eps = descent.y_k, max(eps / 8, last_eps)


def minimise_dual(
    program: BoxedProgram, y_k: np.ndarray, eps: float, tolerance: float, steps: int
) -> Descent:
    """Minimise the dual of  max c . x - (eps/2) |x|^2  by semismooth Newton.

    Its x is clip(d/eps, lo, hi) with d = c + A y. The dual F(y) = sum_i (d_i x_i - eps x_i^2/2) -
    y . s is convex, its gradient is A^T x - s, and its (generalised) Hessian A_B^T A_B/eps over
    the samples B strictly inside their box. Stops when the largest residual of the optimality
    conditions is below ``tolerance``, or when F proves that no x keeps the floors, or after
    ``steps``.
    """
    lowest = program.lowest_value(eps)
    d_n, x_n, ax_k = program.respond(y_k, eps)
    steps_left, is_fresh = steps, True
    while True:
        gradient_k = ax_k - program.s_k
        value = float(d_n @ x_n - eps / 2 * (x_n @ x_n) - y_k @ program.s_k)
        residual_k = np.where(y_k > 0, np.abs(gradient_k), np.maximum(-gradient_k, 0))
        residual_k[-1] = abs(gradient_k[-1])
        if residual_k.max() <= tolerance or value < lowest or steps_left == 0:
            if is_fresh:
                return Descent(y_k, d_n, x_n, float(residual_k.max()), value < lowest)
            # d was summed up over steps, some of which may have been huge: compute it anew.
            d_n, x_n, ax_k = program.respond(y_k, eps)
            is_fresh = True
            continue
        move_k = _newton_step(program, x_n, y_k, gradient_k, eps)
        slope_n, slope = program.a_nk @ move_k, float(gradient_k @ move_k)
        if not slope < 0:
            steps_left = 0
            continue
        falling_k = move_k[:-1] < 0
        longest = np.inf
        if falling_k.any():
            longest = float((-y_k[:-1][falling_k] / move_k[:-1][falling_k]).min())
        s_move = float(move_k @ program.s_k)
        length = _line_search(program, d_n, slope_n, eps, s_move, slope, longest)
        y_k = y_k + length * move_k
        y_k[:-1] = np.maximum(y_k[:-1], 0)
        d_n = d_n + length * slope_n
        new_n = np.clip(d_n / eps, program.lo_n, program.hi_n)
        moved = np.flatnonzero(new_n != x_n)
        ax_k = ax_k + (new_n[moved] - x_n[moved]) @ program.a_nk[moved]
        x_n, is_fresh, steps_left = new_n, False, steps_left - 1


def _newton_step(
    program: BoxedProgram, x_n: np.ndarray, y_k: np.ndarray, gradient_k: np.ndarray, eps: float
) -> np.ndarray:
    """Compute z - y, where z = argmin z . H z/2 - q . z with z_k >= 0 but for the last.

    The last is eliminated, and the rest is a problem of least squares with non-negative unknowns.
    """
    inside = program.a_nk[(x_n > program.lo_n) & (x_n < program.hi_n)]
    h_kk = inside.T @ inside / eps
    h_kk[np.diag_indices_from(h_kk)] += 1e-10 * h_kk.diagonal().max() + 1e-7 * len(x_n) / eps
    q_k = h_kk @ y_k - gradient_k
    ratio_k = h_kk[-1, :-1] / h_kk[-1, -1]
    reduced_kk = h_kk[:-1, :-1] - np.outer(ratio_k, h_kk[-1, :-1])
    size_k = np.sqrt(reduced_kk.diagonal())
    root_kk = np.linalg.cholesky(reduced_kk / np.outer(size_k, size_k))
    right_k = np.linalg.solve(root_kk, (q_k[:-1] - ratio_k * q_k[-1]) / size_k)
    z_k = nnls(root_kk.T, right_k)[0] / size_k
    return np.append(z_k, (q_k[-1] - h_kk[-1, :-1] @ z_k) / h_kk[-1, -1]) - y_k


def _line_search(
    program: BoxedProgram,
    d_n: np.ndarray,
    slope_n: np.ndarray,
    eps: float,
    s_move: float,
    slope: float,
    longest: float,
) -> float:
    """Find t > 0 where the slope of F along the step has shrunk to a third, or the longest step
    that keeps y >= 0.
    """
    left, left_slope, right, right_slope = 0.0, slope, np.inf, np.inf
    t = min(1.0, longest)
    for _ in range(50):
        x_n = np.clip((d_n + t * slope_n) / eps, program.lo_n, program.hi_n)
        now = float(slope_n @ x_n) - s_move
        if abs(now) <= -slope / 3 or (now < 0 and t >= min(longest, 1e9)):
            break
        if now < 0:
            left, left_slope = t, now
        else:
            right, right_slope = t, now
        if right == np.inf:
            t = min(8 * t, longest)
        else:
            share = left_slope / (left_slope - right_slope)
            t = left + (right - left) * min(max(share, 0.05), 0.95)
    return t


def solve_exactly(
    program: BoxedProgram, descent: Descent | None = None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Solve for the exact (x, y) by HiGHS; None if no x keeps the floors.

    With a ``descent``, settled samples stay where their sign of d says and HiGHS has the rest;
    without one it has all of them. Its multipliers give every sample's reduced cost d. A settled
    sample whose sign has turned is set free and the rest solved again, so the free set only grows:
    the loop is finite, and its answer as exact as that of HiGHS.
    """
    d_n = program.c_n if descent is None else descent.d_n
    free_n = np.ones(len(d_n), dtype=bool) if descent is None else descent.left_to_solve(program)
    while True:
        x_n = np.where(d_n > 0, program.hi_n, program.lo_n)
        a_nk = program.a_nk[free_n]
        rest_k = program.s_k - np.where(free_n, 0, x_n) @ program.a_nk
        answer = linprog(
            -program.c_n[free_n],
            A_ub=-a_nk[:, :-1].T,
            b_ub=-rest_k[:-1],
            A_eq=a_nk[:, -1:].T,
            b_eq=rest_k[-1:],
            bounds=np.stack([program.lo_n[free_n], program.hi_n[free_n]], axis=1),
            method="highs-ds" if free_n.sum() <= MANY else "highs-ipm",
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        if answer.status == 0:
            x_n[free_n] = np.clip(answer.x, program.lo_n[free_n], program.hi_n[free_n])
            y_k = np.append(np.maximum(-answer.ineqlin.marginals, 0), answer.eqlin.marginals)
            upper, new_n = program.upper_bound(y_k)
            turned_n = ~free_n & (new_n * x_n < 0)
            if upper - program.c_n @ x_n <= ROUNDED * len(x_n) or not turned_n.any():
                return x_n, y_k
            free_n |= turned_n
        elif free_n.all():
            return None
        else:
            free_n = program.nearest(d_n, 8 * int(free_n.sum())) | free_n
