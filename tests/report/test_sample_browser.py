"""What the page shows of single samples: the extremes first, pixels unchanged, never too many."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from catwise.report import sample_browser
from catwise.report.sample_browser import Seen


def seen(n: int, **shown) -> Seen:
    rng = np.random.default_rng(0)
    return Seen(
        rng.normal(size=(n, 3)), np.arange(n) % 3, np.arange(n) % 5 == 0, ("a", "b", "c"), **shown
    )


def test_all_of_a_few_samples_are_shown():
    assert sample_browser.chosen(seen(50)).tolist() == list(range(50))


@pytest.mark.parametrize("shown", [{}, {"images": np.zeros((5000, 3, 32, 32), np.uint8)}])
def test_of_many_the_extremes_are_among_those_shown_and_no_sample_twice(shown):
    mine = seen(5000, **shown)
    rows = sample_browser.chosen(mine)
    assert len(rows) == len(set(rows.tolist())) <= sample_browser.SHOWN
    if shown:
        assert len(rows) * mine.images[0].size <= sample_browser.BYTES
    assert set(sample_browser.worst(mine)) <= set(rows)
    for k in range(3):
        assert {mine.p_nk[:, k].argmin(), mine.p_nk[:, k].argmax()} <= set(rows)


def test_the_most_detrimental_come_first():
    mine = seen(50)
    sums = mine.p_nk.sum(axis=1)[sample_browser.worst(mine)]
    assert len(sums) == sample_browser.LISTED
    assert (np.diff(sums) >= 0).all()
    assert sums[-1] <= np.delete(mine.p_nk.sum(axis=1), sample_browser.worst(mine)).min()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_holds_every_image_where_the_script_looks_for_it(channels):
    images = np.random.default_rng(0).integers(0, 256, (5, channels, 4, 6), dtype=np.uint8)
    url = sample_browser.sheet(images, 3)
    assert url == sample_browser.sheet(images, 3)
    pixels = np.asarray(Image.open(BytesIO(base64.b64decode(url.split(",")[1]))))
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    assert pixels.shape == (8, 18, channels)
    for i, image in enumerate(images):
        top, left = i // 3 * 4, i % 3 * 6
        assert (pixels[top : top + 4, left : left + 6] == image.transpose(1, 2, 0)).all()


def test_what_is_not_known_is_not_in_the_payload():
    found = sample_browser.payload(seen(4))
    assert {"predicted", "image", "text", "point"}.isdisjoint(found)
    said = {"predicted_n": np.arange(4) % 3, "probability_n": np.full(4, 0.5)}
    assert sample_browser.payload(seen(4, **said, texts=list("wxyz")))["text"] == list("wxyz")
    assert sample_browser.payload(seen(4, **said))["predicted"] == [0, 1, 2, 0]
    assert sample_browser.payload(seen(4, points=np.zeros((4, 2))))["point"] == [[0.0, 0.0]] * 4
