import numpy as np
import pytest
from scipy.stats import fisher_exact

from catwise.core.errors import InputError
from catwise.reweighting.targets import detrimental_epoch, fallen_classes, lowest_classes

# Table 1 of the paper: Course Correction's epochs 15 and 16, Direct Improvement's epoch 10.
EPOCH_10 = np.array([0.699, 0.888, 0.667, 0.647, 0.729, 0.755, 0.802, 0.849, 0.948, 0.817])
EPOCH_15 = np.array([0.876, 0.866, 0.651, 0.582, 0.729, 0.821, 0.859, 0.885, 0.909, 0.917])
EPOCH_16 = np.array([0.876, 0.868, 0.741, 0.678, 0.783, 0.785, 0.859, 0.837, 0.929, 0.864])


def test_lowest_classes_are_the_classes_of_lowest_accuracy():
    """The paper's epoch 10: it chose 0 and 2, yet 3 is the lowest."""
    assert lowest_classes(EPOCH_10, 2) == [2, 3]
    assert lowest_classes(EPOCH_10, 3) == [0, 2, 3]
    assert lowest_classes(np.array([0.5, 0.5, 0.5]), 1) == [0]
    with pytest.raises(InputError, match="targets: expected 1 to 10"):
        lowest_classes(EPOCH_10, 11)


def test_fallen_classes_are_the_papers_course_correction_targets():
    assert fallen_classes(EPOCH_15, EPOCH_16, np.full(10, 1000)) == [5, 7, 9]
    assert fallen_classes(EPOCH_15, EPOCH_16, np.full(10, 20)) == []
    assert fallen_classes(EPOCH_15, EPOCH_15, np.full(10, 10**6)) == []


def test_fallen_classes_are_those_of_fishers_exact_test(rng):
    counts_k = rng.integers(5, 60, 40)
    right_k, left_k = rng.integers(0, counts_k + 1), rng.integers(0, counts_k + 1)
    expected = [
        k
        for k, (m, a, b) in enumerate(zip(counts_k, right_k, left_k, strict=True))
        if fisher_exact([[a, m - a], [b, m - b]], alternative="greater").pvalue <= 0.05
    ]
    assert fallen_classes(right_k / counts_k, left_k / counts_k, counts_k) == expected
    assert 0 < len(expected) < 40


def test_a_fall_is_rarely_seen_where_there_is_none(rng):
    """Two independent epochs of the same accuracy: at most 5 % of the classes are named, here of
    10,000.
    """
    one, other = rng.binomial(200, 0.8, (2, 10_000)) / 200
    assert len(fallen_classes(one, other, np.full(10_000, 200))) < 0.05 * 10_000


def test_detrimental_epoch_is_the_one_before_the_largest_fall():
    history = np.stack([EPOCH_15 - 0.1, EPOCH_15, EPOCH_16, EPOCH_16])
    assert detrimental_epoch(history) == 1
    assert detrimental_epoch(np.array([[0.5, 0.5], [0.6, 0.4], [0.7, 0.1], [0.0, 0.9]])) == 2
    with pytest.raises(InputError, match="two epochs"):
        detrimental_epoch(history[:1])
