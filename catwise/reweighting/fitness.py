"""Rate a candidate of the genetic search (Algorithm 1, lines 6 and 7)."""

import numpy as np

__all__ = ["fitness", "printed_fitness", "relative_change"]


def relative_change(before_k: np.ndarray, after_k: np.ndarray) -> np.ndarray:
    """Compute (after - before) / before, Algorithm 1, line 6; where before is 0, after itself.

    >>> relative_change(np.array([0.8, 0.0]), np.array([0.6, 0.3])).round(6)
    array([-0.25,  0.3 ])
    """
    before_k = np.asarray(before_k, dtype=np.float64)
    after_k = np.asarray(after_k, dtype=np.float64)
    return (after_k - before_k) / np.where(before_k == 0, 1, before_k)


def printed_fitness(change_k: np.ndarray, targets: list[int]) -> float:
    """Compute the fitness of Algorithm 1, line 7.

    It is -inf if the change of some target is <= 0, else the mean over the other classes of
    min(change, 0). The paper's -inf times an indicator of 0 counts as 0, and so does the mean over
    no others.
    """
    target_k = np.isin(np.arange(len(change_k)), targets)
    if (change_k[target_k] <= 0).any():
        return -np.inf
    if target_k.all():
        return 0.0
    return float(np.minimum(change_k[~target_k], 0).mean())


def fitness(change_k: np.ndarray, targets: list[int]) -> np.ndarray:
    """Compute three keys that are compared in order: (3,), larger is better.

    They are the paper's fitness; by how far targets fail, the mean over the targets of min(change,
    0); and the mean change of the targets.

    Differs from the paper: its fitness is capped at 0, so it never rewards a larger gain of the
    targets, and it does not tell apart candidates of which some target fails.
    """
    change_k = np.asarray(change_k, dtype=np.float64)
    target_changes = change_k[sorted(set(targets))]
    failure, gain = np.minimum(target_changes, 0).mean(), target_changes.mean()
    return np.array([printed_fitness(change_k, targets), failure, gain])
