"""Write the pictures of a data set, and the words that go with them."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from catwise.figures.style import Picture, png
from catwise.pipeline.files import write_json, write_whole

__all__ = ["write_pictures"]


def write_pictures(out: Path, pictures: Mapping[str, Picture]) -> None:
    """Write each picture under its name, and ``captions.json`` with the words of all."""
    captions = {}
    for name, picture in pictures.items():
        write_whole(out / name, partial(Path.write_bytes, data=png(picture.figure)))
        captions[name] = {
            "paper": picture.paper,
            "title": picture.title,
            "caption": picture.caption,
            "alt": picture.alt,
        }
    write_json(out / "captions.json", captions)
