"""Choose the samples that section 5.1 removes: the top share of each class (Figures 3, 4, 6, 7)."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Removal", "plan", "random_rows", "top_rows"]


@dataclass(frozen=True)
class Removal:
    """Hold the rows that are removed together.

    group   beneficial or detrimental for the class with the number ``target``; random, where
            ``target`` is the number of the draw; or none, which removes nothing: the training with
            which the others are compared.
    rows    numbers of training samples, rising.
    """

    group: str
    target: int
    rows: np.ndarray

    def kept(self, n: int) -> np.ndarray:
        """Return all other rows of a training set of ``n``."""
        return np.delete(np.arange(n), self.rows)


def top_rows(p_nk: np.ndarray, share: float) -> list[Removal]:
    """Choose for each class k the round(share n) samples with the largest P[:, k] and the smallest.

    All beneficial removals come first, then all detrimental ones. Where influences are equal, the
    one whose row comes first counts as smaller.
    """
    count = round(share * len(p_nk))
    order_nk = np.argsort(p_nk, axis=0, kind="stable")
    ends = {"beneficial": order_nk[len(p_nk) - count :], "detrimental": order_nk[:count]}
    return [
        Removal(group, k, np.sort(rows_nk[:, k]))
        for group, rows_nk in ends.items()
        for k in range(p_nk.shape[1])
    ]


def random_rows(n: int, share: float, count: int, rng: np.random.Generator) -> list[Removal]:
    """Draw the control: as many samples as ``top_rows`` chooses, at random, ``count`` times."""
    return [
        Removal("random", draw, np.sort(rng.choice(n, round(share * n), replace=False)))
        for draw in range(count)
    ]


def plan(p_nk: np.ndarray, share: float, controls: int, seeds: int) -> list[tuple[int, Removal]]:
    """List the trainings to run, as (seed of the training, removal), first without any removal.

    The random draws are the same for every seed, as the influential rows are, so that a mean over
    seeds lessens the noise of training for both alike.
    """
    control = random_rows(len(p_nk), share, controls, np.random.default_rng(0))
    removals = [Removal("none", 0, np.arange(0)), *top_rows(p_nk, share), *control]
    return [(seed, removed) for seed in range(seeds) for removed in removals]
