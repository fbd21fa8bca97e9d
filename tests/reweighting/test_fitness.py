import numpy as np
import pytest
from scipy.stats import fisher_exact

from catwise.core.errors import InputError
from catwise.reweighting.controls import shuffled
from catwise.reweighting.fitness import fitness, printed_fitness, relative_change
from catwise.reweighting.linear_program import Program, candidate
from catwise.reweighting.targets import detrimental_epoch, dropped, lowest
from catwise.reweighting.weights import diversity, effective_samples, weights_key

# Table 1 of the paper: Course Correction's epochs 15 and 16, Direct Improvement's epoch 10.
EPOCH_10 = np.array([0.699, 0.888, 0.667, 0.647, 0.729, 0.755, 0.802, 0.849, 0.948, 0.817])
EPOCH_15 = np.array([0.876, 0.866, 0.651, 0.582, 0.729, 0.821, 0.859, 0.885, 0.909, 0.917])
EPOCH_16 = np.array([0.876, 0.868, 0.741, 0.678, 0.783, 0.785, 0.859, 0.837, 0.929, 0.864])


def vectors(rng, n=400, k=3):
    p_nk = rng.standard_t(3, size=(n, k))
    return p_nk - p_nk.mean(axis=0)


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


def test_lowest_names_the_classes_of_lowest_accuracy():
    """The paper's epoch 10: it chose 0 and 2, yet 3 is the lowest."""
    assert lowest(EPOCH_10, 2) == [2, 3]
    assert lowest(EPOCH_10, 3) == [0, 2, 3]
    assert lowest(np.array([0.5, 0.5, 0.5]), 1) == [0]
    with pytest.raises(InputError, match="targets: expected 1 to 10"):
        lowest(EPOCH_10, 11)


def test_dropped_names_the_papers_course_correction_targets():
    assert dropped(EPOCH_15, EPOCH_16, np.full(10, 1000)) == [5, 7, 9]
    assert dropped(EPOCH_15, EPOCH_16, np.full(10, 20)) == []
    assert dropped(EPOCH_15, EPOCH_15, np.full(10, 10**6)) == []


def test_dropped_is_fishers_exact_test(rng):
    counts_k = rng.integers(5, 60, 40)
    right_k, left_k = rng.integers(0, counts_k + 1), rng.integers(0, counts_k + 1)
    expected = [
        k
        for k, (m, a, b) in enumerate(zip(counts_k, right_k, left_k, strict=True))
        if fisher_exact([[a, m - a], [b, m - b]], alternative="greater").pvalue <= 0.05
    ]
    assert dropped(right_k / counts_k, left_k / counts_k, counts_k) == expected
    assert 0 < len(expected) < 40


def test_dropped_is_rarely_mistaken(rng):
    """Two independent epochs of the same accuracy: at most 5 % of the classes are named, here of 10,000."""
    one, other = rng.binomial(200, 0.8, (2, 10_000)) / 200
    assert len(dropped(one, other, np.full(10_000, 200))) < 0.05 * 10_000


def test_detrimental_epoch_is_the_one_before_the_largest_fall():
    history = np.stack([EPOCH_15 - 0.1, EPOCH_15, EPOCH_16, EPOCH_16])
    assert detrimental_epoch(history) == 1
    assert detrimental_epoch(np.array([[0.5, 0.5], [0.6, 0.4], [0.7, 0.1], [0.0, 0.9]])) == 2
    with pytest.raises(InputError, match="two epochs"):
        detrimental_epoch(history[:1])


@pytest.mark.parametrize("rule", ["printed", "beta"])
@pytest.mark.parametrize("eps", [None, 1.0])
def test_candidates_stay_in_the_box_with_mean_one(rng, rule, eps):
    p_nk = vectors(rng)
    program = Program(p_nk, [0])
    outcomes = set()
    for genes_k in [*rng.random((10, 3)), np.zeros(3), np.ones(3)]:
        solution = candidate(program, p_nk, genes_k, rule=rule, slack=1.0, eps=eps)
        outcomes.add(solution.outcome)
        assert solution.weights_n.min() >= 0
        assert solution.weights_n.max() <= 2
        assert solution.weights_n.mean() == pytest.approx(1, abs=1e-9)
    assert outcomes == ({"optimal"} if rule == "printed" else {"optimal", "infeasible"})


def test_a_beta_gene_of_a_half_lets_no_class_lose_and_more_makes_it_gain(rng):
    p_nk = vectors(rng)
    program, mass_k = Program(p_nk, [0]), np.abs(p_nk).sum(axis=0)
    for gene, least in [(0.5, 0.0), (1.0, 0.1)]:
        weights_n = candidate(program, p_nk, np.full(3, gene), rule="beta").weights_n
        assert (((weights_n - 1) @ p_nk) / mass_k).min() == pytest.approx(least, abs=1e-8)
    weights_n = candidate(program, p_nk, np.zeros(3), rule="beta", slack=0.01).weights_n
    assert (((weights_n - 1) @ p_nk) / mass_k).min() == pytest.approx(-0.01, abs=1e-8)


def test_printed_genes_hardly_act_and_beta_genes_do(rng):
    p_nk = vectors(rng)
    program, genes_ck = Program(p_nk, [0]), rng.random((6, 3))

    def spread(rule):
        return diversity(
            np.stack(
                [candidate(program, p_nk, genes_k, rule=rule).weights_n for genes_k in genes_ck]
            )
        )

    assert spread("printed") < 1e-6
    assert spread("beta") > 0.01


def test_shuffled_keeps_the_weights_and_within_labels_each_labels_own(rng):
    weights_n, labels_n = rng.random(300), rng.integers(0, 3, 300)
    mixed_n = shuffled(weights_n, rng)
    np.testing.assert_array_equal(np.sort(mixed_n), np.sort(weights_n))
    assert abs(np.corrcoef(mixed_n, weights_n)[0, 1]) < 0.2
    within_n = shuffled(weights_n, rng, labels_n)
    for label in range(3):
        np.testing.assert_array_equal(
            np.sort(within_n[labels_n == label]), np.sort(weights_n[labels_n == label])
        )
    assert (within_n != weights_n).mean() > 0.9


def test_effective_samples_of_equal_weights_are_all_and_of_bang_bang_half():
    assert effective_samples(np.full(10, 0.3)) == pytest.approx(10)
    assert effective_samples(np.repeat([0.0, 2.0], 5)) == pytest.approx(5)


def test_diversity_is_the_mean_share_over_pairs(rng):
    weights_cn = rng.random((7, 20))
    pairs = [np.abs(weights_cn[a] - weights_cn[b]).mean() / 2 for a in range(7) for b in range(a)]
    assert diversity(weights_cn) == pytest.approx(np.mean(pairs), rel=1e-12)
    assert diversity(np.stack([np.repeat([0, 2], 5), np.repeat([2, 0], 5)])) == 1
    assert diversity(weights_cn[:1]) == diversity(np.stack([weights_cn[0]] * 3)) == 0


def test_weights_key_repeats_with_the_weights(rng):
    weights_n = rng.random(50)
    assert weights_key(weights_n) == weights_key(weights_n.round(6) + 1e-9)
    assert weights_key(np.array([0.0, 2.0])) == weights_key(np.array([-1e-12, 2.0]))
    assert weights_key(weights_n) != weights_key(weights_n[::-1])
