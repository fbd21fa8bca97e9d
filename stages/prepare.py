"""Generate or load a data set, split it in four, and describe it in a data card."""

import hashlib
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from catwise import datasets, files, pretrained, sources
from catwise.downloads import require_space
from stages.io import folder, run, settings, write_json, write_npz, written


def main(dataset: str) -> None:
    (prepare,) = settings(dataset, "prepare")
    data = load(prepare)
    arrays = data.arrays()
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    require_space(Path("data", dataset), sum(array.nbytes for array in arrays.values()) + 2**24)
    out = folder("data", dataset)
    write_npz(out / "arrays.npz", **arrays, flipped=data.flipped)
    if getattr(prepare, "weights", "none") != "none":
        weights = folder("data", dataset, "pretrained")
        for name in pretrained.WEIGHTS:
            written(weights / name, partial(shutil.copyfile, Path(pretrained.folder(), name)))
    if data.tokenizer:
        written(out / "tokenizer.json", lambda scratch: scratch.write_text(data.tokenizer))
    write_json(
        out / "card.json",
        {
            "name": dataset,
            "source": prepare.source,
            "licence": data.licence,
            "classes": data.classes,
            "shape": data.x["train"].shape[1:],
            "counts": {split: np.bincount(data.y[split], minlength=len(data.classes)) for split in datasets.SPLITS},
            "flipped_training_labels": int(data.flipped.sum()),
            **data.card,
            "sha256": digest.hexdigest(),
        },
    )


def load(prepare: Any) -> datasets.Data:
    """The data set that the ``prepare`` section describes."""
    rng = np.random.default_rng(prepare.seed)
    sizes = prepare.model_dump(include=set(datasets.SPLITS))
    match prepare.source:
        case "linear" | "nonlinear":
            return getattr(datasets, prepare.source)(rng, sizes, prepare.flips)
        case "digits":
            return datasets.digits(rng, sizes, prepare.flip_share)
        case "cifar10" | "stl10":
            return datasets.images(rng, sources.known(prepare.source), sizes, prepare.flip_share)
        case "imagefolder":
            raw = files.image_folder(prepare.path, prepare.classes, prepare.size, prepare.colour)
            return datasets.images(rng, raw, sizes, prepare.flip_share)
        case "csv":
            raw = files.csv_file(prepare.path, prepare.classes)
        case _:
            raw = sources.known(prepare.source)
    tokenizer = pretrained.tokenizer() if prepare.vocabulary == "bert-base-cased" else None
    return datasets.texts(rng, raw, sizes, prepare.flip_share, prepare.max_length, prepare.vocabulary_size, tokenizer)


if __name__ == "__main__":
    run(main, __doc__)
