"""Check t* and y* by their certificate, by construction and by the dual program."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from catwise.ceiling import headroom as module
from catwise.ceiling.headroom import headroom
from catwise.core.errors import InputError
from tests.helpers import small


@pytest.mark.parametrize("k", [2, 4, 10])
def test_is_zero_exactly_at_a_constructed_ceiling_and_names_the_rates(rng, k):
    p_nk, y_k = small.ceiling_vectors(rng, k=k)
    room = headroom(p_nk)
    assert room.value == pytest.approx(0, abs=1e-9)
    rates = y_k * np.abs(p_nk).sum(0)  # the columns are scaled, so the rates are too
    np.testing.assert_allclose(room.exchange_k, rates / rates.sum(), atol=1e-7)


def test_is_positive_on_a_hyperplane_whose_normal_has_mixed_signs(rng):
    """Vectors on y = x lie on a hyperplane too, yet every class gains together: t* = 1."""
    first = rng.normal(size=200)
    assert headroom(np.stack([first, first], 1)).value == pytest.approx(1)
    normal = np.array([1.0, -0.5, 0.3])
    p_nk = rng.normal(size=(200, 3))
    p_nk -= np.outer(p_nk @ normal, normal) / (normal @ normal)
    assert headroom(p_nk).value > 0.1


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 40),
    k=st.integers(2, 6),
    scale=st.floats(1e-6, 1e6),
)
def test_primal_equals_dual_for_any_vectors(seed, n, k, scale):
    p_nk = scale * np.random.default_rng(seed).standard_t(2, size=(n, k))
    room = headroom(p_nk)
    scaled_nk = p_nk / np.abs(p_nk).sum(0)
    assert np.abs(room.direction_n).max() <= 1
    assert room.exchange_k.min() >= 0
    assert room.exchange_k.sum() == pytest.approx(1)
    primal, dual = (room.direction_n @ scaled_nk).min(), np.abs(scaled_nk @ room.exchange_k).sum()
    assert -1e-9 <= dual - primal <= 1e-9
    assert room.value == pytest.approx(primal, abs=1e-9)


def test_equals_the_dual_program_solved_by_itself(rng):
    """Minimise sum s subject to -s <= Pn y <= s, y in the simplex: other variables and rows."""
    p_nk = rng.normal(size=(50, 3)) + 0.3
    scaled_nk = p_nk / np.abs(p_nk).sum(0)
    eye = np.eye(50)
    dual = linprog(
        np.r_[np.ones(50), np.zeros(3)],
        A_ub=np.block([[-eye, scaled_nk], [-eye, -scaled_nk]]),
        b_ub=np.zeros(100),
        A_eq=np.r_[np.zeros(50), np.ones(3)][None],
        b_eq=[1],
    )
    assert headroom(p_nk).value == pytest.approx(dual.fun, abs=1e-10)


def test_scaling_a_class_changes_nothing(rng):
    p_nk = rng.normal(size=(80, 3)) + 0.2
    assert headroom(p_nk * [1, 100, 0.01]).value == pytest.approx(headroom(p_nk).value, abs=1e-10)


def test_bad_vectors_are_named(rng):
    p_nk = rng.normal(size=(20, 3))
    with pytest.raises(
        InputError, match="expected influence on every class; got zeros alone for class 1"
    ):
        headroom(p_nk * [1, 0, 1])
    p_nk[4, 2] = np.nan
    with pytest.raises(InputError, match="expected finite values; got nan for sample 4, class 2"):
        headroom(p_nk)


@pytest.mark.parametrize("k", [2, 10])
def test_many_samples_are_solved_over_the_few_that_matter_with_the_same_certificate(rng, k):
    """Solve at a ceiling, at a little room and at much: the gap is that of the whole program."""
    p_nk, _ = small.ceiling_vectors(rng, n=5000, k=k)
    for size in (0, 0.05, 0.5):
        raised = p_nk + size * rng.normal(size=(5000, 1))
        room = headroom(raised)
        scaled_nk = raised / np.abs(raised).sum(0)
        assert room.gap <= 1e-9
        assert np.abs(scaled_nk @ room.exchange_k).sum() - room.value == pytest.approx(
            room.gap, abs=1e-12
        )
        assert (room.direction_n @ scaled_nk).min() == pytest.approx(room.value, abs=1e-12)
        assert (room.value > 0) == (size > 0)


def test_heavy_tails_close_over_the_first_few_samples(rng, monkeypatch):
    """Rank by distance, and the many samples without influence are solved over in vain."""
    sizes = []
    solve = module._program

    def counted(scaled_nk, exchange_k, free):
        sizes.append(free)
        return solve(scaled_nk, exchange_k, free)

    monkeypatch.setattr(module, "_program", counted)
    p_nk = np.exp(2.5 * rng.normal(size=(20_000, 1))) * rng.normal(size=(20_000, 10))
    p_nk[::2] *= 1e-7
    p_nk[::5] = 0  # a sample without any influence has no direction
    assert headroom(p_nk).gap <= 1e-9
    assert sizes == [400]
