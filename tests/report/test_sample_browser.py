"""The page shows single samples: the extremes first, pixels unchanged, never too many."""

import numpy as np
import pytest

from catwise.pipeline.records import Predicted
from catwise.report import sample_browser
from catwise.report.sample_browser import Samples, samples_of
from tests.helpers.reports import write_results


def random_samples(n: int, **shown) -> Samples:
    p_nk = np.random.default_rng(0).normal(size=(n, 3))
    return Samples(p_nk, np.arange(n) % 3, np.arange(n) % 5 == 0, ("a", "b", "c"), **shown)


def test_all_of_a_few_samples_are_shown():
    assert sample_browser.rows_shown(random_samples(50)).tolist() == list(range(50))


@pytest.mark.parametrize("shown", [{}, {"images": np.zeros((5000, 3, 32, 32), np.uint8)}])
def test_of_many_the_extremes_are_among_those_shown_and_no_sample_twice(shown):
    samples = random_samples(5000, **shown)
    rows = sample_browser.rows_shown(samples)
    assert len(rows) == len(set(rows.tolist())) <= sample_browser.MAX_SAMPLES
    if samples.images is not None:
        assert len(rows) * samples.images[0].size <= sample_browser.MAX_BYTES
    assert set(sample_browser.worst(samples)) <= set(rows)
    for k in range(3):
        assert {samples.p_nk[:, k].argmin(), samples.p_nk[:, k].argmax()} <= set(rows)


def test_the_most_detrimental_come_first():
    samples = random_samples(50)
    sums, rows = samples.p_nk.sum(axis=1), sample_browser.worst(samples)
    assert len(rows) == sample_browser.LISTED
    assert (np.diff(sums[rows]) >= 0).all()
    assert sums[rows][-1] <= np.delete(sums, rows).min()


def test_what_is_not_known_is_not_in_the_payload():
    packed = sample_browser.payload(random_samples(4))
    assert {"predicted", "image", "text", "point"}.isdisjoint(packed)
    known = {"predicted": Predicted(np.arange(4) % 3, np.full(4, 0.5))}
    packed = sample_browser.payload(random_samples(4, **known, texts=list("wxyz")))
    assert packed["text"] == list("wxyz")
    assert packed["predicted"] == [0, 1, 2, 0]
    packed = sample_browser.payload(random_samples(4, points=np.zeros((4, 2))))
    assert packed["point"] == [[0.0, 0.0]] * 4


@pytest.mark.parametrize("looks", ["images", "points", "nothing"])
def test_samples_look_as_the_data_are(tmp_path, looks):
    samples = samples_of(write_results(tmp_path, looks=looks))
    seen = [name for name in ("images", "texts", "points") if getattr(samples, name) is not None]
    assert seen == [] if looks == "nothing" else [looks]
    assert samples.visible == (looks != "nothing")
