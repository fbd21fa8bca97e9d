import itertools
import random
import sys

import numpy as np
import pytest

from catwise.core.errors import InputError
from catwise.reweighting.genetic_search import GeneticSearch, most_evaluations


def bowl(genes_cg):
    return -((genes_cg - 0.3) ** 2).sum(axis=1)


def searched(evaluate, genes, *, seed=0, generations=20, population=24, **options):
    """Search to the end; return the genes of every call, each population and its spread too."""
    search = GeneticSearch(genes, seed=seed, population=population, **options)
    calls, populations, spreads = [], [], []
    for generation in range(generations + 1):
        if generation:
            search.breed()
        unrated = search.unrated()
        calls.append(np.array(unrated).reshape(-1, genes))
        search.rate(evaluate(calls[-1]) if unrated else [])
        populations.append(search.population_cg.copy())
        spreads.append(search.spread())
    return search, calls, populations, spreads


def candidates(search):
    return np.array(list(search.ratings))


def test_same_seed_same_answer_and_another_seed_another():
    (one, *rest), (same, *again) = (searched(bowl, 4, seed=1) for _ in range(2))
    assert one.ratings == same.ratings
    assert rest[2] == again[2]
    np.testing.assert_array_equal(one.population_cg, same.population_cg)
    assert one.ratings.keys() != searched(bowl, 4, seed=2)[0].ratings.keys()


def test_leaves_the_global_random_state_alone_and_does_not_depend_on_it():
    np.random.seed(7)
    random.seed(7)
    before, before_python = np.random.get_state()[1].copy(), random.getstate()
    first, *_ = searched(bowl, 3, generations=3)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    assert random.getstate() == before_python
    random.seed(8)
    assert searched(bowl, 3, generations=3)[0].ratings == first.ratings


def test_budget_is_exact_and_no_candidate_is_bred_twice_where_there_are_many_genes():
    """With 400 genes some are always moved, and no child takes all from one parent: all differ."""
    search, calls, *_ = searched(lambda genes_cg: np.sin(1e6 * genes_cg.sum(axis=1)), 400)
    assert [len(call) for call in calls] == [24] + 20 * [18]
    np.testing.assert_array_equal(candidates(search), np.concatenate(calls))
    assert len(np.unique(candidates(search), axis=0)) == 384
    assert search.evaluations == most_evaluations(generations=20, population=24) == 384


@pytest.mark.parametrize("genes", [1, 2, 10])
def test_no_candidate_is_unrated_twice(genes):
    search, calls, *_ = searched(bowl, genes)
    seen = np.concatenate(calls)
    assert len(np.unique(seen, axis=0)) == len(seen) == search.evaluations <= 384


def test_best_never_falls_and_improves_on_the_first_population():
    search, _, _, spreads = searched(bowl, 10)
    best = [keys for keys, _, _ in spreads]
    assert best == sorted(best)
    assert best[-1][0] > best[0][0] / 4  # the squared distance has shrunk
    assert search.ratings[search.ranked()[0]].tolist() == best[-1]
    assert all(worst <= mean <= best for best, mean, worst in spreads)


def test_each_generation_is_a_quarter_each_of_elite_mutated_elite_random_and_children():
    _, _, populations, _ = searched(bowl, 6, generations=5)
    for before_cg, now_cg in itertools.pairwise(populations):
        elite_cg = before_cg[np.argsort(-bowl(before_cg))[:6]]
        kept_cg, mutated_cg, random_cg, children_cg = np.split(now_cg, 4)
        np.testing.assert_array_equal(kept_cg, elite_cg)
        assert 0 < (mutated_cg != elite_cg).mean() < 0.6
        assert not np.isin(random_cg, before_cg).any()
        assert all(np.isin(children_cg[:, g], elite_cg[:, g]).all() for g in range(6))
        assert now_cg.min() >= 0
        assert now_cg.max() <= 1


def test_mutation_has_its_rate_and_strength():
    _, _, populations, _ = searched(
        lambda genes_cg: -((genes_cg - 0.5) ** 2).sum(axis=1), 4000, generations=1
    )
    elite_cg, mutated_cg = np.split(populations[-1], 4)[:2]
    moved_cg = mutated_cg != elite_cg
    assert moved_cg.mean() == pytest.approx(0.25, abs=0.01)  # three standard errors
    # Those near the middle are clipped beyond the median only.
    middle_cg = moved_cg & (np.abs(elite_cg - 0.5) < 0.1)
    size = np.abs(mutated_cg - elite_cg)[middle_cg]
    assert np.median(size) == pytest.approx(0.25 * 0.6745, rel=0.1)


def test_keys_are_compared_in_order():
    """The first key has a plateau at 0, as the paper's fitness has; there the second decides."""

    def keys(genes_cg):
        plateau_c = np.minimum(0.8 - genes_cg[:, 0], 0)
        return np.stack([plateau_c, genes_cg[:, 0] + genes_cg[:, 1]], axis=1)

    search, *_ = searched(keys, 2)
    ranked = [tuple(search.ratings[genes]) for genes in search.ranked()]
    first, second = ranked[0]
    assert first == 0
    assert second > 1.7
    assert ranked == sorted(ranked, reverse=True)


def test_minus_infinity_everywhere_is_searched_by_the_second_key():
    def infeasible(genes_cg):
        return np.stack([np.full(len(genes_cg), -np.inf), genes_cg.min(axis=1)], axis=1)

    search, _, _, spreads = searched(infeasible, 3)
    (first_best, *_), (last_best, last_mean, _) = spreads[0], spreads[-1]
    assert last_best[1] > first_best[1]
    assert last_mean[0] == -np.inf
    search, *_ = searched(lambda genes_cg: np.full(len(genes_cg), -np.inf), 3)
    assert search.evaluations <= 384


def test_breeding_prints_nothing(capfd):
    searched(bowl, 3, generations=2)
    assert capfd.readouterr() == ("", "")


def test_without_pygad_one_line_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygad", None)
    search = GeneticSearch(1)
    search.rate(bowl(np.array(search.unrated())))
    says = r"pareto_lp_ga: expected the package pygad; got none; pip install '\.\[pipeline\]'"
    with pytest.raises(InputError, match=says):
        search.breed()


def test_bad_values_are_named():
    search = GeneticSearch(3)
    with pytest.raises(
        InputError, match=r"fitness: expected 24 values, none of them NaN; got \[nan"
    ):
        search.rate([float("nan")] * 24)
    with pytest.raises(InputError, match="fitness: expected 24 values"):
        search.rate([0.0] * 3)
    for population in (4, 10):
        with pytest.raises(InputError, match="population: expected a multiple of 4"):
            GeneticSearch(3, population=population)
