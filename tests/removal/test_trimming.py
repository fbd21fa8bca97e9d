"""Laws of trimming: what goes is what harms every class, and what is gone never returns."""

from itertools import pairwise

import numpy as np

from catwise.removal.trimming import trim, trim_at_random


def test_trimming_removes_what_harms_every_class_until_nothing_does(rng):
    p_nk = rng.normal(size=(50, 2))
    harmful = np.flatnonzero((p_nk < 0).all(1))
    rounds = trim(50, lambda kept: p_nk[kept], 10)
    assert len(rounds) == 2
    np.testing.assert_array_equal(rounds[0].removed, harmful)
    np.testing.assert_array_equal(rounds[0].left, rounds[1].kept)
    assert len(rounds[1].removed) == 0


def test_trimming_sees_the_refitted_vectors_and_stops_at_max_rounds():
    refits = []

    def vectors(kept):
        refits.append(kept)
        p_nk = np.ones((len(kept), 3))
        p_nk[0] = -1  # the first of the rows that are left
        return p_nk

    rounds = trim(10, vectors, 4)
    assert [int(step.removed[0]) for step in rounds] == [0, 1, 2, 3]
    assert [len(kept) for kept in refits] == [10, 9, 8, 7]


def test_a_round_never_keeps_what_it_or_an_earlier_one_removed(rng):
    rounds = trim(40, lambda kept: rng.normal(size=(len(kept), 2)), 6)
    removed = np.zeros(0, int)
    for step in rounds:
        assert not np.isin(step.kept, removed).any()
        removed = np.append(removed, step.removed)
        np.testing.assert_array_equal(np.sort(np.append(removed, step.left)), np.arange(40))


def test_the_random_control_removes_as_many(rng):
    states = trim_at_random(40, [5, 3, 1], rng)
    assert [len(kept) for kept in states] == [40, 35, 32, 31]
    for before, after in pairwise(states):
        assert set(after) < set(before)
