"""Only the training split is spoiled, and as much as was asked for."""

import numpy as np
import pytest

from catwise.core.errors import InputError
from catwise.data.dataset import HELD_OUT
from catwise.data.digits import digits
from catwise.data.raw import Raw
from catwise.data.splits import split_in_four
from catwise.data.spoil import Spoiling, flip_labels, long_tail_counts, spoil

DIGITS = {"validation_a": 300, "validation_b": 300, "test": 297}


def test_the_profile_is_exponential_and_ends_at_the_ratio():
    """5000 at 1/50: what the benchmarks call CIFAR-10-LT with an imbalance of 50."""
    count_k = long_tail_counts(np.full(10, 5000), 0.02)
    assert (count_k[0], count_k[-1]) == (5000, 100)
    exact_k = 5000 * 50.0 ** (-np.arange(10) / 9)
    assert ((exact_k - count_k > -1e-6) & (exact_k - count_k < 1)).all()


@pytest.mark.parametrize("ratio", [0.01, 0.07, 0.1, 0.3])
def test_rounding_takes_no_sample_from_the_rarest_class(ratio):
    assert long_tail_counts(np.full(7, 1000), ratio)[-1] == round(1000 * ratio)


def test_a_class_that_is_rare_already_keeps_what_it_has():
    assert long_tail_counts(np.array([100, 5, 100]), 0.25).tolist() == [100, 5, 25]


def test_no_imbalance_leaves_every_sample_and_the_draws_of_the_flips(rng):
    labels = np.arange(200) % 4
    spoiling = Spoiling(flip_share=0.3)
    rows, given, flipped = spoil(np.random.default_rng(3), labels, spoiling, 4)
    expected = flip_labels(np.random.default_rng(3), labels, spoiling, 4)
    np.testing.assert_array_equal(rows, np.arange(200))
    np.testing.assert_array_equal(given, expected[0])
    np.testing.assert_array_equal(flipped, expected[1])


def test_flips_to_the_next_class_change_the_same_samples_to_it(rng):
    labels = np.arange(700) % 7
    given, flipped = flip_labels(
        np.random.default_rng(0), labels, Spoiling(flip_share=0.2, flip_to="next"), 7
    )
    at_random = flip_labels(np.random.default_rng(0), labels, Spoiling(flip_share=0.2), 7)[1]
    np.testing.assert_array_equal(flipped, at_random)
    np.testing.assert_array_equal(given[flipped], (labels[flipped] + 1) % 7)
    np.testing.assert_array_equal(given[~flipped], labels[~flipped])


def both(spoiling):
    """Return digits and a set that comes in parts, with one sample in each class of the latter."""
    x = np.random.default_rng(1).integers(0, 256, (300, 1, 4, 4), dtype=np.uint8)
    y = np.arange(300) % 3
    raw = Raw(("a", "b", "c"), "none", "here", {"train": (x, y), "test": (255 - x, y)})
    sizes = {"train": "all", "validation_a": 30, "validation_b": 30, "test": "all"}
    return [
        digits(np.random.default_rng(0), DIGITS, spoiling),
        split_in_four(np.random.default_rng(0), raw, sizes, spoiling),
    ]


def test_held_out_splits_stay_as_they_are_and_a_sample_that_stays_keeps_its_content():
    spoiling = Spoiling(imbalance=0.2, flip_share=0.25, flip_to="next")
    for plain, spoiled in zip(both(Spoiling()), both(spoiling), strict=True):
        for split in HELD_OUT:
            np.testing.assert_array_equal(plain.x[split], spoiled.x[split])
            np.testing.assert_array_equal(plain.y[split], spoiled.y[split])
        known = {
            image.tobytes(): y for image, y in zip(plain.x["train"], plain.y["train"], strict=True)
        }
        true = [known[image.tobytes()] for image in spoiled.x["train"]]
        count_k = np.bincount(plain.y["train"])
        np.testing.assert_array_equal(np.bincount(true), long_tail_counts(count_k, 0.2))
        np.testing.assert_array_equal(spoiled.flipped, spoiled.y["train"] != true)
        assert spoiled.flipped.sum() == round(0.25 * len(true))


def test_a_class_with_fewer_samples_than_bins_is_one_line():
    with pytest.raises(
        InputError, match=r"^imbalance: expected at least 8 samples of every class.*got 1 of class"
    ):
        digits(np.random.default_rng(0), DIGITS, Spoiling(imbalance=0.02, fewest=8))
