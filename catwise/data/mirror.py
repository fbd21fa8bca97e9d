"""A local folder laid out like the hub (``dair-ai/emotion/split/train-00000-of-00001.parquet``), instead of downloads.

``CATWISE_MIRROR`` names it. STL-10 lies there as torchvision's ``stl10_binary``. If it holds a ``SHA256SUMS``, the
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

from catwise.core.errors import InputError
from catwise.data.own_files import decode_image

__all__ = ["folder", "pixels", "split", "verified"]


def folder() -> Path | None:
    """None if no mirror is set."""
    if not (value := os.environ.get("CATWISE_MIRROR")):
        return None
    if not Path(value).is_dir():
        raise InputError(f"CATWISE_MIRROR: expected a folder; got {value!r}")
    return Path(value)


def verified(path: Path, mirror: Path) -> bytes:
    """The content of a file of the mirror, checked if the mirror has the ``SHA256SUMS`` that ``sha256sum`` writes."""
    if not path.is_file():
        way_out = "copy it there from the hub, or unset CATWISE_MIRROR to download it"
        raise InputError(f"{path}: expected this file in the mirror; got none; {way_out}")
    data, sums = path.read_bytes(), mirror / "SHA256SUMS"
    if not sums.is_file():
        return data
    name = path.relative_to(mirror).as_posix()
    digests = {line[66:].removeprefix("./"): line[:64] for line in sums.read_text().splitlines()}
    came = hashlib.sha256(data).hexdigest()
    if (wanted := digests.get(name, "no line")) != came:
        raise InputError(
            f"{path}: expected the sha256 in {sums}, {wanted[:12]}; got {came[:12]}; copy it again"
        )
    return data


def split(
    mirror: Path, hub: str, part: str, column: str, classes: Sequence[str]
) -> tuple[list[Any], np.ndarray]:
    """The samples and labels of a split in the folder ``hub``, text or encoded images, of all its parquet files."""
    shards = [_shard(path, mirror, column, classes) for path in _shards(mirror / hub, part)]
    return [sample for samples, _ in shards for sample in samples], np.concatenate(
        [labels for _, labels in shards]
    )


def pixels(encoded: list[bytes], where: str, shape: tuple[int, ...]) -> np.ndarray:
    """Decoded images, uint8 (n, 3, height, width)."""
    pixels = np.empty((len(encoded), *shape), dtype=np.uint8)
    for row, content in enumerate(encoded):
        image = decode_image(content, f"{where}: row {row}", "RGB")
        if (image.height, image.width) != shape[1:]:
            came = (image.height, image.width)
            raise InputError(f"{where}: row {row}: expected an image of {shape[1:]}; got {came}")
        pixels[row] = np.moveaxis(np.asarray(image), 2, 0)
    return pixels


def _shards(folder: Path, part: str) -> list[Path]:
    """All files of a split: ``train-00000-of-00002.parquet`` and the second of the two."""
    paths = sorted(folder.glob(f"{part}-*-of-*.parquet"))
    totals = {
        int(path.stem.rsplit("-", 1)[1]) for path in paths if path.stem.rsplit("-", 1)[1].isdigit()
    }
    if not paths or totals != {len(paths)}:
        wanted = f"all of {part}-*-of-*.parquet"
        raise InputError(
            f"{folder}: expected {wanted}; got {', '.join(path.name for path in paths) or 'none'}"
        )
    return paths


def _shard(
    path: Path, mirror: Path, column: str, classes: Sequence[str]
) -> tuple[list[Any], np.ndarray]:
    """The samples and labels of one parquet file in the hub's schema."""
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    data = verified(path, mirror)
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(data), page_checksum_verification=True)
        if not {column, "label"} <= set(table.column_names):
            raise InputError(
                f"{path}: expected columns {column} and label; got {', '.join(table.column_names)}"
            )
        samples, y = table[column], table["label"]
        if samples.null_count or y.null_count:
            raise InputError(
                f"{path}: expected no empty cells; got {samples.null_count + y.null_count}"
            )
        if column == "img":
            samples = pyarrow.compute.struct_field(samples, "bytes")
        labels = y.to_numpy().astype(np.int64, casting="safe")
        content = samples.to_pylist()
        described = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
        names = described.get("info", {}).get("features", {}).get("label", {}).get("names")
    except (
        pyarrow.ArrowException,
        OSError,
        TypeError,
        AttributeError,
        UnicodeError,
        json.JSONDecodeError,
    ) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: expected a whole parquet file; got: {said}") from None
    if names and names != list(classes):
        raise InputError(f"{path}: expected classes {', '.join(classes)}; got {', '.join(names)}")
    return content, labels
