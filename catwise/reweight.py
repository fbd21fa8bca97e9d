"""PARETO-LP-GA's arithmetic: which classes are the targets, which weights a candidate means, and how fit it is."""

import hashlib
from typing import Literal

import numpy as np
from scipy.stats import hypergeom

from catwise.errors import InputError
from catwise.program import Program, Solution, beta_floors, printed_floors

__all__ = [
    "Rule",
    "candidate",
    "detrimental_epoch",
    "diversity",
    "dropped",
    "effective_samples",
    "fitness",
    "lowest",
    "printed_fitness",
    "relative_change",
    "shuffled",
    "weights_key",
]

Rule = Literal["printed", "beta"]


def lowest(accuracy_k: np.ndarray, count: int) -> list[int]:
    """Direct Improvement's targets: the ``count`` classes of lowest accuracy at the epoch, in order of their number.

    Differs from the paper: it chose by eye, and of Table 1 classes 0 and 2, where 3 is the lowest.
    """
    if not 1 <= count <= len(accuracy_k):
        raise InputError(f"targets: expected 1 to {len(accuracy_k)} classes; came {count}")
    return sorted(np.argsort(accuracy_k, kind="stable")[:count].tolist())


def dropped(before_k: np.ndarray, after_k: np.ndarray, counts_k: np.ndarray, level: float = 0.05) -> list[int]:
    """Course Correction's targets: the classes whose accuracy fell significantly from one epoch to the next.

    Fisher's exact one-sided test of two proportions, class by class, ``counts_k`` samples each. The two epochs judge
    the same samples, which agree more than independent ones would, so the test errs on the side of no fall.
    """
    counts_k = np.asarray(counts_k)
    right_k, left_k = np.rint(before_k * counts_k), np.rint(after_k * counts_k)
    chance_k = hypergeom.sf(right_k - 1, 2 * counts_k, right_k + left_k, counts_k)
    return np.flatnonzero((left_k < right_k) & (chance_k <= level)).tolist()


def detrimental_epoch(accuracy_ek: np.ndarray) -> int:
    """The row e from which to e + 1 the classes that fall lose most accuracy in sum; the first of equals."""
    if len(accuracy_ek) < 2:
        raise InputError(f"history: expected two epochs or more; came {len(accuracy_ek)}")
    return int(np.maximum(-np.diff(accuracy_ek, axis=0), 0).sum(axis=1).argmax())


def candidate(
    program: Program, p_nk: np.ndarray, genes_k: np.ndarray, *, rule: Rule, slack: float = 0.1, eps: float | None = None
) -> Solution:
    """The weights of one candidate: Algorithm 1, line 4; with ``eps`` inside a quadratic trust region.

    ``printed``: alpha = genes. ``beta``: beta = slack (1 - 2 genes), so that a gene of 0 lets its class lose the share
    ``slack`` of its influence, 1/2 lets it keep what it has and 1 demands as much gain. Where the floors cannot all be
    kept, the weights are those whose worst failure is least.
    """
    genes_k = np.asarray(genes_k)
    floors_k = printed_floors(p_nk, genes_k) if rule == "printed" else beta_floors(p_nk, slack * (1 - 2 * genes_k))
    return program.solve(floors_k) if eps is None else program.quadratic(floors_k, eps)


def relative_change(before_k: np.ndarray, after_k: np.ndarray) -> np.ndarray:
    """(after - before) / before, Algorithm 1, line 6; where before is 0, after itself."""
    before_k, after_k = np.asarray(before_k, dtype=np.float64), np.asarray(after_k, dtype=np.float64)
    return (after_k - before_k) / np.where(before_k == 0, 1, before_k)


def printed_fitness(change_k: np.ndarray, targets: list[int]) -> float:
    """Algorithm 1, line 7: -inf if some target's change is <= 0, else the mean over the others of min(change, 0).

    The paper's -inf times an indicator of 0 counts as 0, and so does the mean over no others.
    """
    target_k = np.isin(np.arange(len(change_k)), targets)
    if (change_k[target_k] <= 0).any():
        return -np.inf
    return float(np.minimum(change_k[~target_k], 0).mean()) if not target_k.all() else 0.0


def fitness(change_k: np.ndarray, targets: list[int]) -> np.ndarray:
    """Three keys, compared in order: the paper's fitness; by how far targets fail; the targets' mean change.

    Differs from the paper: its fitness is capped at 0, never rewards a larger gain of the targets, and does not tell
    infeasible candidates apart. The second key is the mean over the targets of min(change, 0).
    """
    change_k = np.asarray(change_k, dtype=np.float64)
    target_changes = change_k[sorted(set(targets))]
    return np.array([printed_fitness(change_k, targets), np.minimum(target_changes, 0).mean(), target_changes.mean()])


def shuffled(weights_n: np.ndarray, rng: np.random.Generator, labels_n: np.ndarray | None = None) -> np.ndarray:
    """The control: the same weights on other samples, at random; within each label where ``labels_n`` is given.

    Over all samples it undoes what the weights do by sample and by class; within labels it leaves the latter.
    """
    if labels_n is None:
        return rng.permutation(weights_n)
    mixed_n = np.empty_like(weights_n)
    for label in np.unique(labels_n):
        mixed_n[labels_n == label] = rng.permutation(weights_n[labels_n == label])
    return mixed_n


def effective_samples(weights_n: np.ndarray) -> float:
    """(sum w)^2 / sum w^2: the number of equally weighted samples whose mean would be as noisy."""
    return float(weights_n.sum() ** 2 / (weights_n**2).sum())


def diversity(weights_cn: np.ndarray) -> float:
    """Mean over pairs of candidates of sum_i |w_i - w'_i| / (2 n): the share of the weight that is not common.

    Of sorted values, sum over pairs |w - w'| = sum_c (2 c - C + 1) w_(c), c = 0 ... C - 1.
    """
    count = len(weights_cn)
    if count < 2:
        return 0.0
    ranks_c = 2 * np.arange(count) - count + 1
    return float((ranks_c @ np.sort(weights_cn, axis=0)).mean() / (count * (count - 1)))


def weights_key(weights_n: np.ndarray) -> str:
    """Equal for weights that agree to six decimals: a training epoch that need not be run again."""
    return hashlib.sha256((np.round(weights_n, 6) + 0.0).tobytes()).hexdigest()
