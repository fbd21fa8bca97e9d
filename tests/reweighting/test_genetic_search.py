import itertools
import json
import random

import numpy as np
import pytest

from catwise.core.errors import InputError
from catwise.reweighting.genetic_search import Search, search


class Bowl:
    """Fitness -|genes - 0.3|^2; remembers every call."""

    def __init__(self):
        self.calls = []

    def __call__(self, genes_cg):
        self.calls.append(genes_cg.copy())
        return -((genes_cg - 0.3) ** 2).sum(axis=1)

    @property
    def seen(self):
        return np.concatenate(self.calls)


def assert_same(one, other):
    for name in ("population_cg", "genes_cg", "fitness_cf"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.history == other.history
    assert one.rng == other.rng


def test_same_seed_same_answer_and_another_seed_another():
    assert_same(search(Bowl(), 4, seed=1), search(Bowl(), 4, seed=1))
    assert not np.array_equal(
        search(Bowl(), 4, seed=1).genes_cg, search(Bowl(), 4, seed=2).genes_cg
    )


def test_leaves_the_global_random_state_alone_and_does_not_depend_on_it():
    np.random.seed(7)
    random.seed(7)
    before, before_python = np.random.get_state()[1].copy(), random.getstate()
    first = search(Bowl(), 3, seed=0, generations=3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    assert random.getstate() == before_python
    random.seed(8)
    assert_same(first, search(Bowl(), 3, seed=0, generations=3))


def test_budget_is_exact_one_call_a_generation_and_no_candidate_twice():
    """Of 400 genes some are always moved, and no child takes all from one parent: all 384 candidates differ."""
    calls = []

    def rugged(genes_cg):
        calls.append(genes_cg.copy())
        return np.sin(1e6 * genes_cg.sum(axis=1))

    found = search(rugged, 400, seed=0)
    assert (
        [len(call) for call in calls]
        == [row.evaluations for row in found.history]
        == [24] + 20 * [18]
    )
    np.testing.assert_array_equal(found.genes_cg, np.concatenate(calls))
    assert len(np.unique(found.genes_cg, axis=0)) == 384


@pytest.mark.parametrize("genes", [1, 2, 10])
def test_no_candidate_is_evaluated_twice(genes):
    bowl = Bowl()
    search(bowl, genes, seed=0)
    assert len(np.unique(bowl.seen, axis=0)) == len(bowl.seen) <= 384


def test_best_never_falls_and_improves_on_the_first_population():
    found = search(Bowl(), 10, seed=0)
    best = [row.best for row in found.history]
    assert best == sorted(best)
    assert best[-1][0] > best[0][0] / 4  # the squared distance has shrunk
    assert found.fitness_cf[found.order[0]].tolist() == best[-1]
    assert all(row.worst <= row.mean <= row.best for row in found.history)


def test_each_generation_is_a_quarter_each_of_elite_mutated_elite_random_and_children():
    states = []
    search(Bowl(), 6, seed=0, generations=5, after=states.append)
    for before, now in itertools.pairwise(states):
        fitness_c = -((before.population_cg - 0.3) ** 2).sum(axis=1)
        elite_cg = before.population_cg[np.argsort(-fitness_c)[:6]]
        kept_cg, mutated_cg, random_cg, children_cg = np.split(now.population_cg, 4)
        np.testing.assert_array_equal(kept_cg, elite_cg)
        assert 0 < (mutated_cg != elite_cg).mean() < 0.6
        assert not np.isin(random_cg, before.population_cg).any()
        assert all(np.isin(children_cg[:, g], elite_cg[:, g]).all() for g in range(6))
        assert now.population_cg.min() >= 0
        assert now.population_cg.max() <= 1


def test_mutation_has_its_rate_and_strength():
    states = []
    search(
        lambda genes: -((genes - 0.5) ** 2).sum(1), 4000, seed=0, generations=1, after=states.append
    )
    elite_cg, mutated_cg = np.split(states[-1].population_cg, 4)[:2]
    moved = mutated_cg != elite_cg
    assert moved.mean() == pytest.approx(0.25, abs=0.01)  # three standard errors
    size = np.abs(mutated_cg - elite_cg)[
        moved & (np.abs(elite_cg - 0.5) < 0.1)
    ]  # clipped beyond the median only
    assert np.median(size) == pytest.approx(0.25 * 0.6745, rel=0.1)


def stored(state):
    """What a scratch file keeps: arrays and JSON."""
    rng = json.loads(json.dumps(state.rng))
    return Search(
        state.population_cg.copy(),
        state.genes_cg.copy(),
        state.fitness_cf.copy(),
        list(state.history),
        rng,
    )


@pytest.mark.parametrize("stop", [0, 1, 7, 20])
def test_resumed_equals_uninterrupted(stop):
    whole = search(Bowl(), 5, seed=3)
    states = []
    search(Bowl(), 5, seed=3, after=lambda state: states.append(stored(state)))
    assert len(states) == 21
    bowl = Bowl()
    resumed = search(bowl, 5, seed=99, start=states[stop])
    assert_same(resumed, whole)
    assert sum(map(len, bowl.calls)) == len(whole.genes_cg) - len(states[stop].genes_cg)


def test_stopped_in_the_middle_of_a_generation_and_resumed_equals_uninterrupted():
    states, bowl = [], Bowl()

    def interrupted(genes_cg):
        if len(bowl.calls) == 6:
            raise KeyboardInterrupt
        return bowl(genes_cg)

    with pytest.raises(KeyboardInterrupt):
        search(interrupted, 5, seed=3, after=states.append)
    assert_same(search(Bowl(), 5, seed=3, start=states[-1]), search(Bowl(), 5, seed=3))


def test_keys_are_compared_in_order():
    """First key: a plateau at 0 that the paper's fitness has too; the second decides there, and only there."""

    def keys(genes_cg):
        plateau = np.minimum(0.8 - genes_cg[:, 0], 0)
        return np.stack([plateau, genes_cg[:, 0] + genes_cg[:, 1]], axis=1)

    found = search(keys, 2, seed=0)
    first, second = found.fitness_cf[found.order[0]]
    assert first == 0
    assert second > 1.7
    ordered = list(map(tuple, found.fitness_cf[found.order]))
    assert ordered == sorted(ordered, reverse=True)


def test_minus_infinity_everywhere_is_searched_by_the_second_key():
    def infeasible(genes_cg):
        return np.stack([np.full(len(genes_cg), -np.inf), genes_cg.min(axis=1)], axis=1)

    found = search(infeasible, 3, seed=0)
    assert found.history[-1].best[1] > found.history[0].best[1]
    assert found.history[-1].mean[0] == -np.inf
    assert len(search(lambda genes: np.full(len(genes), -np.inf), 3, seed=0).genes_cg) <= 384


def test_what_evaluate_raises_is_passed_on_and_nothing_is_printed(capfd):
    calls = []

    def fails(genes_cg):
        calls.append(genes_cg)
        if len(calls) == 3:
            raise InputError("training: expected a finite loss; got nan")
        return genes_cg.sum(axis=1)

    with pytest.raises(InputError, match="expected a finite loss"):
        search(fails, 3, seed=0)
    assert capfd.readouterr() == ("", "")


def test_bad_values_are_named():
    with pytest.raises(
        InputError, match=r"fitness: expected 24 values, none of them NaN; got \[nan"
    ):
        search(lambda genes: np.full(len(genes), np.nan), 3, seed=0)
    with pytest.raises(InputError, match="fitness: expected 24 values"):
        search(lambda genes: np.zeros(3), 3, seed=0)
    for population in (4, 10):
        with pytest.raises(InputError, match="population: expected a multiple of 4"):
            search(Bowl(), 3, seed=0, population=population)
