"""Turn the genes of a candidate into weights of the training samples, and describe such weights.

A gene per class, 0 to 1, sets the floor that the linear program of Algorithm 1, line 4, keeps for
the class.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from catwise.reweighting.linear_program import Program

__all__ = [
    "CandidateProgram",
    "Rule",
    "beta_floors",
    "diversity",
    "effective_samples",
    "printed_floors",
    "share_apart",
    "sweep_thresholds",
]

Rule = Literal["printed", "beta"]


def printed_floors(p_nk: np.ndarray, alpha_k: np.ndarray) -> np.ndarray:
    """Compute b_k = alpha_k sum_i P[i, k], the floors of Algorithm 1, line 4.

    Near an optimum the sums are close to 0, and they hardly act; in the middle of training they do.
    """
    return np.asarray(alpha_k, dtype=np.float64) * np.asarray(p_nk, dtype=np.float64).sum(axis=0)


def beta_floors(p_nk: np.ndarray, beta_k: np.ndarray) -> np.ndarray:
    """Compute the floors b_k of (w - 1) . P[:, k] >= -beta_k sum_i |P[i, k]|.

    A class may lose the share beta_k of its influence: 0 lets it lose nothing, and below 0 it must
    gain.

    Differs from the paper: ``printed_floors``, which hardly act near an optimum.
    """
    p_nk = np.asarray(p_nk, dtype=np.float64)
    return p_nk.sum(axis=0) - np.asarray(beta_k, dtype=np.float64) * np.abs(p_nk).sum(axis=0)


@dataclass(frozen=True)
class CandidateProgram:
    """State line 4 of Algorithm 1 for one P: what is maximised, and how genes become floors.

    p_nk       influence vectors                 targets    the classes whose gain is maximised
    rule       ``printed``: alpha = genes. ``beta``: beta = slack (1 - 2 genes), so that a gene of
               0 lets its class lose the share ``slack`` of its influence, 1/2 lets it keep what it
               has, and 1 demands as much gain
    trust      strength of the quadratic trust region; None for the linear program of the paper
    w_max      largest weight; their mean is 1

    Where the floors cannot all be kept, the weights are those whose worst failure is least.
    """

    p_nk: np.ndarray
    targets: list[int]
    rule: Rule
    slack: float = 0.1
    trust: float | None = None
    w_max: float = 2.0

    def floors(self, genes_k: np.ndarray) -> np.ndarray:
        """Compute the floor of each class."""
        genes_k = np.asarray(genes_k)
        if self.rule == "printed":
            return printed_floors(self.p_nk, genes_k)
        return beta_floors(self.p_nk, self.slack * (1 - 2 * genes_k))

    def solver(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the map from genes (k,) to weights (n,).

        It starts each solve from the last one's multipliers, so the order of the calls is a part
        of it.
        """
        program = Program(self.p_nk, self.targets, self.w_max)

        def solve(genes_k: np.ndarray) -> np.ndarray:
            floors_k = self.floors(genes_k)
            if self.trust is None:
                return program.solve(floors_k).weights_n
            return program.quadratic(floors_k, self.trust).weights_n

        return solve


def sweep_thresholds(program: CandidateProgram, points: int) -> list[tuple[float, np.ndarray]]:
    """Solve for pairs (gene, weights) as all thresholds move together, the gene from 0 to 1."""
    solve, classes = program.solver(), program.p_nk.shape[1]
    genes = np.linspace(0, 1, points).tolist()
    return [(gene, solve(np.full(classes, gene))) for gene in genes]


def effective_samples(weights_n: np.ndarray) -> float:
    """Compute (sum w)^2 / sum w^2.

    It is the number of equally weighted samples whose mean would be as noisy.

    >>> effective_samples(np.array([0.0, 0.0, 2.0, 2.0]))
    2.0
    """
    return float(weights_n.sum() ** 2 / (weights_n**2).sum())


def diversity(weights_cn: Sequence[np.ndarray] | np.ndarray) -> float:
    """Compute the share of the weight that two candidates do not have in common, on average.

    It is the mean over pairs of candidates of sum_i |w_i - w'_i| / (2 n), from 0 to 1.
    Sorted values w_(c), c = 0 ... C - 1, have the sum over pairs |w - w'| = sum_c (2 c - C + 1)
    w_(c).
    """
    count = len(weights_cn)
    if count < 2:
        return 0.0
    ranks_c = 2 * np.arange(count) - count + 1
    return float((ranks_c @ np.sort(weights_cn, axis=0)).mean() / (count * (count - 1)))


def share_apart(weights_n: np.ndarray, other_n: np.ndarray) -> float:
    """Compute sum_i |w_i - w'_i| / (2 n), the share of the weight that two do not have in common.

    Dropping one sample of n for another moves 1 / n.

    >>> share_apart(np.array([0.0, 1.0, 1.0, 2.0]), np.ones(4))
    0.25
    """
    return float(np.abs(weights_n - other_n).mean()) / 2
