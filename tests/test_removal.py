from itertools import pairwise

import numpy as np
import pytest

from catwise.removal import random_rows, rank_correlations, top_rows, trim, trim_at_random


def test_trimming_removes_what_harms_every_class_until_nothing_does(rng):
    p_nk = rng.normal(size=(50, 2))
    harmful = np.flatnonzero((p_nk < 0).all(1))
    rounds = trim(50, lambda kept: p_nk[kept], 10)
    assert len(rounds) == 2
    np.testing.assert_array_equal(rounds[0].removed, harmful)
    np.testing.assert_array_equal(rounds[0].left, rounds[1].kept)
    assert len(rounds[1].removed) == 0


def test_trimming_sees_the_refitted_vectors_and_stops_at_max_rounds():
    seen = []

    def vectors(kept):
        seen.append(kept)
        p_nk = np.ones((len(kept), 3))
        p_nk[0] = -1  # the first of those that are left, whoever it is
        return p_nk

    rounds = trim(10, vectors, 4)
    assert [int(step.removed[0]) for step in rounds] == [0, 1, 2, 3]
    assert [len(kept) for kept in seen] == [10, 9, 8, 7]


def test_the_random_control_removes_as_many(rng):
    states = trim_at_random(40, [5, 3, 1], rng)
    assert [len(kept) for kept in states] == [40, 35, 32, 31]
    for before, after in pairwise(states):
        assert set(after) < set(before)


@pytest.mark.parametrize("n", [20, 201])
def test_top_rows_are_the_extremes_of_their_column(rng, n):
    p_nk = rng.normal(size=(n, 3))
    for group in top_rows(p_nk, 0.1):
        inside, outside = p_nk[group.rows, group.target], np.delete(p_nk[:, group.target], group.rows)
        assert len(inside) == round(0.1 * n)
        if group.group == "beneficial":
            assert inside.min() > outside.max()
        else:
            assert inside.max() < outside.min()


def test_random_rows_are_as_many_and_differ_by_class(rng):
    groups = random_rows(rng.normal(size=(100, 3)), 0.1, rng)
    assert [len(set(group.rows)) for group in groups] == [10, 10, 10]
    assert len({tuple(group.rows) for group in groups}) == 3


def test_a_perfect_prediction_has_correlation_one():
    rows = [
        {
            "group": "beneficial",
            "seed": seed,
            "target": t,
            "class": k,
            "influence": t - k,
            "accuracy_change": -((t - k) ** 3),
            "loss_change": np.exp(t - k),
        }
        for seed in (0, 1)
        for t in range(4)
        for k in range(4)
    ]
    found = rank_correlations(rows)
    assert found == pytest.approx({"spearman_accuracy_beneficial": 1, "spearman_loss_beneficial": 1})
