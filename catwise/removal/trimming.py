"""Iterated trimming (Figure 5): remove what harms every class, refit, and repeat until nothing does."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Round", "Vectors", "trim", "trim_at_random"]


@dataclass(frozen=True)
class Round:
    """The state before a round, and what the round removes: rows ``kept`` of the training set, their vectors."""

    kept: np.ndarray
    vectors: np.ndarray
    removed: np.ndarray

    @property
    def left(self) -> np.ndarray:
        """The rows kept after the round."""
        return np.setdiff1d(self.kept, self.removed)


Vectors = Callable[
    [np.ndarray], np.ndarray
]  # rows that are kept -> their influence vectors (len(rows), k)


def trim(n: int, vectors: Vectors, max_rounds: int) -> list[Round]:
    """Removes the samples that harm every class (all P[i, k] < 0), refits, and repeats until there is none.

    ``vectors`` refits on the rows that it is given. The last round removes nothing, unless ``max_rounds`` came first.
    Source: Appendix B.1.
    """
    rounds = []
    kept = np.arange(n)
    for _ in range(max_rounds):
        p_nk = vectors(kept)
        harmful = (p_nk < 0).all(axis=1)
        rounds.append(Round(kept, p_nk, kept[harmful]))
        if not harmful.any():
            break
        kept = rounds[-1].left
    return rounds


def trim_at_random(n: int, counts: list[int], rng: np.random.Generator) -> list[np.ndarray]:
    """The control: the rows kept before each round when every round removes as many samples at random."""
    kept = [np.arange(n)]
    for count in counts:
        gone = rng.choice(len(kept[-1]), count, replace=False)
        kept.append(np.delete(kept[-1], gone))
    return kept
