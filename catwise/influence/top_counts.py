"""Count whose labels the most beneficial and the most detrimental samples bear (Figure 8)."""

import numpy as np

__all__ = ["top_counts"]


def top_counts(p_nk: np.ndarray, labels_n: np.ndarray, share: float) -> np.ndarray:
    """Count, for each class k, its own labels and other labels in the top ``share`` for class k.

    The axes of the result are [beneficial, detrimental], [own, other] and k: the samples of the
    largest P[:, k] are the most beneficial ones, those of the smallest the most detrimental ones.

    >>> p_nk = np.array([[2.0, -2.0], [1.0, -1.0], [-1.0, 1.0], [-2.0, 2.0]])
    >>> top_counts(p_nk, np.array([0, 1, 1, 1]), share=0.5).tolist()
    [[[1, 2], [1, 0]], [[0, 1], [2, 1]]]
    """
    count = max(1, round(share * len(p_nk)))
    order_nk = np.argsort(p_nk, axis=0, kind="stable")
    classes_k = np.arange(p_nk.shape[1])
    counts = []
    for top in (order_nk[-count:], order_nk[:count]):
        own_k = (labels_n[top] == classes_k).sum(axis=0)
        counts.append([own_k, count - own_k])
    return np.array(counts)
