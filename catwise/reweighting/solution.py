"""Hold an answer of the linear program with its proof."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["TOLERANCE", "Outcome", "Solution", "Solver"]

# How large a gap may be, as a share of sum |c - mean c|, and how far a class may lie below its
# floor, as a share of its influence.
TOLERANCE = 1e-9

Solver = Literal["dual", "reference", "none"]
Outcome = Literal["optimal", "no_direction", "infeasible", "uncertified"]


@dataclass(frozen=True)
class Solution:
    """Hold an answer and its proof, in the units of P, so that P alone is needed to check it.

    outcome     ``optimal``: certified. ``no_direction``: every admissible w has the same
                objective; the weights are ones, or other admissible ones if ones fail a floor.
                ``infeasible``: certified that some floor must fail; the weights are those whose
                worst failure is least. ``uncertified``: the weights are the best known; ``gap``
                and ``violation`` say how good they are.
    weights_n   w, 0 <= w <= w_max, mean 1
    objective   c . w
    duals_k     y >= 0, one for each floor
    mean_dual   mu, the multiplier of sum(w) = n
    gap         (dual value - primal value) / sum |c - mean c|. Where the outcome is infeasible it
                is that of the program of least failure. Floors at the very frontier are lowered by
                up to the tolerance, and then it is that of the lowered program.
    violation   max_k (b_k - w . P[:, k])_+ / sum_i |P[i, k]|; where the outcome is infeasible, the
                least worst failure
    solver      ``dual``: the fast path. ``reference``: HiGHS on all samples. ``none``: there was
                nothing to solve.
    """

    outcome: Outcome
    weights_n: np.ndarray
    objective: float
    duals_k: np.ndarray
    mean_dual: float
    gap: float
    violation: float
    solver: Solver
