"""Laws of the cross-fitted gains: exact without noise, never chosen on what they are judged by."""

import numpy as np
import pytest

from catwise.ceiling.gains import crossfitted_gains
from catwise.ceiling.joint_direction import joint_weights
from tests.helpers.small import binned_vectors

LABELS = np.arange(150) % 3
COUNTS = np.array([10, 20, 40])
MIXTURE = np.array([0.5, 0.3, 0.2])


def weigh(p_nk):
    return joint_weights(p_nk, LABELS)


def test_without_noise_they_are_those_of_the_weights_from_all_bins(rng):
    p_nkb = binned_vectors(rng, 0.5, noise=0)
    gains = crossfitted_gains(p_nkb, COUNTS, weigh, MIXTURE)
    p_nk = p_nkb.sum(axis=2)
    expected_k = (weigh(p_nk) - 1) @ p_nk / COUNTS
    np.testing.assert_allclose(gains.classes.value_k, expected_k, rtol=1e-9)
    np.testing.assert_allclose(gains.classes.error_k, 0, atol=1e-9)
    assert gains.classes.degrees == gains.mixture.degrees == p_nkb.shape[2] - 1
    np.testing.assert_allclose(gains.mixture.value_k, [expected_k @ MIXTURE], rtol=1e-9)
    assert gains.optimism == pytest.approx(0, abs=1e-9)


def test_they_are_the_mean_over_bins_of_weights_from_the_others(rng):
    p_nkb = binned_vectors(rng, 0.5, bins=3)
    gain_bk = [
        (weigh(p_nkb[:, :, others].sum(2)) - 1) @ p_nkb[:, :, b] * 3 / COUNTS
        for b, others in enumerate(([1, 2], [0, 2], [0, 1]))
    ]
    gains = crossfitted_gains(p_nkb, COUNTS, weigh, MIXTURE)
    np.testing.assert_allclose(gains.classes.value_k, np.mean(gain_bk, axis=0), rtol=1e-9)


def test_noise_alone_promises_nothing(rng):
    """What the bins that chose the weights promise is no gain on the others."""
    draws = []
    for _ in range(20):
        p_nkb = rng.normal(size=(150, 3, 8))
        p_nk = p_nkb.sum(axis=2)
        flattering_k = (weigh(p_nk) - 1) @ p_nk / COUNTS
        gains = crossfitted_gains(p_nkb, COUNTS, weigh, MIXTURE)
        draws.append(gains.classes.value_k / flattering_k)
        promised = gains.mixture.value_k[0] + gains.optimism
        assert promised == pytest.approx(flattering_k @ MIXTURE)
    assert np.mean(draws) == pytest.approx(0, abs=0.1)
