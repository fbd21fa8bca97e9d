import hashlib

import numpy as np
import pytest

from catwise import datasets
from catwise.errors import InputError

SYNTHETIC = {"train": 300, "validation_a": 40, "validation_b": 50, "test": 60}
DIGITS = {"validation_a": 300, "validation_b": 300, "test": 297}


@pytest.fixture(params=["linear", "nonlinear", "digits"])
def make(request):
    if request.param == "digits":
        return lambda seed: datasets.digits(np.random.default_rng(seed), DIGITS, 0.1)
    return lambda seed: getattr(datasets, request.param)(np.random.default_rng(seed), SYNTHETIC, [50, 20])


def rows(x):
    return {hashlib.sha256(sample.tobytes()).hexdigest() for sample in x}


def test_no_sample_is_in_two_splits(make):
    data = make(0)
    hashes = [rows(data.x[split]) for split in datasets.SPLITS]
    assert sum(map(len, hashes)) == len(set().union(*hashes))


def test_the_seed_alone_decides(make):
    one, same, other = make(0), make(0), make(1)
    for split in datasets.SPLITS:
        np.testing.assert_array_equal(one.x[split], same.x[split])
        np.testing.assert_array_equal(one.y[split], same.y[split])
    assert not np.array_equal(one.x["train"], other.x["train"])


def test_linear_has_the_papers_counts_and_a_line_that_separates_its_true_labels():
    data = datasets.linear(np.random.default_rng(0), SYNTHETIC, [50, 20])
    true = np.where(data.flipped, 1 - data.y["train"], data.y["train"])
    assert [int((data.flipped & (true == k)).sum()) for k in (0, 1)] == [50, 20]
    assert np.bincount(true).tolist() == [300, 300]
    np.testing.assert_array_equal(data.x["train"][:, 0] > 0, true == 1)
    for split in datasets.SPLITS[1:]:
        np.testing.assert_array_equal(data.x[split][:, 0] > 0, data.y[split] == 1)
        assert np.bincount(data.y[split]).tolist() == [SYNTHETIC[split]] * 2


def test_a_disc_is_uniform():
    """Half of the points of a uniform disc lie within radius / sqrt(2); 5 standard errors of that share."""
    x = datasets.linear(np.random.default_rng(0), {**SYNTHETIC, "test": 20000}, [0, 0]).x["test"][:20000]
    share = (np.hypot(x[:, 0] + 1.1, x[:, 1]) < np.sqrt(0.5)).mean()
    assert share == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(20000))


def test_the_radius_of_nonlinear_orange_depends_on_the_angle():
    x = datasets.nonlinear(np.random.default_rng(0), SYNTHETIC | {"test": 20000}, [0, 0]).x["test"][20000:] - [1.1, 0]
    radius, angle = np.hypot(*x.T), np.arctan2(x[:, 1], x[:, 0])
    left, right = radius[np.abs(angle) > 3].max(), radius[np.abs(angle) < 0.14].max()
    assert left == pytest.approx(1.8, abs=0.05)
    assert right == pytest.approx(0.2, abs=0.05)


def test_digits_splits_are_stratified_and_hold_every_image():
    data = datasets.digits(np.random.default_rng(0), DIGITS, 0.1)
    assert sum(len(data.y[split]) for split in datasets.SPLITS) == 1797
    for split in datasets.SPLITS[1:]:
        assert np.bincount(data.y[split]).min() >= 28
    assert data.x["train"].shape == (900, 1, 8, 8)
    assert data.x["train"].min() == 0
    assert data.x["train"].max() == 1


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_flips_change_exactly_the_stated_share_to_another_class(rng, share):
    labels = np.arange(1000) % 7
    given, flipped = datasets.flip_labels(rng, labels, share, 7)
    assert flipped.sum() == round(share * 1000)
    np.testing.assert_array_equal(given != labels, flipped)
    assert set(given) <= set(range(7))


def test_a_share_out_of_range_is_named(rng):
    with pytest.raises(InputError, match=r"flip_share: expected 0 <= share < 1; came 1"):
        datasets.flip_labels(rng, np.arange(4), 1.0, 2)
