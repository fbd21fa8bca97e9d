"""Read data sets from a local folder laid out like the hub, in place of downloads.

``CATWISE_MIRROR`` names the folder, in which ``dair-ai/emotion/split/train-00000-of-00001.parquet``
lies as on the hub, and STL-10 as torchvision's ``stl10_binary``. If it holds a ``SHA256SUMS``, the
parquet files and BERT's are checked against it.
"""

import hashlib
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from catwise.core.errors import InputError, in_one_line
from catwise.data.raw import Part, decode_image

__all__ = ["decode_images", "mirror_folder", "read_split", "read_verified"]


def mirror_folder() -> Path | None:
    """Return the folder that ``CATWISE_MIRROR`` names, or None if it is not set."""
    if not (value := os.environ.get("CATWISE_MIRROR")):
        return None
    if not Path(value).is_dir():
        raise InputError(f"CATWISE_MIRROR: expected a folder; got {value!r}")
    return Path(value)


def read_verified(path: Path, mirror: Path) -> bytes:
    """Return the content of a file, checked if the mirror has what ``sha256sum`` writes."""
    if not path.is_file():
        remedy = "copy it there from the hub, or unset CATWISE_MIRROR to download it"
        raise InputError(f"{path}: expected this file in the mirror; got none; {remedy}")
    content, sums = path.read_bytes(), mirror / "SHA256SUMS"
    if not sums.is_file():
        return content
    name = path.relative_to(mirror).as_posix()
    digests = {line[66:].removeprefix("./"): line[:64] for line in sums.read_text().splitlines()}
    expected, actual = digests.get(name, "no line"), hashlib.sha256(content).hexdigest()
    if expected != actual:
        raise InputError(
            f"{path}: expected the sha256 in {sums}, {expected[:12]}; got {actual[:12]};"
            " copy it again"
        )
    return content


def read_split(mirror: Path, hub: str, part: str, column: str, classes: Sequence[str]) -> Part:
    """Return the samples of a split, texts or encoded images, and their labels.

    ``hub`` is the folder of the data set in the mirror; all its parquet files of ``part`` are read.
    """
    shards = [_read_shard(path, mirror, column, classes) for path in _shards(mirror / hub, part)]
    samples = [sample for shard_samples, _ in shards for sample in shard_samples]
    return samples, np.concatenate([labels for _, labels in shards])


def decode_images(encoded: list[bytes], where: str, shape: tuple[int, ...]) -> np.ndarray:
    """Decode images to uint8 (n, 3, height, width); each must have the same ``shape``."""
    pixels = np.empty((len(encoded), *shape), dtype=np.uint8)
    for row, content in enumerate(encoded):
        image = decode_image(content, f"{where}: row {row}", "RGB")
        actual = (image.height, image.width)
        if actual != shape[1:]:
            raise InputError(f"{where}: row {row}: expected an image of {shape[1:]}; got {actual}")
        pixels[row] = np.moveaxis(np.asarray(image), 2, 0)
    return pixels


def _shards(folder: Path, part: str) -> list[Path]:
    """Return all files of a split: ``train-00000-of-00002.parquet`` and the second of the two."""
    paths = sorted(folder.glob(f"{part}-*-of-*.parquet"))
    endings = [path.stem.rsplit("-", 1)[1] for path in paths]
    if not paths or {int(total) for total in endings if total.isdigit()} != {len(paths)}:
        got = ", ".join(path.name for path in paths) or "none"
        raise InputError(f"{folder}: expected all of {part}-*-of-*.parquet; got {got}")
    return paths


def _read_shard(path: Path, mirror: Path, column: str, classes: Sequence[str]) -> Part:
    """Return the samples and labels of one parquet file in the hub's schema."""
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    content = read_verified(path, mirror)
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(content), page_checksum_verification=True)
        if not {column, "label"} <= set(table.column_names):
            raise InputError(
                f"{path}: expected columns {column} and label; got {', '.join(table.column_names)}"
            )
        samples, labels = table[column], table["label"]
        if empty := samples.null_count + labels.null_count:
            raise InputError(f"{path}: expected no empty cells; got {empty}")
        if column == "img":
            samples = pyarrow.compute.struct_field(samples, "bytes")
        part = samples.to_pylist(), labels.to_numpy().astype(np.int64, casting="safe")
        names = _class_names(table.schema.metadata or {})
    except (
        pyarrow.ArrowException,
        OSError,
        TypeError,
        AttributeError,
        UnicodeError,
        json.JSONDecodeError,
    ) as error:
        got = in_one_line(error)
        raise InputError(f"{path}: expected a whole parquet file; got: {got}") from None
    if names and names != list(classes):
        raise InputError(f"{path}: expected classes {', '.join(classes)}; got {', '.join(names)}")
    return part


def _class_names(metadata: dict[bytes, bytes]) -> Any:
    """Return the names of the classes in the hub's metadata, or None."""
    features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return features.get("label", {}).get("names")
