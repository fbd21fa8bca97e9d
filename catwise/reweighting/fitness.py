"""Rate a candidate of the genetic search (Algorithm 1, lines 6 and 7)."""

import numpy as np

__all__ = ["fitness", "printed_fitness", "relative_change"]


def relative_change(before_k: np.ndarray, after_k: np.ndarray) -> np.ndarray:
    """(after - before) / before, Algorithm 1, line 6; where before is 0, after itself."""
    before_k, after_k = (
        np.asarray(before_k, dtype=np.float64),
        np.asarray(after_k, dtype=np.float64),
    )
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
    return np.array(
        [
            printed_fitness(change_k, targets),
            np.minimum(target_changes, 0).mean(),
            target_changes.mean(),
        ]
    )
