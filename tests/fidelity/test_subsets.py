"""Subsets are of the size that they are named for, and differ."""

import numpy as np
import pytest

from catwise.fidelity.subsets import halves_of_labels, random_halves, random_removals


@pytest.mark.parametrize(("draw", "size"), [(random_halves, 20), (random_removals, 37)])
def test_subsets_are_of_their_size_and_differ(draw, size, rng):
    kept_hn = draw(41, 10, rng)
    assert (kept_hn.sum(1) == size).all()
    assert len({kept_n.tobytes() for kept_n in kept_hn}) == 10


def test_halves_of_labels_have_half_of_each_and_differ(rng):
    labels_n = rng.permutation(np.repeat([0, 1, 2], [7, 20, 14]))
    kept_hn = halves_of_labels(labels_n, 10, rng)
    counts_hk = np.array([np.bincount(labels_n[kept_n]) for kept_n in kept_hn])
    assert (counts_hk == counts_hk[0]).all()
    assert np.abs(counts_hk[0] - np.array([3.5, 10, 7])).max() < 1
    assert len({kept_n.tobytes() for kept_n in kept_hn}) == 10
