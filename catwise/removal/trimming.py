"""Trim a training set: remove what harms every class, refit, and repeat (Figure 5)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Round", "Vectors", "trim", "trim_at_random"]

Vectors = Callable[[np.ndarray], np.ndarray]  # rows to refit on -> their influence vectors, (n, k)


@dataclass(frozen=True)
class Round:
    """Hold the state before a round, and what the round removes.

    ``kept`` are rows of the training set, ``vectors`` their influence vectors, and ``removed``
    those of the rows that the round removes.
    """

    kept: np.ndarray
    vectors: np.ndarray
    removed: np.ndarray

    @property
    def left(self) -> np.ndarray:
        """Return the rows kept after the round."""
        return np.setdiff1d(self.kept, self.removed)


def trim(n: int, vectors: Vectors, max_rounds: int) -> list[Round]:
    """Remove the samples that harm every class (all P[i, k] < 0), refit, and repeat.

    ``vectors`` refits on the rows that it is given and returns their influence vectors. The last
    round removes nothing, unless ``max_rounds`` end the trimming before. Source: Appendix B.1.

    >>> p_nk = np.array([[1.0, 2.0], [-1.0, -2.0], [-1.0, 1.0]])
    >>> [step.removed.tolist() for step in trim(3, lambda kept: p_nk[kept], max_rounds=5)]
    [[1], []]
    """
    rounds: list[Round] = []
    kept = np.arange(n)
    while len(rounds) < max_rounds:
        p_nk = vectors(kept)
        harmful_n = (p_nk < 0).all(axis=1)
        rounds.append(Round(kept, p_nk, kept[harmful_n]))
        if not harmful_n.any():
            break
        kept = rounds[-1].left
    return rounds


def trim_at_random(n: int, counts: list[int], rng: np.random.Generator) -> list[np.ndarray]:
    """Return the rows kept before and after rounds that remove ``counts`` samples at random.

    This is the control of ``trim``, whose rounds remove as many.

    >>> [len(kept) for kept in trim_at_random(9, [2, 3], np.random.default_rng(0))]
    [9, 7, 4]
    """
    states = [np.arange(n)]
    for count in counts:
        positions = rng.choice(len(states[-1]), count, replace=False)
        states.append(np.delete(states[-1], positions))
    return states
