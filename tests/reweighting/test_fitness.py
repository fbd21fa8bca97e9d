import numpy as np
import pytest

from catwise.reweighting.fitness import fitness, printed_fitness, relative_change


def ordered(fitnesses):
    return sorted(range(len(fitnesses)), key=lambda c: tuple(fitnesses[c]))


def test_printed_fitness_is_the_papers_formula():
    def naive(change_k, targets):
        others = [k for k in range(len(change_k)) if k not in targets]
        on_targets = sum(-np.inf for k in targets if change_k[k] <= 0) / len(targets)
        return on_targets + sum(change_k[k] for k in others if change_k[k] < 0) / len(others)

    rng = np.random.default_rng(0)
    for change_k in [*rng.normal(size=(50, 4)), np.zeros(4), np.array([0.1, 0.0, -0.2, 0.3])]:
        assert printed_fitness(change_k, [0, 2]) == pytest.approx(
            naive(change_k, [0, 2]), rel=1e-12
        )
    assert printed_fitness(np.array([0.2, 0.1]), [0, 1]) == 0  # no others
    assert printed_fitness(np.array([0.2, 0.0]), [0, 1]) == -np.inf


def test_printed_fitness_comes_first_then_the_failure_then_the_targets_gain():
    changes = [
        [-0.2, 0.5, 0.0],  # a target fails by far
        [-0.1, 0.5, 0.0],  # by less
        [0.0, 0.1, 0.9],  # does not gain
        [0.0, 0.2, 0.0],  # the other target gains more
        [0.9, 0.9, -0.1],  # admissible, another class loses
        [0.1, 0.1, 0.0],  # none loses: nothing above it in the paper
        [0.1, 0.3, 0.5],  # a larger gain of the targets
    ]
    fitnesses = [fitness(np.array(change), [0, 1]) for change in changes]
    assert ordered(fitnesses) == list(range(7))
    assert np.isfinite(np.stack(fitnesses)[:, 1:]).all()


def test_relative_change_is_that_of_table_1_and_finite_from_zero():
    change = 100 * relative_change(np.array([0.699, 0.888, 0.0]), np.array([0.811, 0.881, 0.3]))
    np.testing.assert_allclose(change, [16.02, -0.79, 30], atol=0.005)
