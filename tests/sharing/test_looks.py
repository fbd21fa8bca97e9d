"""Samples are shown as what they are, and each look belongs to its own sample."""

import base64
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from catwise.core.errors import InputError
from catwise.sharing.looks import COLUMNS, LARGEST, looks

LABELS = np.arange(10) % 2
ROWS = np.array([7, 2])


def pixels(url: str) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(base64.b64decode(url.split(",")[1]))))


@pytest.mark.parametrize("channels", [1, 3])
def test_images_in_bytes_are_shown_to_the_pixel(rng, channels):
    images = rng.integers(0, 256, (10, channels, 5, 4), dtype=np.uint8)
    for look, i in zip(looks(images, None, LABELS, ROWS), ROWS, strict=True):
        shown = pixels(look.image).reshape(5, 4, channels)
        np.testing.assert_array_equal(shown, images[i].transpose(1, 2, 0))


def test_images_in_floats_share_one_scale():
    images = torch.zeros(10, 6, 6)
    images[7], images[2] = -1, 3
    dark, bright = (pixels(look.image) for look in looks(images, None, LABELS, ROWS))
    assert (dark == 0).all()
    assert (bright == 255).all()


def test_a_large_image_is_made_smaller_and_a_path_is_opened(tmp_path):
    for i in range(10):
        Image.new("RGB", (640, 320), (20 * i, 0, 0)).save(tmp_path / f"{i}.png")
    shown = looks([tmp_path / f"{i}.png" for i in range(10)], None, LABELS, ROWS)
    for look, i in zip(shown, ROWS, strict=True):
        image = pixels(look.image)
        assert image.shape == (LARGEST // 2, LARGEST, 3)
        assert abs(int(image[..., 0].mean()) - 20 * i) <= 2  # a JPEG
    (tmp_path / "7.png").write_bytes(b"GIF89a")
    with pytest.raises(InputError, match=r"inputs: expected an image or its path; got .*7.png"):
        looks([str(tmp_path / f"{i}.png") for i in range(10)], None, LABELS, ROWS)


def test_a_short_row_is_shown_whole_beside_the_mean_of_its_label():
    table = pd.DataFrame({"size": np.arange(10.0), "colour": list("rgbrgbrgbr")})
    look = looks(table, None, LABELS, ROWS)[0]
    mean = np.arange(10.0)[LABELS == 1].mean()
    assert look.cells == [("size", "7", f"{mean:.3g}"), ("colour", "g", "")]


def test_of_a_long_row_the_cells_furthest_from_the_label_are_shown(rng):
    table = rng.normal(size=(10, 30))
    table[7, [3, 11, 20]] += 50
    look = looks(table, None, LABELS, ROWS)[0]
    assert len(look.cells) == COLUMNS
    assert look.columns == 30
    assert {"feature 3", "feature 11", "feature 20"} <= {name for name, _, _ in look.cells}


def test_texts_come_before_inputs_and_nothing_known_is_nothing_shown():
    texts = [f"text {i}" for i in range(10)]
    assert [look.text for look in looks(np.zeros((10, 4)), texts, LABELS, ROWS)] == [
        "text 7",
        "text 2",
    ]
    assert looks(None, None, LABELS, ROWS) == []


def test_a_series_is_read_in_its_order_whatever_its_index():
    texts = pd.Series([f"text {i}" for i in range(10)], index=range(10)[::-1])
    assert [look.text for look in looks(None, texts, LABELS, ROWS)] == ["text 7", "text 2"]


def test_what_cannot_be_shown_is_one_line():
    with pytest.raises(
        InputError, match="texts: expected one for each of 10 training samples; got 1"
    ):
        looks(None, ["a"], LABELS, ROWS)
    with pytest.raises(InputError, match=r"inputs: expected images .*got shape \(10, 2, 4, 4\)"):
        looks(np.zeros((10, 2, 4, 4)), None, LABELS, ROWS)
