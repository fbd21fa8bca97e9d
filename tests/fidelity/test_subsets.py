"""Subsets are of the size that they are named for, and differ."""

import pytest

from catwise.fidelity.subsets import random_halves, random_removals


@pytest.mark.parametrize(("draw", "size"), [(random_halves, 20), (random_removals, 37)])
def test_subsets_are_of_their_size_and_differ(draw, size, rng):
    kept_hn = draw(41, 10, rng)
    assert (kept_hn.sum(1) == size).all()
    assert len({kept_n.tobytes() for kept_n in kept_hn}) == 10
