"""Count whose labels the most beneficial and the most detrimental samples bear (Figure 8)."""

import numpy as np

__all__ = ["top_counts"]


def top_counts(p_nk: np.ndarray, y_n: np.ndarray, share: float) -> np.ndarray:
    """[beneficial, detrimental] x [own, other] x k: whose labels the top ``share`` of samples for class k bear."""
    count = max(1, round(share * len(p_nk)))
    order_nk = np.argsort(p_nk, axis=0, kind="stable")
    own = [
        (y_n[rows] == np.arange(p_nk.shape[1])).sum(axis=0)
        for rows in (order_nk[-count:], order_nk[:count])
    ]
    return np.array([[own_k, count - own_k] for own_k in own])
