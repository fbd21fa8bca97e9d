"""Where published data sets come from: downloads, the hub, or a local mirror of the hub.

``known`` returns a ``Raw``: the official splits as they are, counted and checked, nothing chosen or changed yet.
``CATWISE_MIRROR`` names a folder laid out like the hub (``dair-ai/emotion/split/train-00000-of-00001.parquet``;
STL-10 as torchvision's ``stl10_binary``; if it holds a ``SHA256SUMS``, the files read are checked against it): then
nothing is downloaded. ``CATWISE_CACHE`` names the folder of the downloads (default ``data/.downloads``).
"""

import hashlib
import http.client
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from catwise.errors import InputError
from catwise.files import Part, Raw, decoded_image

__all__ = ["BERT", "KNOWN", "WEIGHTS", "Known", "known", "pretrained_folder", "pretrained_tokenizer", "require_space"]


@dataclass(frozen=True)
class Known:
    """What a published data set must look like: ``counts`` of each class in each official split."""

    classes: tuple[str, ...]
    licence: str
    counts: dict[str, tuple[int, ...]]
    hub: str = ""  # its folder on the hub and in a mirror
    column: str = "text"
    shape: tuple[int, ...] = ()
    partial: dict[str, tuple[int, ...]] = field(default_factory=dict)  # counts that a mirror may hold instead
    gigabytes: float = 0.1  # of disk that a download needs, archive and contents


KNOWN = {
    "cifar10": Known(
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        "CIFAR-10 (Krizhevsky 2009), a labelled subset of 80 Million Tiny Images; no licence stated, for research",
        {"train": (5000,) * 10, "test": (1000,) * 10},
        hub="uoft-cs/cifar10/plain_text",
        column="img",
        shape=(3, 32, 32),
        gigabytes=0.4,
    ),
    "stl10": Known(
        ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),
        "STL-10 (Coates, Ng, Lee 2011), images from ImageNet; no licence stated, for research",
        {"train": (500,) * 10, "test": (800,) * 10},
        shape=(3, 96, 96),
        gigabytes=6.0,
    ),
    "emotion": Known(
        ("sadness", "joy", "love", "anger", "fear", "surprise"),
        "Emotion (Saravia et al. 2018, CARER), English tweets; for education and research only",
        {
            "train": (4666, 5362, 1304, 2159, 1937, 572),
            "validation": (550, 704, 178, 275, 212, 81),
            "test": (581, 695, 159, 275, 224, 66),
        },
        hub="dair-ai/emotion/split",
    ),
    "ag_news": Known(
        ("World", "Sports", "Business", "Sci/Tech"),
        "AG's corpus of news articles (Gulli) as in Zhang, Zhao, LeCun 2015; for non-commercial use and research",
        {"train": (30000,) * 4, "test": (1900,) * 4},
        hub="fancyzhx/ag_news/data",
        partial={"train": (6209, 4549, 4561, 6130)},
    ),
}
BERT = "google-bert/bert-base-cased"
WEIGHTS = ("config.json", "model.safetensors")  # all that a model is made of
DOWNLOAD_ERRORS: tuple[type[Exception], ...] = (
    OSError,  # no network, no space; with it URLError and most errors of the hub
    http.client.HTTPException,  # a connection that ends too early
    RuntimeError,  # torchvision: a wrong checksum
    ValueError,  # datasets: other sizes than its own record says
    EOFError,
    tarfile.TarError,
)
WAY_OUT = "connect, or set CATWISE_MIRROR to a local folder laid out like the hub"


def known(name: str) -> Raw:
    """One of the published data sets, from the mirror if one is set, else from its own source; counted and checked."""
    spec = KNOWN[name]
    mirror = _mirror()
    if name == "stl10":
        raw = _torchvision(name, mirror or _cache(), download=mirror is None)
    elif mirror:
        raw = _from_mirror(name, mirror)
    elif name == "cifar10":
        raw = _torchvision(name, _cache(), download=True)
    else:
        raw = _from_hub(name)
    notes = list(raw.notes)
    for part in spec.counts:
        notes += _checked(f"{name}, {part} split from {raw.origin}", spec, part, *raw.parts[part], mirror is not None)
    return replace(raw, notes=tuple(notes))


def _checked(where: str, spec: Known, part: str, x: Any, y: np.ndarray, from_mirror: bool) -> list[str]:
    """Raises InputError unless samples and labels are those of the original, or a mirror's known share of them."""
    if len(x) != len(y):
        raise InputError(f"{where}: expected as many samples as labels; came {len(x)} and {len(y)}")
    if strange := sorted(set(y.tolist()) - set(range(len(spec.classes)))):
        raise InputError(f"{where}: expected labels 0 to {len(spec.classes) - 1}; came {strange[0]}")
    if spec.shape and x.shape[1:] != spec.shape:
        raise InputError(f"{where}: expected images of {spec.shape}; came {x.shape[1:]}")
    came, expected = tuple(np.bincount(y, minlength=len(spec.classes)).tolist()), spec.counts[part]
    if came == expected:
        return []
    if from_mirror and came == spec.partial.get(part):
        return [f"the mirror's {part} split is a part of the original: {sum(came)} of {sum(expected)} samples"]
    raise InputError(f"{where}: expected {sum(expected)} samples, {_list(expected)}; came {sum(came)}, {_list(came)}")


def _list(counts: Sequence[int]) -> str:
    return "/".join(map(str, counts))


# The outside: folders, space, network


def _mirror() -> Path | None:
    if not (value := os.environ.get("CATWISE_MIRROR")):
        return None
    if not Path(value).is_dir():
        raise InputError(f"CATWISE_MIRROR: expected a folder; came {value!r}")
    return Path(value)


def _cache() -> Path:
    return Path(os.environ.get("CATWISE_CACHE") or "data/.downloads")


def require_space(path: Path, size: int) -> None:
    """Raises InputError unless ``size`` bytes are free where ``path`` is, or will be."""
    existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < size:
        raise InputError(f"{path}: expected {size / 1e6:,.0f} MB of free disk; came {free / 1e6:,.0f} MB")


@contextmanager
def _one_line(what: str, expected: str, way_out: str, *others: type[Exception]) -> Iterator[None]:
    """What can go wrong between here and a server, in one line."""
    try:
        yield
    except (*DOWNLOAD_ERRORS, *others) as error:
        if isinstance(error, InputError):
            raise
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{what}: expected {expected}; came {type(error).__name__}: {said}; {way_out}") from None


def _torchvision(name: str, root: Path, download: bool) -> Raw:
    """torchvision checks the md5 of what it loads, and unpacks CIFAR-10's pickles only after that."""
    from torchvision.datasets import CIFAR10, STL10

    folder = root / {"cifar10": CIFAR10, "stl10": STL10}[name].base_folder
    if not folder.is_dir():
        if not download:
            raise InputError(f"{folder}: expected the binary files of {name}, found no such folder")
        require_space(root, int(KNOWN[name].gigabytes * 1e9))
    expected = ("a download", WAY_OUT) if download else ("files with the published checksums", "copy them again")
    parts = {}
    with _one_line(name if download else str(folder), *expected):
        for part in KNOWN[name].counts:
            if name == "cifar10":
                images = CIFAR10(root, train=part == "train", download=download)
                parts[part] = (np.moveaxis(images.data, 3, 1), np.array(images.targets, dtype=np.int64))
            else:
                scans = STL10(root, split=part, download=download)
                parts[part] = (np.ascontiguousarray(scans.data), scans.labels.astype(np.int64))
    return Raw(
        KNOWN[name].classes,
        KNOWN[name].licence,
        "torchvision's download" if download else f"a mirror ({folder.name})",
        parts,
    )


def _from_mirror(name: str, mirror: Path) -> Raw:
    spec = KNOWN[name]
    parts: dict[str, Part] = {}
    notes = []
    for part in spec.counts:
        columns = [_shard(path, mirror, name) for path in _shards(mirror / spec.hub, part)]
        samples = [sample for some, _ in columns for sample in some]
        y = np.concatenate([labels for _, labels in columns])
        if spec.column == "img":
            if samples and samples[0][:2] == b"\xff\xd8":
                notes.append(f"the mirror's {part} images are JPEG re-encodings, not the original pixels")
            parts[part] = (_pixels(samples, f"{mirror / spec.hub}, {part}", spec.shape), y)
        else:
            parts[part] = (samples, y)
    return Raw(spec.classes, spec.licence, f"a mirror ({spec.hub})", parts, tuple(notes))


def _shards(folder: Path, part: str) -> list[Path]:
    """All files of a split: ``train-00000-of-00002.parquet`` and the second of the two."""
    paths = sorted(folder.glob(f"{part}-*-of-*.parquet"))
    totals = {int(path.stem.rsplit("-", 1)[1]) for path in paths if path.stem.rsplit("-", 1)[1].isdigit()}
    if not paths or totals != {len(paths)}:
        wanted = f"all of {part}-*-of-*.parquet"
        raise InputError(f"{folder}: expected {wanted}; came {', '.join(path.name for path in paths) or 'none'}")
    return paths


def _verified(path: Path, mirror: Path) -> bytes:
    """The content of a file of the mirror, checked if the mirror has the ``SHA256SUMS`` that ``sha256sum`` writes."""
    if not path.is_file():
        way_out = "copy it there from the hub, or unset CATWISE_MIRROR to download it"
        raise InputError(f"{path}: expected this file in the mirror, found none; {way_out}")
    data, sums = path.read_bytes(), mirror / "SHA256SUMS"
    if not sums.is_file():
        return data
    name = path.relative_to(mirror).as_posix()
    digests = {line[66:].removeprefix("./"): line[:64] for line in sums.read_text().splitlines()}
    came = hashlib.sha256(data).hexdigest()
    if (wanted := digests.get(name, "no line")) != came:
        raise InputError(f"{path}: expected the sha256 in {sums}, {wanted[:12]}; came {came[:12]}; copy it again")
    return data


def _shard(path: Path, mirror: Path, name: str) -> tuple[list[Any], np.ndarray]:
    """The samples and labels of one parquet file in the hub's schema."""
    import pyarrow  # type: ignore[import-untyped]
    import pyarrow.parquet  # type: ignore[import-untyped]

    spec = KNOWN[name]
    data = _verified(path, mirror)
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(data), page_checksum_verification=True)
        if not {spec.column, "label"} <= set(table.column_names):
            raise InputError(f"{path}: expected columns {spec.column} and label; came {', '.join(table.column_names)}")
        samples, y = table[spec.column], table["label"]
        if samples.null_count or y.null_count:
            raise InputError(f"{path}: expected no empty cells; came {samples.null_count + y.null_count}")
        if spec.column == "img":
            samples = pyarrow.compute.struct_field(samples, "bytes")
        labels = y.to_numpy().astype(np.int64, casting="safe")
        content = samples.to_pylist()
        described = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
        names = described.get("info", {}).get("features", {}).get("label", {}).get("names")
    except (pyarrow.ArrowException, OSError, TypeError, AttributeError, UnicodeError, json.JSONDecodeError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: expected a whole parquet file; came: {said}") from None
    if names and tuple(names) != spec.classes:
        raise InputError(f"{path}: expected classes {', '.join(spec.classes)}; came {', '.join(names)}")
    return content, labels


def _from_hub(name: str) -> Raw:
    import datasets
    import httpx2
    import huggingface_hub

    repository = "/".join(KNOWN[name].hub.split("/")[:2])
    require_space(_cache(), int(KNOWN[name].gigabytes * 1e9))
    huggingface_hub.logging.set_verbosity_error()  # else each of its six tries writes a line
    with _one_line(name, "a download", WAY_OUT, datasets.exceptions.DatasetsError, httpx2.HTTPError):
        read = datasets.load_dataset(repository, cache_dir=str(_cache() / "hub"), verification_mode="all_checks")
    parts = {}
    for part in KNOWN[name].counts:
        features = read[part].features if part in read else {}
        names = getattr(features.get("label"), "names", ())
        if KNOWN[name].column not in features or tuple(names) != KNOWN[name].classes:
            wanted = f"{KNOWN[name].column} and a label of {', '.join(KNOWN[name].classes)}"
            raise InputError(f"{repository}: {part} split: expected {wanted}; came {' '.join(str(features).split())}")
        parts[part] = (list(read[part][KNOWN[name].column]), np.array(read[part]["label"], dtype=np.int64))
    return Raw(KNOWN[name].classes, KNOWN[name].licence, f"the hub ({repository})", parts)


def pretrained_tokenizer() -> str:
    """BERT's own cased WordPiece tokenizer, as JSON, from the mirror or the hub."""
    path = _of_bert("tokenizer.json")
    content = path.read_text()
    _require_vocabulary(path, "a tokenizer", lambda: len(json.loads(content)["model"]["vocab"]))
    return content


def pretrained_folder() -> str:
    """The folder of BERT's ``config.json`` and ``model.safetensors`` (0.4 GB), in the mirror or from the hub."""
    if not _mirror():
        require_space(_cache(), 500_000_000)
    config, weights = (_of_bert(file) for file in WEIGHTS)
    _require_vocabulary(config, "a model's configuration", lambda: json.loads(config.read_text())["vocab_size"])
    return str(weights.parent)


def _of_bert(file: str) -> Path:
    if mirror := _mirror():
        path = mirror / BERT / file
        _verified(path, mirror)
        return path
    import httpx2
    import huggingface_hub

    huggingface_hub.logging.set_verbosity_error()
    with _one_line(BERT, "a download", WAY_OUT, httpx2.HTTPError):
        return Path(huggingface_hub.hf_hub_download(BERT, file, cache_dir=_cache() / "hub"))


def _require_vocabulary(path: Path, what: str, size: Callable[[], int]) -> None:
    try:
        came = size()
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: expected {what} in JSON; came something else, or a part of it") from None
    if came != 28996:
        raise InputError(f"{path}: expected a vocabulary of 28996; came {came}")


def _pixels(encoded: list[bytes], where: str, shape: tuple[int, ...]) -> np.ndarray:
    """Decoded images, uint8 (n, 3, height, width)."""
    pixels = np.empty((len(encoded), *shape), dtype=np.uint8)
    for row, content in enumerate(encoded):
        image = decoded_image(content, f"{where}: row {row}", "RGB")
        if (image.height, image.width) != shape[1:]:
            came = (image.height, image.width)
            raise InputError(f"{where}: row {row}: expected an image of {shape[1:]}; came {came}")
        pixels[row] = np.moveaxis(np.asarray(image), 2, 0)
    return pixels
