"""The counts of Figure 8 are those of a loop over the ranked samples."""

import numpy as np

from catwise.influence.top_counts import top_counts


def test_top_counts_equal_those_of_a_loop(rng):
    p_nk, labels_n = rng.normal(size=(30, 3)), np.arange(30) % 3
    counts = top_counts(p_nk, labels_n, 0.2)
    for k in range(3):
        order = sorted(range(30), key=lambda i, k=k: p_nk[i, k])
        for group, rows in enumerate((order[-6:], order[:6])):
            own = sum(labels_n[i] == k for i in rows)
            assert counts[group, :, k].tolist() == [own, 6 - own]
