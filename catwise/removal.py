"""Removal experiments: iterated trimming (Figure 5) and the top share of each class (Figures 3 and 4)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

__all__ = ["Round", "TopShare", "random_rows", "rank_correlations", "top_rows", "trim", "trim_at_random"]


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


Vectors = Callable[[np.ndarray], np.ndarray]  # rows that are kept -> their influence vectors (len(rows), k)


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


@dataclass(frozen=True)
class TopShare:
    """Which rows are removed: the ``group`` (beneficial, detrimental or random) for the ``target`` class."""

    group: str
    target: int
    rows: np.ndarray


def top_rows(p_nk: np.ndarray, share: float) -> list[TopShare]:
    """For each class k the round(share n) samples with the largest and with the smallest P[:, k] (section 5.1)."""
    count = round(share * len(p_nk))
    order_nk = np.argsort(p_nk, axis=0, kind="stable")
    classes = range(p_nk.shape[1])
    return [TopShare("beneficial", k, np.sort(order_nk[-count:, k])) for k in classes] + [
        TopShare("detrimental", k, np.sort(order_nk[:count, k])) for k in classes
    ]


def random_rows(p_nk: np.ndarray, share: float, rng: np.random.Generator) -> list[TopShare]:
    """The control: as many samples at random, once per class so that it has as many points as the others."""
    count = round(share * len(p_nk))
    return [TopShare("random", k, np.sort(rng.choice(len(p_nk), count, replace=False))) for k in range(p_nk.shape[1])]


def rank_correlations(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Spearman's rho of predicted and actual change per group, over all pairs (target, class); mean over seeds.

    Removing rows R should raise the loss of class k, and lower its accuracy, by as much as sum_{i in R} P[i, k] is
    large; the signs are chosen so that +1 is a perfect prediction. Only ranks are compared: influence overstates sizes.
    """
    frame = pd.DataFrame(rows)
    found = {}
    for group, members in frame.groupby("group", sort=True):
        for measure, sign in (("accuracy", -1), ("loss", 1)):
            rhos = [
                spearmanr(sign * one["influence"], one[f"{measure}_change"]).statistic
                for _, one in members.groupby("seed")
            ]
            found[f"spearman_{measure}_{group}"] = float(np.mean(rhos))
    return found
