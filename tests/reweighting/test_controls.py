import numpy as np
import pytest

from catwise.core.errors import InputError
from catwise.reweighting.controls import kept_weights, shuffle_weights


def test_shuffled_weights_are_the_same_and_within_labels_each_label_keeps_its_own(rng):
    weights_n, labels_n = rng.random(300), rng.integers(0, 3, 300)
    shuffled_n = shuffle_weights(weights_n, rng)
    np.testing.assert_array_equal(np.sort(shuffled_n), np.sort(weights_n))
    assert abs(np.corrcoef(shuffled_n, weights_n)[0, 1]) < 0.2
    within_n = shuffle_weights(weights_n, rng, labels_n)
    for label in range(3):
        np.testing.assert_array_equal(
            np.sort(within_n[labels_n == label]), np.sort(weights_n[labels_n == label])
        )
    assert (within_n != weights_n).mean() > 0.9


def test_the_weight_of_what_is_left_out_goes_to_the_others():
    weights_n = kept_weights(np.array([False, True, True, True]))
    assert weights_n.tolist() == pytest.approx([0, 4 / 3, 4 / 3, 4 / 3])
    with pytest.raises(InputError, match="kept samples: expected some; got none"):
        kept_weights(np.zeros(3, bool))
