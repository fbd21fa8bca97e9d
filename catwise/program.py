"""Which training weights help the target classes most while every class keeps its floor? Algorithm 1, line 4."""

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from scipy.optimize import linprog, nnls

from catwise.errors import InputError

__all__ = ["TOLERANCE", "Outcome", "Program", "Solution", "as_printed", "beta_floors", "printed_floors"]

TOLERANCE = 1e-9  # of the gap, as a share of sum |c - mean c|, and of each floor, as a share of the class's influence
FEW = 200  # samples that HiGHS takes in about 4 ms; with fewer the whole program goes to it
LOOSE, TIGHT = 1e-5, 1e-12  # residual per sample at which Newton stops, on the way and at its last eps
NEGLIGIBLE = 1e-12  # a column whose deviation is below this share of its size is constant but for rounding

Solver = Literal["dual", "reference", "none"]
Outcome = Literal["optimal", "no_direction", "infeasible", "unbounded", "uncertified"]


@dataclass(frozen=True)
class Solution:
    """Answer and proof. All in the units of P, so that the proof can be recomputed from P alone.

    outcome     ``optimal``: certified. ``no_direction``: every admissible w has the same objective; the weights are
                ones, or another admissible vector if ones fail a floor. ``infeasible``: certified, some floor must
                fail; the weights are those whose worst failure is least. ``unbounded``: only without mean(w) = 1.
                ``uncertified``: the weights are the best found, ``gap`` and ``violation`` say how good they are.
    weights_n   w, 0 <= w <= w_max, mean 1                 objective   c . w
    duals_k     y >= 0, one per floor                      mean_dual   mu, of sum(w) = n
    gap         (dual value - primal value) / sum |c - mean c|; infeasible: of the program of least failure
                floors at the very frontier are lowered by up to the tolerance, and the gap is that program's
    violation   max_k (b_k - w . P[:, k])_+ / sum_i |P[i, k]|, so infeasible: the least worst failure
    solver      ``dual`` (the fast path), ``reference`` (HiGHS on everything) or ``none`` (nothing to solve)
    """

    outcome: Outcome
    weights_n: np.ndarray
    objective: float
    duals_k: np.ndarray
    mean_dual: float
    gap: float
    violation: float
    solver: Solver

    @property
    def effective_share(self) -> float:
        """Effective samples (sum w)^2 / sum w^2 as a share of n."""
        return float(self.weights_n.sum() ** 2 / (self.weights_n**2).sum() / len(self.weights_n))


def printed_floors(p_nk: np.ndarray, alpha_k: np.ndarray) -> np.ndarray:
    """b_k = alpha_k sum_i P[i, k], Algorithm 1, line 4. Hardly acts: near an optimum the sums are close to 0."""
    return np.asarray(alpha_k, dtype=np.float64) * np.asarray(p_nk, dtype=np.float64).sum(axis=0)


def beta_floors(p_nk: np.ndarray, beta_k: np.ndarray) -> np.ndarray:
    """(w - 1) . P[:, k] >= -beta_k sum_i |P[i, k]|: a class may lose the share beta_k of its influence.

    Differs from the paper: ``printed_floors``. beta = 0 lets no class lose, beta < 0 makes every class gain.
    """
    p_nk = np.asarray(p_nk, dtype=np.float64)
    return p_nk.sum(axis=0) - np.asarray(beta_k, dtype=np.float64) * np.abs(p_nk).sum(axis=0)


class _Scaled(NamedTuple):
    """max c . x  subject to  A[:, k] . x >= s_k for k < K,  A[:, K] . x = s_K,  lo <= x <= hi;  norm_i = |A_i|."""

    a_nk: np.ndarray
    c_n: np.ndarray
    lo_n: np.ndarray
    hi_n: np.ndarray
    norm_n: np.ndarray
    s_k: np.ndarray

    def nearest(self, d_n: np.ndarray, count: int) -> np.ndarray:
        """Mask of the ``count`` samples whose sign of d the smallest change of y could turn: least |d_i|/|A_i|."""
        free_n = np.ones(len(d_n), dtype=bool)
        if count < len(d_n):
            free_n[np.argpartition(np.abs(d_n) / self.norm_n, count)[count:]] = False
        return free_n

    def every(self, step: int) -> "_Scaled":
        """A sample of the program, cheap to solve, whose multipliers are near those of the whole."""
        some = slice(None, None, step)
        a_nk = self.a_nk[some]
        s_k = self.s_k * len(a_nk) / len(self.c_n)
        return _Scaled(a_nk, self.c_n[some], self.lo_n[some], self.hi_n[some], self.norm_n[some], s_k)

    def part(self, open_n: np.ndarray, x_n: np.ndarray) -> "_Scaled":
        """The program of the open samples alone, the others held at x."""
        rest_k = self.s_k - np.where(open_n, 0, x_n) @ self.a_nk
        return _Scaled(
            self.a_nk[open_n], self.c_n[open_n], self.lo_n[open_n], self.hi_n[open_n], self.norm_n[open_n], rest_k
        )

    def lowest(self, eps: float) -> float:
        """No x in the box has a lower c . x - (eps/2) |x|^2; a dual value below proves that no x keeps the rows."""
        linear = np.maximum(-self.c_n * self.lo_n, -self.c_n * self.hi_n).sum()
        return float(-linear - eps / 2 * np.maximum(self.lo_n**2, self.hi_n**2).sum()) - 1e-6 * len(self.c_n)

    def respond(self, y_k: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """d = c + A y, the x that maximises d . x - (eps/2) |x|^2 in the box, and A^T x."""
        d_n = self.c_n + self.a_nk @ y_k
        x_n = np.clip(d_n / eps, self.lo_n, self.hi_n)
        return d_n, x_n, x_n @ self.a_nk

    def upper(self, y_k: np.ndarray) -> tuple[float, np.ndarray]:
        """Dual value sum_i max_x d_i x - y . s with d = c + A y; an upper bound for every y >= 0 (last: free)."""
        d_n = self.c_n + self.a_nk @ y_k
        return float(np.maximum(d_n * self.lo_n, d_n * self.hi_n).sum() - y_k @ self.s_k), d_n


def _nonnegative_step(h_kk: np.ndarray, q_k: np.ndarray) -> np.ndarray:
    """argmin z.H z/2 - q.z subject to z_k >= 0 except for the last, which is eliminated: least squares in the rest."""
    ratio_k = h_kk[-1, :-1] / h_kk[-1, -1]
    reduced_kk = h_kk[:-1, :-1] - np.outer(ratio_k, h_kk[-1, :-1])
    size_k = np.sqrt(reduced_kk.diagonal())
    root_kk = np.linalg.cholesky(reduced_kk / np.outer(size_k, size_k))
    right_k = np.linalg.solve(root_kk, (q_k[:-1] - ratio_k * q_k[-1]) / size_k)
    z_k = nnls(root_kk.T, right_k)[0] / size_k
    return np.append(z_k, (q_k[-1] - h_kk[-1, :-1] @ z_k) / h_kk[-1, -1])


class _Descent(NamedTuple):
    y_k: np.ndarray
    d_n: np.ndarray
    x_n: np.ndarray
    residual: float
    eps: float
    empty: bool

    def unsettled(self, p: _Scaled) -> np.ndarray:
        return (self.x_n > p.lo_n) & (self.x_n < p.hi_n)

    def free(self, p: _Scaled) -> np.ndarray:
        """The samples that HiGHS is given: those inside their box and those nearest to it."""
        return p.nearest(self.d_n, max(FEW, 3 * len(p.s_k))) | self.unsettled(p)


def _descend(p: _Scaled, y_k: np.ndarray, eps: float, tolerance: float, steps: int) -> _Descent:
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
                return _Descent(y_k, d_n, x_n, float(residual_k.max()), eps, value < lowest)
            (d_n, x_n, ax_k), fresh = p.respond(y_k, eps), True  # d was summed up over steps, some perhaps huge
            continue
        inside = np.flatnonzero((x_n > p.lo_n) & (x_n < p.hi_n))
        rows = p.a_nk[inside]
        h_kk = rows.T @ rows / eps
        h_kk[np.diag_indices_from(h_kk)] += 1e-10 * h_kk.diagonal().max() + 1e-7 * len(x_n) / eps
        move_k = _nonnegative_step(h_kk, h_kk @ y_k - gradient_k) - y_k
        slope_n = p.a_nk @ move_k
        slope = float(gradient_k @ move_k)
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


def _line_search(
    p: _Scaled, d_n: np.ndarray, slope_n: np.ndarray, eps: float, s_move: float, slope: float, longest: float
) -> float:
    """t > 0 where the slope of F along the step has shrunk to a third, or the longest step that keeps y >= 0."""

    def slope_at(t: float) -> float:
        return float(slope_n @ np.clip((d_n + t * slope_n) / eps, p.lo_n, p.hi_n)) - s_move

    left, left_slope, t = 0.0, slope, min(1.0, longest)
    now = slope_at(t)
    while now < slope / 3 and t < longest and t < 1e9:
        left, left_slope, t = t, now, min(8 * t, longest)
        now = slope_at(t)
    if now <= -slope / 3:
        return t
    right, right_slope = t, now
    for _ in range(40):
        t = left + (right - left) * min(max(left_slope / (left_slope - right_slope), 0.05), 0.95)
        now = slope_at(t)
        if abs(now) <= -slope / 3:
            break
        if now < 0:
            left, left_slope = t, now
        else:
            right, right_slope = t, now
    return t


class _Vertex(NamedTuple):
    feasible: bool
    x_n: np.ndarray
    y_k: np.ndarray


def _sift(p: _Scaled, d_n: np.ndarray, free_n: np.ndarray) -> _Vertex:
    """Exact solution: samples that are not free sit at the bound their sign of d names, HiGHS solves for the rest.

    Its duals give every sample's reduced cost d. A fixed sample whose sign has turned is set free and the rest solved
    again, so the free set only grows and the last round has all of them: finite, and as exact as HiGHS.
    """
    free_n = free_n.copy()
    while True:
        x_n = np.where(d_n > 0, p.hi_n, p.lo_n)
        part = p.part(free_n, x_n)
        answer = linprog(
            -part.c_n,
            A_ub=-part.a_nk[:, :-1].T,
            b_ub=-part.s_k[:-1],
            A_eq=part.a_nk[:, -1:].T,
            b_eq=part.s_k[-1:],
            bounds=np.stack([part.lo_n, part.hi_n], axis=1),
            method="highs-ds",
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        if answer.status == 0:
            x_n[free_n] = np.clip(answer.x, part.lo_n, part.hi_n)
            y_k = np.append(np.maximum(-answer.ineqlin.marginals, 0), answer.eqlin.marginals)
            upper, new_n = p.upper(y_k)
            turned_n = ~free_n & (new_n * x_n < 0)
            if upper - p.c_n @ x_n <= TOLERANCE / 10 * len(x_n) or not turned_n.any():
                return _Vertex(True, x_n, y_k)
            free_n |= turned_n
        elif free_n.all():
            return _Vertex(False, np.zeros_like(x_n), np.zeros(p.a_nk.shape[1]))
        else:
            free_n = p.nearest(d_n, 8 * int(free_n.sum())) | free_n


def _finish(p: _Scaled, found: _Descent, free_n: np.ndarray) -> _Vertex:
    """``_sift``, except where ties leave very many samples unsettled, which HiGHS takes seconds for.

    Then x of a small eps is an optimum as it is (the one nearest to 0; Mangasarian), and y is moved by the least
    squares that make d = 0 on the unsettled samples. If that proves nothing, HiGHS has it after all.
    """
    if free_n.sum() > 2 * max(FEW, 3 * len(p.s_k)):
        found = _descend(p, found.y_k, max(found.eps, 1e-4), TIGHT * len(p.c_n), 30)  # smaller: d/eps is noise
        inside, on = np.flatnonzero(found.unsettled(p)), found.y_k > 0
        on[-1] = True
        y_k, rows = found.y_k.copy(), p.a_nk[inside][:, on]
        for _ in range(2):
            d_n = p.c_n + p.a_nk @ y_k
            y_k[on] -= np.linalg.lstsq(rows.T @ rows, rows.T @ d_n[inside], rcond=1e-12)[0]
        y_k[:-1] = np.maximum(y_k[:-1], 0)
        gap = p.upper(y_k)[0] - float(p.c_n @ found.x_n)
        if max(abs(gap), found.residual) <= TOLERANCE / 2 * len(p.c_n):
            return _Vertex(True, found.x_n, y_k)
    return _sift(p, found.d_n, free_n)


class Program:
    """Algorithm 1, line 4, over many candidates: P, the targets and the box stay, only the floors b change.

        max_w sum_{k in targets} w . P[:, k]    subject to    w . P[:, k] >= b_k,  0 <= w <= w_max,  mean(w) = 1

    ``solve`` is the fast path: a dual smoothed by (eps/2) |w - 1|^2 has only K + 1 unknowns; Newton follows it from the
    last candidate's multipliers to an eps at which all but a few hundred samples are settled, and HiGHS finishes
    those (``_sift``). ``reference`` gives all samples to HiGHS. Both prove their answer on all n samples.

    Inside, columns are centred (mean(w) = 1 makes that void) and divided by their mean absolute deviation, and so
    is c; so scaling a column of P that is no target, or all of P, changes no weight.

    Differs from the paper: there the box and mean(w) = 1 are missing, and the program is unbounded (``as_printed``).
    Without the mean the weights would hide a larger learning rate. ``w_max`` = inf is allowed: the mean bounds w by n.
    """

    def __init__(self, p_nk: np.ndarray, targets: list[int], w_max: float = 2.0) -> None:
        p_nk = np.asarray(p_nk, dtype=np.float64)
        _check(p_nk, targets)
        if not w_max >= 1:
            raise InputError(f"w_max: expected at least 1, or no weights have mean 1; came {w_max}")
        n, k = p_nk.shape
        self.w_max, self.n = float(min(w_max, n)), n
        self.solves = self.fallbacks = 0
        self._sum_k, self._mass_k = p_nk.sum(axis=0), np.abs(p_nk).sum(axis=0)
        self._objective_n = p_nk[:, sorted(set(targets))].sum(axis=1)
        self._mean_k = self._sum_k / n
        # One more sample than n: the failure t of ``_least_failure``. No other program sees it.
        self._a_nk = np.empty((n + 1, k + 1))
        np.subtract(p_nk, self._mean_k, out=self._a_nk[:n, :k])
        self._a_nk[:n, k], self._a_nk[n] = -1, 0
        self._scale_k = np.abs(self._a_nk[:n, :k]).mean(axis=0)
        self._constant_k = self._scale_k <= NEGLIGIBLE * self._mass_k / n
        self._mass_k[self._mass_k == 0] = 1
        self._scale_k[self._constant_k] = self._mass_k[self._constant_k] / n
        self._a_nk[:n, :k][:, self._constant_k] = 0
        self._a_nk[:n, :k] /= self._scale_k
        self._norm_n = np.sqrt(np.einsum("nk,nk->n", self._a_nk, self._a_nk))
        self._c_mean = float(self._objective_n.mean())
        self._c_n = self._objective_n - self._c_mean
        self._c_scale = float(np.abs(self._c_n).mean())
        size = float(np.abs(self._objective_n).mean())
        self.no_direction = self._c_scale <= NEGLIGIBLE * max(size, float(self._mass_k[sorted(set(targets))].sum()) / n)
        if self.no_direction:
            self._c_n, self._c_scale = np.zeros(n), size or 1.0
        self._c_n = self._c_n / self._c_scale
        self._lo_n, self._hi_n = np.full(n, -1.0), np.full(n, self.w_max - 1)
        self._start_k: np.ndarray | None = None
        self._quadratic_k = np.zeros(k + 1)

    def solve(self, floors_k: np.ndarray) -> Solution:
        """The linear program by the fast path; ``fallbacks`` counts the times its proof failed and HiGHS took over."""
        self.solves += 1
        p = self._scaled(floors_k)
        if self.no_direction:
            return self._without_direction(p)
        found = self._follow(p) or self._smooth(p, None, 1.0, 0.0)
        if found.empty:
            return self._least_failure(p, "dual")
        solution = self._vertex(p, _finish(p, found, found.free(p)), "dual")
        if solution.outcome == "uncertified":
            solution = self._vertex(p, _sift(p, found.d_n, np.ones(self.n, dtype=bool)), "reference")
        if solution.outcome == "optimal":
            self._start_k = found.y_k
        self.fallbacks += solution.solver == "reference"
        return solution

    def reference(self, floors_k: np.ndarray) -> Solution:
        """The same linear program with every sample given to HiGHS: slow, and nothing to trust but HiGHS."""
        p = self._scaled(floors_k)
        if self.no_direction:
            return self._without_direction(p)
        return self._vertex(p, _sift(p, p.c_n, np.ones(self.n, dtype=bool)), "reference")

    def quadratic(self, floors_k: np.ndarray, eps: float) -> Solution:
        """max c . w - (eps/2) s |w - 1|^2 under the same constraints, s = mean_i |c_i - mean c|: eps has no unit.

        Its dual is smooth in K + 1 multipliers, w = clip(1 + (c + P y - mu)/(eps s), 0, w_max). At eps = 1 and without
        binding floors the mean |w - 1| is about 1 before clipping; eps -> 0 is the linear program, eps -> inf the
        point nearest to w = 1 that keeps the floors. ``objective`` contains the penalty. Differs from the paper:
        the linear optimum is bang-bang, half of the samples are dropped and half counted double.
        """
        if not eps > 0 or not np.isfinite(eps):
            raise InputError(f"eps: expected a positive number; came {eps}")
        self.solves += 1
        p = self._scaled(floors_k)
        found = _descend(p, self._quadratic_k, eps, TIGHT * self.n, 15)
        if found.empty or found.residual > TIGHT * self.n:
            found = self._smooth(p, None, max(1.0, eps), eps)
        if found.empty:
            return self._least_failure(p, "dual")
        self._quadratic_k = found.y_k
        outcome: Outcome = "no_direction" if self.no_direction else "optimal"
        return self._solution(p, found.x_n, found.y_k, outcome, "dual", eps)

    def _scaled(self, floors_k: np.ndarray) -> _Scaled:
        floors_k = np.asarray(floors_k, dtype=np.float64)
        if floors_k.shape != self._sum_k.shape or not np.isfinite(floors_k).all():
            raise InputError(f"floors: expected {len(self._sum_k)} finite values, one per class; came {floors_k}")
        s_k = (floors_k - self._sum_k) / self._scale_k
        rounding_k = self._constant_k & (np.abs(s_k) <= TOLERANCE * self.n)
        return _Scaled(
            self._a_nk[: self.n],
            self._c_n,
            self._lo_n,
            self._hi_n,
            self._norm_n[: self.n],
            np.append(np.where(rounding_k, 0, s_k), 0),
        )

    def _smooth(self, p: _Scaled, start_k: np.ndarray | None, eps: float, last: float) -> _Descent:
        """Newton along a falling eps to ``last``, or (0) until few samples are unsettled, or no x keeps the rows."""
        n, y_k = len(p.c_n), np.zeros(len(p.s_k)) if start_k is None else start_k
        eps = eps if last else eps / self.w_max
        while True:
            final = eps <= last
            found = _descend(p, y_k, eps, (TIGHT if final else LOOSE) * n, 100 if final else 30)
            few = not last and (found.unsettled(p).sum() <= max(FEW // 2, 3 * len(p.s_k) // 2) or eps < 1e-6)
            if final or few or found.empty:
                return found
            y_k, eps = found.y_k, max(eps / 8, last)

    def _follow(self, p: _Scaled) -> _Descent | None:
        """Newton on few samples at a time: cold on every eighth, then on the least settled eighth until none turns.

        None where that does not lead to a solution on all samples, for whatever reason; then ``_smooth`` has the word.
        """
        y_k, eps = self._start_k, 0.02
        if y_k is None:
            if self.n < 32 * FEW:
                return None
            coarse = self._smooth(p.every(8), None, 1.0, 0.0)
            if not coarse.residual <= LOOSE * self.n:
                return None
            y_k = coarse.y_k
        d_n = p.c_n + p.a_nk @ y_k
        for _ in range(4):
            open_n = p.nearest(d_n, max(self.n // 8, 4 * FEW, 20 * len(p.s_k)))
            part = p.part(open_n, np.where(d_n > 0, p.hi_n, p.lo_n))
            first = self._smooth(part, y_k, eps, 0.0)
            if not first.residual <= LOOSE * self.n:
                return None
            y_k, eps, before_n = first.y_k, 0.002, d_n
            d_n = p.c_n + p.a_nk @ y_k
            if not (~open_n & (d_n * before_n < 0)).any():
                break
        found = _descend(p, y_k, first.eps, LOOSE * self.n, 10)
        return found if found.residual <= LOOSE * self.n else None

    def _vertex(self, p: _Scaled, vertex: _Vertex, solver: Solver) -> Solution:
        if not vertex.feasible:
            return self._least_failure(p, solver)
        return self._solution(p, vertex.x_n, vertex.y_k, "optimal", solver)

    def _without_direction(self, p: _Scaled) -> Solution:
        """Ones where they keep the floors, else the nearest weights that do; y = 0 is a dual solution."""
        none_k = np.zeros(len(p.s_k))
        if (p.s_k[:-1] * self._scale_k <= TOLERANCE * self._mass_k).all():
            return self._solution(p, np.zeros(self.n), none_k, "no_direction", "none")
        found = self._smooth(p, None, 1.0, 1.0)
        if found.empty:
            return self._least_failure(p, "dual")
        return self._solution(p, found.x_n, none_k, "no_direction", "dual")

    def _least_failure(self, p: _Scaled, solver: Solver) -> Solution:
        """min t >= 0 subject to w . P[:, k] >= b_k - t sum_i |P[i, k]|: Farkas' proof that t > 0 is in its duals.

        The failure is one more sample x_n = sqrt(n) t, a scale at which it is smoothed no more than the others.
        """
        n, root = self.n, self.n**0.5
        worst = float((p.s_k[:-1] * self._scale_k / self._mass_k).max())
        self._a_nk[n, :-1] = self._mass_k / self._scale_k / root
        relaxed = _Scaled(
            self._a_nk,
            np.append(np.zeros(n), -root),
            np.append(p.lo_n, 0.0),
            np.append(p.hi_n, root * 2 * (max(worst, 0.0) + TOLERANCE)),  # never at its bound
            np.append(p.norm_n, np.inf),
            p.s_k,
        )
        if solver == "dual":
            found = self._smooth(relaxed, None, 1.0, 0.0)
            vertex = _finish(relaxed, found, found.free(relaxed))  # t is always free: its norm is inf
        else:
            vertex = _sift(relaxed, relaxed.c_n, np.ones(n + 1, dtype=bool))
        x_n, t = vertex.x_n[:n], float(vertex.x_n[n]) / root
        if not vertex.feasible:
            return self._solution(p, x_n, vertex.y_k, "uncertified", solver)
        if t <= TOLERANCE:
            # Admissible but for rounding: the floors are lowered by less than the tolerance they are checked to, and
            # the gap is that of the lowered program, for at the frontier a floor's price has no bound.
            s_k = p.s_k - np.append(min(t + TOLERANCE / 10, TOLERANCE) * self._mass_k / self._scale_k, 0)
            vertex = _sift(p._replace(s_k=s_k), p.c_n, np.ones(n, dtype=bool))
            outcome: Outcome = "optimal" if vertex.feasible else "uncertified"
            x_n = vertex.x_n if vertex.feasible else x_n
            solution = self._solution(p._replace(s_k=s_k), x_n, vertex.y_k, outcome, "reference")
            return replace(solution, violation=self._errors(p, x_n)[0])
        return self._infeasible(p, x_n, vertex.y_k, -relaxed.upper(vertex.y_k)[0] / n, solver)

    def _infeasible(self, p: _Scaled, x_n: np.ndarray, y_k: np.ndarray, at_least: float, solver: Solver) -> Solution:
        violation, mean_error = self._errors(p, x_n)
        gap = violation - at_least
        proved = at_least > 0 and max(abs(gap), mean_error) <= TOLERANCE
        duals_k = y_k[:-1] / (self.n * self._scale_k)
        mean_dual = float(duals_k @ self._mean_k + y_k[-1] / self.n)
        weights_n = 1 + x_n
        outcome: Outcome = "infeasible" if proved else "uncertified"
        objective = float(self._objective_n @ weights_n)
        return Solution(outcome, weights_n, objective, duals_k, mean_dual, gap, violation, solver)

    def _errors(self, p: _Scaled, x_n: np.ndarray) -> tuple[float, float]:
        ax_k = x_n @ p.a_nk
        short_k = (p.s_k[:-1] - ax_k[:-1]) * self._scale_k / self._mass_k
        return max(float(short_k.max()), 0.0), abs(float(ax_k[-1])) / self.n

    def _solution(
        self, p: _Scaled, x_n: np.ndarray, y_k: np.ndarray, outcome: Outcome, solver: Solver, eps: float = 0.0
    ) -> Solution:
        """The proof, from all n samples and nothing that the solver kept; what it does not prove is uncertified."""
        upper, d_n = p.upper(y_k)
        if eps:
            x_n = np.clip(d_n / eps, p.lo_n, p.hi_n)
            upper = float(d_n @ x_n - eps / 2 * (x_n @ x_n) - y_k @ p.s_k)
        penalty = eps / 2 * float(x_n @ x_n)
        gap = (upper - float(p.c_n @ x_n) + penalty) / self.n
        violation, mean_error = self._errors(p, x_n)
        if max(abs(gap), violation, mean_error) > TOLERANCE:
            outcome = "uncertified"
        duals_k = y_k[:-1] * self._c_scale / self._scale_k
        mean_dual = self._c_mean + float(duals_k @ self._mean_k) + self._c_scale * float(y_k[-1])
        weights_n = 1 + x_n
        objective = float(self._objective_n @ weights_n) - penalty * self._c_scale
        return Solution(outcome, weights_n, objective, duals_k, mean_dual, gap, violation, solver)


def as_printed(p_nk: np.ndarray, targets: list[int], floors_k: np.ndarray) -> Outcome:
    """What HiGHS says of Algorithm 1, line 4, as it stands, with w >= 0 alone: nearly always ``unbounded``."""
    p_nk = np.asarray(p_nk, dtype=np.float64)
    _check(p_nk, targets)
    scale_k = np.abs(p_nk).mean(axis=0)
    scale_k[scale_k == 0] = 1
    c_n = p_nk[:, sorted(set(targets))].sum(axis=1)
    answer = linprog(-c_n / (np.abs(c_n).mean() or 1.0), A_ub=-(p_nk / scale_k).T, b_ub=-np.asarray(floors_k) / scale_k)
    named: dict[int, Outcome] = {0: "optimal", 2: "infeasible", 3: "unbounded"}
    return named.get(answer.status, "uncertified")


def _check(p_nk: np.ndarray, targets: list[int]) -> None:
    if p_nk.ndim != 2 or not p_nk.size:
        raise InputError(f"influence vectors: expected an array of samples x classes; came shape {p_nk.shape}")
    if not np.isfinite(p_nk).all():
        raise InputError(f"influence vectors: expected finite values; came {np.argwhere(~np.isfinite(p_nk))[0]} not so")
    if not targets or not set(targets) <= set(range(p_nk.shape[1])):
        raise InputError(f"targets: expected one or more of 0 to {p_nk.shape[1] - 1}; came {targets}")
