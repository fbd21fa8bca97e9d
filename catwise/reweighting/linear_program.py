"""Which training weights help the target classes most while every class keeps its floor? Algorithm 1, line 4."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import linprog

from catwise.core.errors import InputError
from catwise.reweighting.dual_newton import (
    LOOSE,
    ROUNDED,
    TIGHT,
    Descent,
    Rows,
    descend,
    settle,
    smooth,
)

__all__ = [
    "TOLERANCE",
    "Outcome",
    "Program",
    "Rule",
    "Solution",
    "as_printed",
    "beta_floors",
    "candidate",
    "printed_floors",
]


TOLERANCE = 1e-9  # of the gap, as a share of sum |c - mean c|, and of each floor, as a share of the class's influence


NEGLIGIBLE = (
    1e-12  # a column whose deviation is below this share of its size is constant but for rounding
)


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


def printed_floors(p_nk: np.ndarray, alpha_k: np.ndarray) -> np.ndarray:
    """b_k = alpha_k sum_i P[i, k], Algorithm 1, line 4. Hardly acts: near an optimum the sums are close to 0."""
    return np.asarray(alpha_k, dtype=np.float64) * np.asarray(p_nk, dtype=np.float64).sum(axis=0)


def beta_floors(p_nk: np.ndarray, beta_k: np.ndarray) -> np.ndarray:
    """(w - 1) . P[:, k] >= -beta_k sum_i |P[i, k]|: a class may lose the share beta_k of its influence.

    Differs from the paper: ``printed_floors``. beta = 0 lets no class lose, beta < 0 makes every class gain.
    """
    p_nk = np.asarray(p_nk, dtype=np.float64)
    return p_nk.sum(axis=0) - np.asarray(beta_k, dtype=np.float64) * np.abs(p_nk).sum(axis=0)


class Program:
    """Algorithm 1, line 4, over many candidates: P, the targets and the box stay, only the floors b change.

        max_w sum_{k in targets} w . P[:, k]    subject to    w . P[:, k] >= b_k,  0 <= w <= w_max,  mean(w) = 1

    ``solve`` is the fast path: a dual smoothed by (eps/2) |w - 1|^2 has only K + 1 unknowns; Newton follows it from the
    last candidate's multipliers to an eps at which all but a few hundred samples are settled, and HiGHS finishes
    those (``dual.settle``). ``reference`` gives all samples to HiGHS. Both prove their answer on all n samples.

    Inside, x = w - 1, columns are centred (mean(w) = 1 makes that void) and divided by their mean absolute deviation,
    and so is c; so scaling a column of P that is no target, or all of P, changes no weight.

    Differs from the paper: there the box and mean(w) = 1 are missing, and the program is unbounded (``as_printed``).
    Without the mean the weights would hide a larger learning rate. ``w_max`` = inf is allowed: the mean bounds w by n.
    """

    def __init__(self, p_nk: np.ndarray, targets: list[int], w_max: float = 2.0) -> None:
        p_nk = np.asarray(p_nk, dtype=np.float64)
        _check(p_nk, targets)
        if not w_max >= 1:
            raise InputError(f"w_max: expected at least 1, or no weights have mean 1; got {w_max}")
        n, k = p_nk.shape
        self.w_max, self.n = float(min(w_max, n)), n
        self.solves = self.fallbacks = 0
        self._sum_k, self._mass_k = p_nk.sum(axis=0), np.abs(p_nk).sum(axis=0)
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
        targets = sorted(set(targets))
        self._objective_n = p_nk[:, targets].sum(axis=1)
        self._c_mean = float(self._objective_n.mean())
        self._c_n = self._objective_n - self._c_mean
        self._c_scale, size = (
            float(np.abs(self._c_n).mean()),
            float(np.abs(self._objective_n).mean()),
        )
        self.no_direction = self._c_scale <= NEGLIGIBLE * max(
            size, float(self._mass_k[targets].sum()) / n
        )
        if self.no_direction:
            self._c_n, self._c_scale = np.zeros(n), size or 1.0
        self._c_n = self._c_n / self._c_scale
        self._start_k: np.ndarray | None = None
        self._quadratic_k = np.zeros(k + 1)

    def solve(self, floors_k: np.ndarray) -> Solution:
        """The linear program by the fast path; ``fallbacks`` counts the times its proof failed and HiGHS took over."""
        self.solves += 1
        p = self._scaled(floors_k)
        if self.no_direction:
            return self._without_direction(p)
        found = self._smooth(p)
        if found.empty:
            return self._least_failure(p, "dual")
        solution = self._exact(p, found)
        if solution.outcome == "uncertified":
            solution = self._exact(p)
        if solution.outcome == "optimal":
            self._start_k = found.y_k
        self.fallbacks += solution.solver == "reference"
        return solution

    def reference(self, floors_k: np.ndarray) -> Solution:
        """The same linear program with every sample given to HiGHS: slow, and nothing to trust but HiGHS."""
        p = self._scaled(floors_k)
        return self._without_direction(p) if self.no_direction else self._exact(p)

    def quadratic(self, floors_k: np.ndarray, eps: float) -> Solution:
        """max c . w - (eps/2) s |w - 1|^2 under the same constraints, s = mean_i |c_i - mean c|: eps has no unit.

        Its dual is smooth in K + 1 multipliers, w = clip(1 + (c + P y - mu)/(eps s), 0, w_max). At eps = 1 and without
        binding floors the mean |w - 1| is about 1 before clipping; eps -> 0 is the linear program, eps -> inf the
        point nearest to w = 1 that keeps the floors. ``objective`` contains the penalty. Differs from the paper:
        the linear optimum is bang-bang, half of the samples are dropped and half counted double.
        """
        if not eps > 0 or not np.isfinite(eps):
            raise InputError(f"eps: expected a positive number; got {eps}")
        self.solves += 1
        p = self._scaled(floors_k)
        found = descend(p, self._quadratic_k, eps, TIGHT * self.n, 15)
        if found.empty or found.residual > TIGHT * self.n:
            found = smooth(p, None, max(1.0, eps), eps)
        if found.empty:
            return self._least_failure(p, "dual")
        self._quadratic_k = found.y_k
        outcome: Outcome = "no_direction" if self.no_direction else "optimal"
        return self._solution(p, found.x_n, found.y_k, outcome, "dual", eps)

    def _scaled(self, floors_k: np.ndarray) -> Rows:
        floors_k = np.asarray(floors_k, dtype=np.float64)
        if floors_k.shape != self._sum_k.shape or not np.isfinite(floors_k).all():
            raise InputError(
                f"floors: expected {len(self._sum_k)} finite values, one per class; got {floors_k}"
            )
        s_k = (floors_k - self._sum_k) / self._scale_k
        rounding_k = self._constant_k & (np.abs(s_k) <= TOLERANCE * self.n)
        s_k = np.append(np.where(rounding_k, 0, s_k), 0)
        return Rows(
            self._a_nk[: self.n],
            self._c_n,
            np.full(self.n, -1.0),
            np.full(self.n, self.w_max - 1),
            s_k,
        )

    def _smooth(self, p: Rows) -> Descent:
        """From the last candidate's multipliers; from scratch if there are none, or they lead nowhere."""
        if self._start_k is not None:
            found = smooth(p, self._start_k, 0.02 / self.w_max)
            if found.residual <= LOOSE * self.n:
                return found
        return smooth(p, None, 1 / self.w_max)

    def _exact(self, p: Rows, found: Descent | None = None) -> Solution:
        solver: Solver = "dual" if found else "reference"
        vertex = settle(p, found)
        return (
            self._solution(p, *vertex, "optimal", solver)
            if vertex
            else self._least_failure(p, solver)
        )

    def _without_direction(self, p: Rows) -> Solution:
        """Ones where they keep the floors, else the nearest weights that do; y = 0 is a dual solution."""
        none_k = np.zeros(len(p.s_k))
        if (p.s_k[:-1] * self._scale_k <= TOLERANCE * self._mass_k).all():
            return self._solution(p, np.zeros(self.n), none_k, "no_direction", "none")
        found = smooth(p, None, 1.0, 1.0)
        if found.empty:
            return self._least_failure(p, "dual")
        return self._solution(p, found.x_n, none_k, "no_direction", "dual")

    def _least_failure(self, p: Rows, solver: Solver) -> Solution:
        """min t >= 0 subject to w . P[:, k] >= b_k - t sum_i |P[i, k]|: Farkas' proof that t > 0 is in its duals.

        The failure is one more sample x_n = sqrt(n) t, a scale at which it is smoothed no more than the others.
        """
        n, root = self.n, self.n**0.5
        worst = float((p.s_k[:-1] * self._scale_k / self._mass_k).max())
        self._a_nk[n, :-1] = self._mass_k / self._scale_k / root
        most = root * 2 * (max(worst, 0.0) + TOLERANCE)  # never reached
        relaxed = Rows(
            self._a_nk,
            np.append(np.zeros(n), -root),
            np.append(p.lo_n, 0.0),
            np.append(p.hi_n, most),
            p.s_k,
        )
        vertex = settle(
            relaxed, smooth(relaxed, None, 1 / self.w_max) if solver == "dual" else None
        )
        if vertex is None:
            return self._solution(p, np.zeros(n), np.zeros(len(p.s_k)), "uncertified", solver)
        x_n, t, y_k = vertex[0][:n], float(vertex[0][n]) / root, vertex[1]
        if t > TOLERANCE:
            return self._infeasible(p, x_n, y_k, -relaxed.upper(y_k)[0] / n, solver)
        # Admissible but for rounding: the floors are lowered by less than the tolerance they are checked to, and
        # the gap is that of the lowered program, for at the frontier a floor's price has no bound.
        lowered_k = min(t + ROUNDED, TOLERANCE) * self._mass_k / self._scale_k
        lowered = p._replace(s_k=p.s_k - np.append(lowered_k, 0))
        vertex = settle(lowered)
        outcome: Outcome = "optimal" if vertex else "uncertified"
        x_n, y_k = vertex or (x_n, y_k)
        return replace(
            self._solution(lowered, x_n, y_k, outcome, "reference"),
            violation=self._errors(p, x_n)[0],
        )

    def _infeasible(
        self, p: Rows, x_n: np.ndarray, y_k: np.ndarray, at_least: float, solver: Solver
    ) -> Solution:
        violation, mean_error = self._errors(p, x_n)
        gap = violation - at_least
        proved = at_least > 0 and max(abs(gap), mean_error) <= TOLERANCE
        duals_k = y_k[:-1] / (self.n * self._scale_k)
        mean_dual = float(duals_k @ self._mean_k + y_k[-1] / self.n)
        outcome: Outcome = "infeasible" if proved else "uncertified"
        objective = float(self._objective_n @ (1 + x_n))
        return Solution(outcome, 1 + x_n, objective, duals_k, mean_dual, gap, violation, solver)

    def _errors(self, p: Rows, x_n: np.ndarray) -> tuple[float, float]:
        ax_k = x_n @ p.a_nk
        short_k = (p.s_k[:-1] - ax_k[:-1]) * self._scale_k / self._mass_k
        return max(float(short_k.max()), 0.0), abs(float(ax_k[-1])) / self.n

    def _solution(
        self,
        p: Rows,
        x_n: np.ndarray,
        y_k: np.ndarray,
        outcome: Outcome,
        solver: Solver,
        eps: float = 0.0,
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
        objective = float(self._objective_n @ (1 + x_n)) - penalty * self._c_scale
        return Solution(outcome, 1 + x_n, objective, duals_k, mean_dual, gap, violation, solver)


def as_printed(p_nk: np.ndarray, targets: list[int], floors_k: np.ndarray) -> Outcome:
    """What HiGHS says of Algorithm 1, line 4, as it stands, with w >= 0 alone: nearly always ``unbounded``."""
    p_nk = np.asarray(p_nk, dtype=np.float64)
    _check(p_nk, targets)
    scale_k = np.abs(p_nk).mean(axis=0)
    scale_k[scale_k == 0] = 1
    c_n = p_nk[:, sorted(set(targets))].sum(axis=1)
    answer = linprog(
        -c_n / (np.abs(c_n).mean() or 1.0),
        A_ub=-(p_nk / scale_k).T,
        b_ub=-np.asarray(floors_k) / scale_k,
    )
    named: dict[int, Outcome] = {0: "optimal", 2: "infeasible", 3: "unbounded"}
    return named.get(answer.status, "uncertified")


def _check(p_nk: np.ndarray, targets: list[int]) -> None:
    if p_nk.ndim != 2 or not p_nk.size:
        raise InputError(
            f"influence vectors: expected an array of samples x classes; got shape {p_nk.shape}"
        )
    if not np.isfinite(p_nk).all():
        raise InputError(
            f"influence vectors: expected finite values; got {np.argwhere(~np.isfinite(p_nk))[0]} not so"
        )
    if not targets or not set(targets) <= set(range(p_nk.shape[1])):
        raise InputError(
            f"targets: expected one or more of 0 to {p_nk.shape[1] - 1}; got {targets}"
        )


Rule = Literal["printed", "beta"]


def candidate(
    program: Program,
    p_nk: np.ndarray,
    genes_k: np.ndarray,
    *,
    rule: Rule,
    slack: float = 0.1,
    eps: float | None = None,
) -> Solution:
    """The weights of one candidate: Algorithm 1, line 4; with ``eps`` inside a quadratic trust region.

    ``printed``: alpha = genes. ``beta``: beta = slack (1 - 2 genes), so that a gene of 0 lets its class lose the share
    ``slack`` of its influence, 1/2 lets it keep what it has and 1 demands as much gain. Where the floors cannot all be
    kept, the weights are those whose worst failure is least.
    """
    genes_k = np.asarray(genes_k)
    floors_k = (
        printed_floors(p_nk, genes_k)
        if rule == "printed"
        else beta_floors(p_nk, slack * (1 - 2 * genes_k))
    )
    return program.solve(floors_k) if eps is None else program.quadratic(floors_k, eps)
