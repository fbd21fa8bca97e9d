"""Generate or load a data set, split it in four, and describe it in a data card."""

import hashlib
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from catwise.data import bert_files, digits, own_files, published, splits
from catwise.data import dataset as dataset_
from catwise.data.downloads import require_space
from catwise.pipeline.files import folder, write_json, write_npz, write_whole
from catwise.pipeline.stage import run, settings


def main(dataset: str) -> None:
    parameters = settings(dataset)
    prepare = parameters.prepare
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
        for name in bert_files.WEIGHTS:
            write_whole(weights / name, partial(shutil.copyfile, Path(bert_files.folder(), name)))
    if data.tokenizer:
        write_whole(out / "tokenizer.json", lambda scratch: scratch.write_text(data.tokenizer))
    write_json(
        out / "card.json",
        {
            "name": dataset,
            "source": prepare.source,
            "licence": data.licence,
            "classes": data.classes,
            "shape": data.x["train"].shape[1:],
            "counts": {
                split: np.bincount(data.y[split], minlength=len(data.classes))
                for split in dataset_.SPLITS
            },
            "flipped_training_labels": int(data.flipped.sum()),
            **data.card,
            "sha256": digest.hexdigest(),
        },
    )


def load(prepare: Any) -> dataset_.Data:
    """The data set that the ``prepare`` section describes."""
    rng = np.random.default_rng(prepare.seed)
    sizes = prepare.model_dump(include=set(dataset_.SPLITS))
    match prepare.source:
        case "linear" | "nonlinear":
            return getattr(dataset_, prepare.source)(rng, sizes, prepare.flips)
        case "digits":
            return digits.digits(rng, sizes, prepare.flip_share)
        case "cifar10" | "stl10":
            return splits.images(
                rng, published.load_published(prepare.source), sizes, prepare.flip_share
            )
        case "imagefolder":
            raw = own_files.load_image_folder(
                prepare.path, prepare.classes, prepare.size, prepare.colour
            )
            return splits.images(rng, raw, sizes, prepare.flip_share)
        case "csv":
            raw = own_files.load_csv(prepare.path, prepare.classes)
        case _:
            raw = published.load_published(prepare.source)
    tokenizer = bert_files.tokenizer() if prepare.vocabulary == "bert-base-cased" else None
    return splits.texts(
        rng, raw, sizes, prepare.flip_share, prepare.max_length, prepare.vocabulary_size, tokenizer
    )


if __name__ == "__main__":
    run(main, __doc__)
