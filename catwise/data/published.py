"""The published data sets: torchvision's download, the hub's, or a local mirror of the hub (see ``mirror``).

``known`` returns a ``Raw``: the official splits as they are, counted and checked, nothing chosen or changed yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from catwise.core.errors import InputError
from catwise.data import mirror
from catwise.data.downloads import WAY_OUT, cache, one_line, require_space
from catwise.data.own_files import Part, Raw

__all__ = ["PUBLISHED", "PublishedSet", "load_published"]


@dataclass(frozen=True)
class PublishedSet:
    """What a published data set must look like: ``counts`` of each class in each official split."""

    classes: tuple[str, ...]
    licence: str
    counts: dict[str, tuple[int, ...]]
    hub: str = ""  # its folder on the hub and in a mirror
    column: str = "text"
    shape: tuple[int, ...] = ()
    partial: dict[str, tuple[int, ...]] = field(
        default_factory=dict
    )  # counts that a mirror may hold instead
    gigabytes: float = 0.1  # of disk that a download needs, archive and contents


PUBLISHED = {
    "cifar10": PublishedSet(
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        "CIFAR-10 (Krizhevsky 2009), a labelled subset of 80 Million Tiny Images; no licence stated, for research",
        {"train": (5000,) * 10, "test": (1000,) * 10},
        hub="uoft-cs/cifar10/plain_text",
        column="img",
        shape=(3, 32, 32),
        gigabytes=0.4,
    ),
    "stl10": PublishedSet(
        ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),
        "STL-10 (Coates, Ng, Lee 2011), images from ImageNet; no licence stated, for research",
        {"train": (500,) * 10, "test": (800,) * 10},
        shape=(3, 96, 96),
        gigabytes=6.0,
    ),
    "emotion": PublishedSet(
        ("sadness", "joy", "love", "anger", "fear", "surprise"),
        "Emotion (Saravia et al. 2018, CARER), English tweets; for education and research only",
        {
            "train": (4666, 5362, 1304, 2159, 1937, 572),
            "validation": (550, 704, 178, 275, 212, 81),
            "test": (581, 695, 159, 275, 224, 66),
        },
        hub="dair-ai/emotion/split",
    ),
    "ag_news": PublishedSet(
        ("World", "Sports", "Business", "Sci/Tech"),
        "AG's corpus of news articles (Gulli) as in Zhang, Zhao, LeCun 2015; for non-commercial use and research",
        {"train": (30000,) * 4, "test": (1900,) * 4},
        hub="fancyzhx/ag_news/data",
        partial={"train": (6209, 4549, 4561, 6130)},
    ),
}


def load_published(name: str) -> Raw:
    """One of the published data sets, from the mirror if one is set, else from its own source; counted and checked."""
    spec = PUBLISHED[name]
    local = mirror.folder()
    if name == "stl10":
        raw = _torchvision(name, local or cache(), download=local is None)
    elif local:
        raw = _from_mirror(name, local)
    elif name == "cifar10":
        raw = _torchvision(name, cache(), download=True)
    else:
        raw = _from_hub(name)
    notes = list(raw.notes)
    for part in spec.counts:
        notes += _checked(
            f"{name}, {part} split from {raw.origin}",
            spec,
            part,
            *raw.parts[part],
            local is not None,
        )
    return replace(raw, notes=tuple(notes))


def _from_mirror(name: str, folder: Path) -> Raw:
    spec = PUBLISHED[name]
    parts: dict[str, Part] = {}
    notes = []
    for part in spec.counts:
        samples, y = mirror.split(folder, spec.hub, part, spec.column, spec.classes)
        if spec.column == "img":
            if samples and samples[0][:2] == b"\xff\xd8":
                notes.append(
                    f"the mirror's {part} images are JPEG re-encodings, not the original pixels"
                )
            parts[part] = (mirror.pixels(samples, f"{folder / spec.hub}, {part}", spec.shape), y)
        else:
            parts[part] = (samples, y)
    return Raw(spec.classes, spec.licence, f"a mirror ({spec.hub})", parts, tuple(notes))


def _torchvision(name: str, root: Path, download: bool) -> Raw:
    """torchvision checks the md5 of what it loads, and unpacks CIFAR-10's pickles only after that."""
    from torchvision.datasets import CIFAR10, STL10

    folder = root / {"cifar10": CIFAR10, "stl10": STL10}[name].base_folder
    if not folder.is_dir():
        if not download:
            raise InputError(f"{folder}: expected the binary files of {name}, found no such folder")
        require_space(root, int(PUBLISHED[name].gigabytes * 1e9))
    expected = (
        ("a download", WAY_OUT)
        if download
        else ("files with the published checksums", "copy them again")
    )
    parts = {}
    with one_line(name if download else str(folder), *expected):
        for part in PUBLISHED[name].counts:
            if name == "cifar10":
                images = CIFAR10(root, train=part == "train", download=download)
                parts[part] = (
                    np.moveaxis(images.data, 3, 1),
                    np.array(images.targets, dtype=np.int64),
                )
            else:
                scans = STL10(root, split=part, download=download)
                parts[part] = (np.ascontiguousarray(scans.data), scans.labels.astype(np.int64))
    return Raw(
        PUBLISHED[name].classes,
        PUBLISHED[name].licence,
        "torchvision's download" if download else f"a mirror ({folder.name})",
        parts,
    )


def _from_hub(name: str) -> Raw:
    import datasets
    import httpx2
    import huggingface_hub

    repository = "/".join(PUBLISHED[name].hub.split("/")[:2])
    require_space(cache(), int(PUBLISHED[name].gigabytes * 1e9))
    huggingface_hub.logging.set_verbosity_error()  # else each of its six tries writes a line
    with one_line(name, "a download", WAY_OUT, datasets.exceptions.DatasetsError, httpx2.HTTPError):
        read = datasets.load_dataset(
            repository, cache_dir=str(cache() / "hub"), verification_mode="all_checks"
        )
    parts = {}
    for part in PUBLISHED[name].counts:
        features = read[part].features if part in read else {}
        names = getattr(features.get("label"), "names", ())
        if PUBLISHED[name].column not in features or tuple(names) != PUBLISHED[name].classes:
            wanted = f"{PUBLISHED[name].column} and a label of {', '.join(PUBLISHED[name].classes)}"
            raise InputError(
                f"{repository}: {part} split: expected {wanted}; got {' '.join(str(features).split())}"
            )
        parts[part] = (
            list(read[part][PUBLISHED[name].column]),
            np.array(read[part]["label"], dtype=np.int64),
        )
    return Raw(PUBLISHED[name].classes, PUBLISHED[name].licence, f"the hub ({repository})", parts)


def _checked(
    where: str, spec: PublishedSet, part: str, x: Any, y: np.ndarray, from_mirror: bool
) -> list[str]:
    """Raises InputError unless samples and labels are those of the original, or a mirror's known share of them."""
    if len(x) != len(y):
        raise InputError(f"{where}: expected as many samples as labels; got {len(x)} and {len(y)}")
    if strange := sorted(set(y.tolist()) - set(range(len(spec.classes)))):
        raise InputError(f"{where}: expected labels 0 to {len(spec.classes) - 1}; got {strange[0]}")
    if spec.shape and x.shape[1:] != spec.shape:
        raise InputError(f"{where}: expected images of {spec.shape}; got {x.shape[1:]}")
    came, expected = tuple(np.bincount(y, minlength=len(spec.classes)).tolist()), spec.counts[part]
    if came == expected:
        return []
    if from_mirror and came == spec.partial.get(part):
        return [
            f"the mirror's {part} split is a part of the original: {sum(came)} of {sum(expected)} samples"
        ]
    raise InputError(
        f"{where}: expected {sum(expected)} samples, {_list(expected)}; got {sum(came)}, {_list(came)}"
    )


def _list(counts: Sequence[int]) -> str:
    return "/".join(map(str, counts))
