"""Hold samples as they lie in files, before anything is chosen or changed."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from catwise.core.errors import InputError

__all__ = ["Part", "Raw", "decode_image"]

# n samples, images as uint8 (n, channels, height, width) or a list of texts, and their labels (n,)
Part = tuple[Any, np.ndarray]


@dataclass(frozen=True)
class Raw:
    """Hold the official parts of a data set; the user's own sets have a single part, ``all``.

    ``origin`` says where the samples are from, and ``notes`` what is odd about them. ``names`` say
    where the user finds each sample: the file below the folder, or the line of the CSV.
    """

    classes: tuple[str, ...]
    licence: str
    origin: str
    parts: dict[str, Part]
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def decode_image(content: bytes | None, where: str, mode: str) -> Any:
    """Return a Pillow image, turned upright, in Pillow's mode L or RGB.

    Raises InputError that names it ``where`` if it is broken, or has more than 8 bits per channel.
    """
    from PIL import Image, ImageOps

    try:
        image = Image.open(io.BytesIO(content or b""))
        if image.mode[0] in "IF":
            raise InputError(f"{where}: expected 8 bits per channel; got mode {image.mode}")
        return ImageOps.exif_transpose(image).convert(mode)
    except InputError:
        raise
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError) as error:
        raise InputError(f"{where}: expected an image; got {type(error).__name__}") from None
