import itertools

import numpy as np
import pytest

from catwise.core.errors import InputError
from catwise.reweighting.candidates import CandidateProgram, share_apart
from catwise.reweighting.fitness import fitness, relative_change
from catwise.reweighting.genetic_search import most_evaluations
from catwise.reweighting.pareto_lp_ga import pareto_lp_ga

BEFORE_K = np.full(3, 0.5)
SMALL = {"generations": 4, "population": 8, "seed": 0}


@pytest.fixture
def program(rng):
    p_nk = rng.normal(size=(200, 3))
    return CandidateProgram(p_nk - p_nk.mean(axis=0), [0], "beta", slack=0.2)


class FirstOrder:
    """Train as the first order predicts, and remember the weights of every call."""

    def __init__(self, program):
        self.program, self.calls = program, []

    def __call__(self, weights):
        self.calls.append(weights)
        return [0.5 + 1e-3 * ((w_n - 1) @ self.program.p_nk) for w_n in weights]


def test_a_generation_is_one_call_and_no_weights_are_trained_twice(program):
    train = FirstOrder(program)
    found = pareto_lp_ga(program, train, BEFORE_K, keep=3, **SMALL)
    trained = [w_n for call in train.calls for w_n in call]
    assert len(trained) == found.history[-1]["trained"]
    assert least_apart(trained) > 0
    assert len(train.calls) == 5
    assert [row["generation"] for row in found.history] == list(range(5))
    assert found.history[-1]["evaluations"] <= most_evaluations(4, 8)
    assert len(found.weights) == 3
    assert least_apart(found.weights) > 0


def least_apart(weights):
    return min(share_apart(one_n, other_n) for one_n, other_n in itertools.combinations(weights, 2))


def test_candidates_that_differ_by_less_than_asked_are_one_and_the_count_says_what_was_saved(
    program,
):
    apart = []
    for merge in (0.0, 0.02, 0.05):
        train = FirstOrder(program)
        last = pareto_lp_ga(program, train, BEFORE_K, merge=merge, **SMALL).history[-1]
        trained = [w_n for call in train.calls for w_n in call]
        apart.append(last["evaluations"] - last["trained"])
        assert len(trained) == last["trained"]
        assert least_apart(trained) > merge
    assert 0 <= apart[0] < apart[1] < apart[2]


def test_the_answer_is_the_fittest_candidate_with_the_thresholds_that_solve_to_it(program):
    train = FirstOrder(program)
    found = pareto_lp_ga(program, train, BEFORE_K, keep=3, **SMALL)

    def keys(w_n):
        return tuple(fitness(relative_change(BEFORE_K, FirstOrder(program)([w_n])[0]), [0]))

    everything = [w_n for call in train.calls for w_n in call]
    assert keys(found.weights[0]) == max(map(keys, everything))
    assert list(map(keys, found.weights)) == sorted(map(keys, found.weights), reverse=True)
    assert found.history[-1]["best_gain"] == keys(found.weights[0])[2]
    for w_n, alpha_k in zip(found.weights, found.thresholds, strict=True):
        np.testing.assert_allclose(program.solver()(np.array(alpha_k)), w_n, atol=1e-7)


def test_same_seed_same_answer(program):
    one, same = (pareto_lp_ga(program, FirstOrder(program), BEFORE_K, **SMALL) for _ in range(2))
    np.testing.assert_array_equal(one.weights[0], same.weights[0])
    assert one.history == same.history


def test_printed_thresholds_hardly_act_where_the_columns_sum_to_zero(program):
    """All candidates are one, and one epoch is trained for the whole search."""
    printed = CandidateProgram(program.p_nk, program.targets, "printed")
    found = pareto_lp_ga(printed, FirstOrder(printed), BEFORE_K, keep=3, **SMALL)
    assert found.history[-1]["trained"] == len(found.weights) == 1
    assert found.history[-1]["diversity"] == pytest.approx(0, abs=1e-6)


def test_what_training_raises_is_passed_on_and_nothing_is_printed(program, capfd):
    calls = []

    def fails(weights):
        calls.append(weights)
        if len(calls) == 3:
            raise InputError("training: expected a finite loss; got nan")
        return FirstOrder(program)(weights)

    with pytest.raises(InputError, match="expected a finite loss"):
        pareto_lp_ga(program, fails, BEFORE_K, **SMALL)
    assert capfd.readouterr() == ("", "")
