"""Solve Algorithm 1, line 4: the weights that help the targets most while classes keep floors."""

from dataclasses import replace

import numpy as np

from catwise.core.errors import InputError
from catwise.core.statistics import require_finite
from catwise.reweighting.dual_newton import (
    LOOSE,
    ROUNDED,
    TIGHT,
    BoxedProgram,
    Descent,
    minimise_dual,
    minimise_smoothed_dual,
    solve_exactly,
)
from catwise.reweighting.solution import TOLERANCE, Outcome, Solution, Solver

__all__ = ["Program"]

# The share of its size below which the deviation of a column is rounding: the column is constant.
NEGLIGIBLE = 1e-12


class Program:
    """Solve Algorithm 1, line 4, for many candidates, between which only the floors b change.

        max_w sum_{k in targets} w . P[:, k]
        subject to  w . P[:, k] >= b_k,  0 <= w <= w_max,  mean(w) = 1

    ``solve`` is the fast path. A dual that is smoothed by (eps/2) |w - 1|^2 has only K + 1
    unknowns; Newton follows it from the last candidate's multipliers to an eps at which all but a
    few hundred samples are settled, and HiGHS finishes those (``dual_newton.solve_exactly``).
    ``reference`` gives all samples to HiGHS. Both prove their answer on all n samples.

    Inside, x = w - 1; columns are centred, which mean(w) = 1 makes void, and divided by their mean
    absolute deviation, and so is the objective c. So scaling a column of P that is no target, or
    all of P, changes no weight.

    Differs from the paper: there the box and mean(w) = 1 are missing, and but for a ceiling the
    program is unbounded. Without the mean the weights would hide a larger learning rate. ``w_max``
    = inf is allowed, as the mean bounds w by n.
    """

    def __init__(self, p_nk: np.ndarray, targets: list[int], w_max: float = 2.0) -> None:
        p_nk = np.asarray(p_nk, dtype=np.float64)
        _check(p_nk, targets, w_max)
        self.n, targets = len(p_nk), sorted(set(targets))
        self.w_max = float(min(w_max, self.n))
        self._scale_columns(p_nk)
        self._scale_objective(p_nk, targets)
        self._start_k: np.ndarray | None = None  # multipliers of the last candidate
        self._quadratic_k = np.zeros(p_nk.shape[1] + 1)

    def _scale_columns(self, p_nk: np.ndarray) -> None:
        """Centre and scale the columns; one more, of -1, is the mean of the weights."""
        n, k = p_nk.shape
        self._sum_k, self._mass_k = p_nk.sum(axis=0), np.abs(p_nk).sum(axis=0)
        self._mean_k = self._sum_k / n
        # One row more than n: the failure t of ``_least_failure``. No other program sees it.
        self._a_nk = np.empty((n + 1, k + 1))
        np.subtract(p_nk, self._mean_k, out=self._a_nk[:n, :k])
        self._a_nk[:n, k], self._a_nk[n] = -1, 0
        self._scale_k = np.abs(self._a_nk[:n, :k]).mean(axis=0)
        self._constant_k = self._scale_k <= NEGLIGIBLE * self._mass_k / n
        self._mass_k[self._mass_k == 0] = 1
        self._scale_k[self._constant_k] = self._mass_k[self._constant_k] / n
        self._a_nk[:n, :k][:, self._constant_k] = 0
        self._a_nk[:n, :k] /= self._scale_k

    def _scale_objective(self, p_nk: np.ndarray, targets: list[int]) -> None:
        self._objective_n = p_nk[:, targets].sum(axis=1)
        self._c_mean = float(self._objective_n.mean())
        c_n = self._objective_n - self._c_mean
        self._c_scale, size = float(np.abs(c_n).mean()), float(np.abs(self._objective_n).mean())
        mass = float(self._mass_k[targets].sum()) / self.n
        self.no_direction = self._c_scale <= NEGLIGIBLE * max(size, mass)
        if self.no_direction:
            c_n, self._c_scale = np.zeros(self.n), size or 1.0
        self._c_n = c_n / self._c_scale

    def solve(self, floors_k: np.ndarray) -> Solution:
        """Solve the linear program by the fast path, and by HiGHS where its proof fails."""
        program = self._scaled(floors_k)
        if self.no_direction:
            return self._without_direction(program)
        descent = self._descend(program)
        if descent.infeasible:
            return self._least_failure(program, "dual")
        solution = self._exact(program, descent)
        if solution.outcome == "uncertified":
            solution = self._exact(program)
        if solution.outcome == "optimal":
            self._start_k = descent.y_k
        return solution

    def reference(self, floors_k: np.ndarray) -> Solution:
        """Solve the same linear program with every sample given to HiGHS, which is slow."""
        program = self._scaled(floors_k)
        return self._without_direction(program) if self.no_direction else self._exact(program)

    def quadratic(self, floors_k: np.ndarray, eps: float) -> Solution:
        """Solve max c . w - (eps/2) s |w - 1|^2 under the same constraints.

        The scale is s = mean_i |c_i - mean c|.
        So ``eps`` has no unit. The dual is smooth in K + 1 multipliers, w = clip(1 + (c + P y -
        mu)/(eps s), 0, w_max). At eps = 1 and without binding floors the mean |w - 1| is about 1
        before clipping; eps -> 0 is the linear program, and eps -> inf the point nearest to w = 1
        that keeps the floors. ``objective`` contains the penalty.

        Differs from the paper: its linear optimum is bang-bang, half of the samples dropped and
        half counted double.
        """
        if not eps > 0 or not np.isfinite(eps):
            raise InputError(f"eps: expected a positive number; got {eps}")
        program = self._scaled(floors_k)
        descent = minimise_dual(program, self._quadratic_k, eps, TIGHT * self.n, 15)
        if descent.infeasible or descent.residual > TIGHT * self.n:
            descent = minimise_smoothed_dual(program, None, max(1.0, eps), eps)
        if descent.infeasible:
            return self._least_failure(program, "dual")
        self._quadratic_k = descent.y_k
        outcome: Outcome = "no_direction" if self.no_direction else "optimal"
        return self._solution(program, descent.x_n, descent.y_k, outcome, "dual", eps)

    def _scaled(self, floors_k: np.ndarray) -> BoxedProgram:
        floors_k = np.asarray(floors_k, dtype=np.float64)
        if floors_k.shape != self._sum_k.shape or not np.isfinite(floors_k).all():
            count = len(self._sum_k)
            raise InputError(
                f"floors: expected {count} finite values, one per class; got {floors_k}"
            )
        s_k = (floors_k - self._sum_k) / self._scale_k
        rounding_k = self._constant_k & (np.abs(s_k) <= TOLERANCE * self.n)
        s_k = np.append(np.where(rounding_k, 0, s_k), 0)
        lo_n, hi_n = np.full(self.n, -1.0), np.full(self.n, self.w_max - 1)
        return BoxedProgram(self._a_nk[: self.n], self._c_n, lo_n, hi_n, s_k)

    def _descend(self, program: BoxedProgram) -> Descent:
        """Start from the last candidate's multipliers, or from 0 if they lead nowhere."""
        if self._start_k is not None:
            descent = minimise_smoothed_dual(program, self._start_k, 0.02 / self.w_max)
            if descent.residual <= LOOSE * self.n:
                return descent
        return minimise_smoothed_dual(program, None, 1 / self.w_max)

    def _exact(self, program: BoxedProgram, descent: Descent | None = None) -> Solution:
        solver: Solver = "dual" if descent else "reference"
        vertex = solve_exactly(program, descent)
        if vertex is None:
            return self._least_failure(program, solver)
        return self._solution(program, *vertex, "optimal", solver)

    def _without_direction(self, program: BoxedProgram) -> Solution:
        """Return ones where they keep the floors, else the nearest weights that do.

        The dual is solved by y = 0.
        """
        zeros_k = np.zeros(len(program.s_k))
        if (program.s_k[:-1] * self._scale_k <= TOLERANCE * self._mass_k).all():
            return self._solution(program, np.zeros(self.n), zeros_k, "no_direction", "none")
        descent = minimise_smoothed_dual(program, None, 1.0, 1.0)
        if descent.infeasible:
            return self._least_failure(program, "dual")
        return self._solution(program, descent.x_n, zeros_k, "no_direction", "dual")

    def _least_failure(self, program: BoxedProgram, solver: Solver) -> Solution:
        """Solve min t >= 0 subject to w . P[:, k] >= b_k - t sum_i |P[i, k]|.

        Its multipliers are Farkas' proof that t > 0. The failure is one more sample x_n = sqrt(n)
        t, a scale at which it is smoothed no more than the others.
        """
        n, root = self.n, self.n**0.5
        worst = float((program.s_k[:-1] * self._scale_k / self._mass_k).max())
        self._a_nk[n, :-1] = self._mass_k / self._scale_k / root
        relaxed = BoxedProgram(
            self._a_nk,
            np.append(np.zeros(n), -root),
            np.append(program.lo_n, 0.0),
            np.append(program.hi_n, root * 2 * (max(worst, 0.0) + TOLERANCE)),  # never reached
            program.s_k,
        )
        descent = None
        if solver == "dual":
            descent = minimise_smoothed_dual(relaxed, None, 1 / self.w_max)
        vertex = solve_exactly(relaxed, descent)
        if vertex is None:
            zeros_k = np.zeros(len(program.s_k))
            return self._solution(program, np.zeros(n), zeros_k, "uncertified", solver)
        x_n, t, y_k = vertex[0][:n], float(vertex[0][n]) / root, vertex[1]
        if t > TOLERANCE:
            at_least = -relaxed.upper_bound(y_k)[0] / n
            return self._infeasible(program, x_n, y_k, at_least, solver)
        return self._at_the_frontier(program, x_n, t, y_k)

    def _at_the_frontier(
        self, program: BoxedProgram, x_n: np.ndarray, t: float, y_k: np.ndarray
    ) -> Solution:
        """Solve with floors that are lowered by less than the tolerance to which they are checked.

        They can be kept but for rounding. The gap is that of the lowered program, for at the
        frontier the price of a floor has no bound.
        """
        lowered_k = min(t + ROUNDED, TOLERANCE) * self._mass_k / self._scale_k
        lowered = program._replace(s_k=program.s_k - np.append(lowered_k, 0))
        vertex = solve_exactly(lowered)
        outcome: Outcome = "optimal" if vertex else "uncertified"
        x_n, y_k = vertex or (x_n, y_k)
        solution = self._solution(lowered, x_n, y_k, outcome, "reference")
        return replace(solution, violation=self._errors(program, x_n)[0])

    def _infeasible(
        self,
        program: BoxedProgram,
        x_n: np.ndarray,
        y_k: np.ndarray,
        at_least: float,
        solver: Solver,
    ) -> Solution:
        """Prove that some floor must fail: no weights have a worst failure below ``at_least``."""
        violation, mean_error = self._errors(program, x_n)
        gap = violation - at_least
        proved = at_least > 0 and max(abs(gap), mean_error) <= TOLERANCE
        duals_k = y_k[:-1] / (self.n * self._scale_k)
        mean_dual = float(duals_k @ self._mean_k + y_k[-1] / self.n)
        outcome: Outcome = "infeasible" if proved else "uncertified"
        objective = float(self._objective_n @ (1 + x_n))
        return Solution(outcome, 1 + x_n, objective, duals_k, mean_dual, gap, violation, solver)

    def _errors(self, program: BoxedProgram, x_n: np.ndarray) -> tuple[float, float]:
        """Compute by how much the worst floor fails, and how far the mean weight is from 1."""
        ax_k = x_n @ program.a_nk
        short_k = (program.s_k[:-1] - ax_k[:-1]) * self._scale_k / self._mass_k
        return max(float(short_k.max()), 0.0), abs(float(ax_k[-1])) / self.n

    def _solution(
        self,
        program: BoxedProgram,
        x_n: np.ndarray,
        y_k: np.ndarray,
        outcome: Outcome,
        solver: Solver,
        eps: float = 0.0,
    ) -> Solution:
        """Prove an answer from all n samples and nothing that the solver kept.

        What is not proved is uncertified.
        """
        upper, d_n = program.upper_bound(y_k)
        if eps:
            x_n = np.clip(d_n / eps, program.lo_n, program.hi_n)
            upper = float(d_n @ x_n - eps / 2 * (x_n @ x_n) - y_k @ program.s_k)
        penalty = eps / 2 * float(x_n @ x_n)
        gap = (upper - float(program.c_n @ x_n) + penalty) / self.n
        violation, mean_error = self._errors(program, x_n)
        if max(abs(gap), violation, mean_error) > TOLERANCE:
            outcome = "uncertified"
        duals_k = y_k[:-1] * self._c_scale / self._scale_k
        mean_dual = self._c_mean + float(duals_k @ self._mean_k) + self._c_scale * float(y_k[-1])
        objective = float(self._objective_n @ (1 + x_n)) - penalty * self._c_scale
        return Solution(outcome, 1 + x_n, objective, duals_k, mean_dual, gap, violation, solver)


def _check(p_nk: np.ndarray, targets: list[int], w_max: float) -> None:
    if p_nk.ndim != 2 or not p_nk.size:
        raise InputError(
            f"influence vectors: expected an array of samples x classes; got shape {p_nk.shape}"
        )
    require_finite(p_nk, "influence vectors", ("sample", "class"))
    if not targets or not set(targets) <= set(range(p_nk.shape[1])):
        raise InputError(
            f"targets: expected one or more of 0 to {p_nk.shape[1] - 1}; got {targets}"
        )
    if not w_max >= 1:
        raise InputError(f"w_max: expected at least 1, or no weights have mean 1; got {w_max}")
