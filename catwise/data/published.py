"""Load the published data sets: torchvision's download, the hub's, or a local mirror of the hub."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from catwise.core.errors import InputError
from catwise.data import mirror
from catwise.data.catalogue import PUBLISHED, PublishedSet
from catwise.data.downloads import REMEDY, cache_folder, errors_in_one_line, locked, require_space
from catwise.data.raw import Part, Raw

__all__ = ["load_published"]


def load_published(name: str) -> Raw:
    """Load the official splits as they are, from the mirror if one is set, else from their source.

    Raises InputError unless every class has the published number of samples.
    """
    published, folder = PUBLISHED[name], mirror.mirror_folder()
    if name == "stl10":
        raw = _from_torchvision(name, folder or cache_folder(), download=folder is None)
    elif folder:
        raw = _from_mirror(name, folder)
    elif name == "cifar10":
        raw = _from_torchvision(name, cache_folder(), download=True)
    else:
        raw = _from_hub(name)
    notes = list(raw.notes)
    for part, (samples, labels) in raw.parts.items():
        where = f"{name}, {part} split from {raw.origin}"
        _require_published_form(where, published, samples, labels)
        counts = tuple(np.bincount(labels, minlength=len(published.classes)).tolist())
        expected = published.counts[part]
        if counts == expected:
            continue
        if folder is None or counts != published.partial.get(part):
            raise InputError(
                f"{where}: expected {sum(expected)} samples, {_join(expected)};"
                f" got {sum(counts)}, {_join(counts)}"
            )
        notes.append(
            f"the mirror's {part} split is a part of the original:"
            f" {sum(counts)} of {sum(expected)} samples"
        )
    return replace(raw, notes=tuple(notes))


def _from_mirror(name: str, folder: Path) -> Raw:
    """Load a data set from the mirror; images that are stored as JPEG are noted."""
    published = PUBLISHED[name]
    parts: dict[str, Part] = {}
    notes = []
    for part in published.counts:
        samples, labels = mirror.read_split(
            folder, published.hub, part, published.column, published.classes
        )
        if published.column == "img":
            if samples and samples[0].startswith(b"\xff\xd8"):
                notes.append(
                    f"the mirror's {part} images are JPEG re-encodings, not the original pixels"
                )
            where = f"{folder / published.hub}, {part}"
            samples = mirror.decode_images(samples, where, published.shape)
        parts[part] = (samples, labels)
    origin = f"a mirror ({published.hub})"
    return Raw(published.classes, published.licence, origin, parts, tuple(notes))


def _from_torchvision(name: str, root: Path, download: bool) -> Raw:
    """Load CIFAR-10 or STL-10 by torchvision, from ``root``.

    torchvision checks the md5 of what it loads, and unpacks CIFAR-10's pickles only after that.
    """
    from torchvision.datasets import CIFAR10, STL10

    published = PUBLISHED[name]
    folder = root / {"cifar10": CIFAR10, "stl10": STL10}[name].base_folder
    if not folder.is_dir():
        if not download:
            raise InputError(f"{folder}: expected the binary files of {name}; got no such folder")
        require_space(root, int(published.gigabytes * 1e9))
    where, expected, remedy = name, "a download", REMEDY
    if not download:
        where, expected = str(folder), "files with the published checksums"
        remedy = "copy them again"
    parts: dict[str, Part] = {}
    lock = locked(root) if download else nullcontext()
    with errors_in_one_line(where, expected, remedy), lock:
        for part in published.counts:
            if name == "cifar10":
                images = CIFAR10(root, train=part == "train", download=download)
                labels = np.array(images.targets, dtype=np.int64)
                parts[part] = (np.moveaxis(images.data, 3, 1), labels)
            else:
                images = STL10(root, split=part, download=download)
                pixels = np.ascontiguousarray(images.data)
                parts[part] = (pixels, images.labels.astype(np.int64))
    origin = "torchvision's download" if download else f"a mirror ({folder.name})"
    return Raw(published.classes, published.licence, origin, parts)


def _from_hub(name: str) -> Raw:
    """Load a data set of texts from the hub."""
    import datasets
    import httpx2
    import huggingface_hub

    published = PUBLISHED[name]
    repository = "/".join(published.hub.split("/")[:2])
    require_space(cache_folder(), int(published.gigabytes * 1e9))
    huggingface_hub.logging.set_verbosity_error()  # else each of its six tries writes a line
    errors = (datasets.exceptions.DatasetsError, httpx2.HTTPError)
    with errors_in_one_line(name, "a download", REMEDY, *errors):
        tables = datasets.load_dataset(
            repository, cache_dir=str(cache_folder() / "hub"), verification_mode="all_checks"
        )
    parts: dict[str, Part] = {}
    for part in published.counts:
        features = tables[part].features if part in tables else {}
        names = getattr(features.get("label"), "names", ())
        if published.column not in features or tuple(names) != published.classes:
            raise InputError(
                f"{repository}: {part} split: expected {published.column} and a label of"
                f" {', '.join(published.classes)}; got {' '.join(str(features).split())}"
            )
        labels = np.array(tables[part]["label"], dtype=np.int64)
        parts[part] = (list(tables[part][published.column]), labels)
    return Raw(published.classes, published.licence, f"the hub ({repository})", parts)


def _require_published_form(
    where: str, published: PublishedSet, samples: Any, labels: np.ndarray
) -> None:
    """Raise InputError unless each sample has a label, in range, and each image has its shape."""
    if len(samples) != len(labels):
        got = f"{len(samples)} and {len(labels)}"
        raise InputError(f"{where}: expected as many samples as labels; got {got}")
    last = len(published.classes) - 1
    if wrong := sorted({*labels.tolist()} - {*range(last + 1)}):
        raise InputError(f"{where}: expected labels 0 to {last}; got {wrong[0]}")
    if published.shape and samples.shape[1:] != published.shape:
        got = samples.shape[1:]
        raise InputError(f"{where}: expected images of {published.shape}; got {got}")


def _join(counts: Sequence[int]) -> str:
    return "/".join(map(str, counts))
