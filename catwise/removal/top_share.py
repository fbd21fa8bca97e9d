"""Removing the top share of each class (section 5.1, Figures 3, 4, 6, 7): what goes, what changes, what that proves."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Removal", "plan", "random_rows", "top_rows"]


@dataclass(frozen=True)
class Removal:
    """Which rows are removed: the ``group`` beneficial or detrimental for class ``target``, or random draw ``target``.

    The group none removes nothing: what the others are compared with.
    """

    group: str
    target: int
    rows: np.ndarray

    def kept(self, n: int) -> np.ndarray:
        """All other rows of a training set of ``n``."""
        return np.delete(np.arange(n), self.rows)


def top_rows(p_nk: np.ndarray, share: float) -> list[Removal]:
    """For each class k the round(share n) samples with the largest and with the smallest P[:, k]."""
    count = round(share * len(p_nk))
    order_nk = np.argsort(p_nk, axis=0, kind="stable")
    classes = range(p_nk.shape[1])
    return [
        Removal("beneficial", k, np.sort(order_nk[len(p_nk) - count :, k])) for k in classes
    ] + [Removal("detrimental", k, np.sort(order_nk[:count, k])) for k in classes]


def random_rows(n: int, share: float, count: int, rng: np.random.Generator) -> list[Removal]:
    """The control: as many samples at random, ``count`` times."""
    return [
        Removal("random", draw, np.sort(rng.choice(n, round(share * n), replace=False)))
        for draw in range(count)
    ]


def plan(p_nk: np.ndarray, share: float, controls: int, seeds: int) -> list[tuple[int, Removal]]:
    """What to train without: (seed of the training, removal), nothing first.

    The random draws are the same for every seed, as the influential rows are, so that a mean over seeds lessens the
    noise of training for both alike.
    """
    control = random_rows(len(p_nk), share, controls, np.random.default_rng(0))
    removals = [Removal("none", 0, np.arange(0)), *top_rows(p_nk, share), *control]
    return [(seed, removed) for seed in range(seeds) for removed in removals]
