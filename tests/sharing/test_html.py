"""Pictures in a page keep what they show."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from catwise.sharing import html
from tests.helpers.pages import drawn


def test_a_picture_keeps_its_size_and_nearly_its_colours():
    content = drawn((60, 40))
    shown = Image.open(BytesIO(base64.b64decode(html.data_url(content).split(",")[1])))
    before, after = (
        np.asarray(image.convert("RGB"), int) for image in (Image.open(BytesIO(content)), shown)
    )
    assert shown.size == (60, 40)
    assert np.abs(before - after).max() <= 2


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_holds_every_image_where_the_script_looks_for_it(channels):
    images = np.random.default_rng(0).integers(0, 256, (5, channels, 4, 6), dtype=np.uint8)
    url = html.sheet(images, 3)
    assert url == html.sheet(images, 3)
    pixels = np.asarray(Image.open(BytesIO(base64.b64decode(url.split(",")[1]))))
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    assert pixels.shape == (8, 18, channels)
    for i, image in enumerate(images):
        top, left = i // 3 * 4, i % 3 * 6
        assert (pixels[top : top + 4, left : left + 6] == image.transpose(1, 2, 0)).all()
