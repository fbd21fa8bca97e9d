"""Check the paper's rule, and show where it errs."""

import numpy as np
import pytest

from catwise.ceiling.headroom import headroom
from catwise.ceiling.pca_rule import first_component_ratio, uncentred_spectrum
from catwise.core.errors import InputError
from tests.helpers import small


def test_the_ratio_is_that_of_the_covariance(rng):
    p_nk = rng.normal(size=(100, 4)) @ rng.normal(size=(4, 4)) + 3
    eigenvalues = np.linalg.eigvalsh(np.cov(p_nk.T))
    expected = eigenvalues[-1] / eigenvalues.sum()
    assert first_component_ratio(p_nk) == pytest.approx(expected)


def test_the_papers_rule_calls_a_ceiling_room_and_room_a_ceiling(rng):
    first = rng.normal(size=500)
    on_the_line = np.stack([first, -first], 1)
    assert first_component_ratio(on_the_line) == pytest.approx(1)
    assert headroom(on_the_line).value == pytest.approx(0, abs=1e-9)
    isotropic = rng.normal(size=(5000, 10))
    assert first_component_ratio(isotropic) < 0.2
    assert headroom(isotropic).value > 0.2


def test_spectrum_has_a_zero_exactly_on_a_hyperplane_through_the_origin(rng):
    p_nk, _ = small.ceiling_vectors(rng)
    shares = uncentred_spectrum(p_nk)
    assert shares.sum() == pytest.approx(1)
    assert (np.diff(shares) <= 0).all()
    assert shares[-1] < 1e-20
    assert uncentred_spectrum(1 + p_nk)[-1] > 1e-3


def test_vectors_that_have_no_spectrum_are_named():
    for value in (0.0, 0.1, np.float32(0.1)):  # the mean of tenths is rounded
        with pytest.raises(InputError, match="expected vectors that differ; got one vector"):
            first_component_ratio(np.full((50, 2), value))
    with pytest.raises(InputError, match="not all zero; got zeros"):
        uncentred_spectrum(np.zeros((5, 2)))
    for measure in (first_component_ratio, uncentred_spectrum):
        with pytest.raises(InputError, match="finite values; got nan for sample 1, class 0"):
            measure(np.array([[1.0, 2.0], [np.nan, 1.0]]))
