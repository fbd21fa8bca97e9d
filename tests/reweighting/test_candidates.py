import numpy as np
import pytest

from catwise.reweighting.candidates import (
    CandidateProgram,
    diversity,
    effective_samples,
    share_apart,
    sweep_thresholds,
)
from catwise.reweighting.table1 import tradeoff_row


@pytest.fixture
def p_nk(rng):
    p_nk = rng.standard_t(3, size=(400, 3))
    return p_nk - p_nk.mean(axis=0)


def solved(p_nk, genes_ck, rule, **options):
    solve = CandidateProgram(p_nk, [0], rule, **options).solver()
    return np.stack([solve(genes_k) for genes_k in genes_ck])


@pytest.mark.parametrize("rule", ["printed", "beta"])
@pytest.mark.parametrize("trust", [None, 1.0])
def test_candidates_stay_in_the_box_with_mean_one(rng, p_nk, rule, trust):
    genes_ck = [*rng.random((10, 3)), np.zeros(3), np.ones(3)]
    weights_cn = solved(p_nk, genes_ck, rule, slack=1.0, trust=trust)
    assert weights_cn.min() >= 0
    assert weights_cn.max() <= 2
    np.testing.assert_allclose(weights_cn.mean(axis=1), 1, atol=1e-9)


def test_a_beta_gene_of_a_half_lets_no_class_lose_and_more_makes_it_gain(p_nk):
    mass_k = np.abs(p_nk).sum(axis=0)
    for gene, slack, least in [(0.5, 0.1, 0.0), (1.0, 0.1, 0.1), (0.0, 0.01, -0.01)]:
        (weights_n,) = solved(p_nk, [np.full(3, gene)], "beta", slack=slack)
        assert (((weights_n - 1) @ p_nk) / mass_k).min() == pytest.approx(least, abs=1e-8)


def test_printed_genes_hardly_act_and_beta_genes_do(rng, p_nk):
    genes_ck = rng.random((6, 3))
    assert diversity(solved(p_nk, genes_ck, "printed")) < 1e-6
    assert diversity(solved(p_nk, genes_ck, "beta")) > 0.01


def test_thresholds_trade_the_targets_gain_for_the_others(p_nk):
    swept = sweep_thresholds(CandidateProgram(p_nk, [0], "beta", slack=0.2), 5)
    assert [gene for gene, _ in swept] == [0, 0.25, 0.5, 0.75, 1]
    gains = [(w_n - 1) @ p_nk for _, w_n in swept]
    worst = [gain_k[1:].min() for gain_k in gains]
    assert worst == sorted(worst)
    assert [gain_k[0] for gain_k in gains] == sorted((gain_k[0] for gain_k in gains), reverse=True)
    row = tradeoff_row(np.stack([gains[0], gains[0]]), [0])
    assert tuple(row.values()) == pytest.approx((gains[0][0], worst[0]))


def test_effective_samples_of_equal_weights_are_all_and_of_bang_bang_half():
    assert effective_samples(np.full(10, 0.3)) == pytest.approx(10)
    assert effective_samples(np.repeat([0.0, 2.0], 5)) == pytest.approx(5)


def test_diversity_is_the_mean_share_over_pairs(rng):
    weights_cn = rng.random((7, 20))
    pairs = [share_apart(weights_cn[a], weights_cn[b]) for a in range(7) for b in range(a)]
    assert diversity(weights_cn) == pytest.approx(np.mean(pairs), rel=1e-12)
    moved_n = np.ones(7)
    moved_n[:2] = 0, 2  # one sample of seven is dropped for another
    assert share_apart(moved_n, np.ones(7)) == pytest.approx(1 / 7)
    assert diversity(np.stack([np.repeat([0, 2], 5), np.repeat([2, 0], 5)])) == 1
    assert diversity(weights_cn[:1]) == diversity(np.stack([weights_cn[0]] * 3)) == 0
