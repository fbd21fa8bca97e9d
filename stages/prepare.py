"""Generate or load a data set, split it in four, and describe it in a data card."""

import hashlib
import os
from contextlib import chdir
from dataclasses import fields
from pathlib import Path

import numpy as np

from catwise.config.prepare import Csv, Digits, ImageFolder, Images, Prepare, Synthetic, Texts
from catwise.data import bert_files, own_files, synthetic
from catwise.data.dataset import SPLITS, Data
from catwise.data.digits import digits
from catwise.data.downloads import require_space
from catwise.data.encoding import encode_texts, measure_channels
from catwise.data.published import load_published
from catwise.data.splits import split_in_four
from catwise.data.spoil import Spoiling
from catwise.pipeline.files import folder, write_json, write_npz, write_whole
from catwise.pipeline.stage import run, section_errors, settings


def main(dataset: str) -> None:
    parameters = settings(dataset)
    prepare = parameters.prepare
    with section_errors(dataset, "prepare", prepare):
        data = load(prepare, parameters.influence.bins)
    pretrained = getattr(prepare, "weights", "none")  # downloaded before anything is written
    weights = bert_files.weights(pretrained) if pretrained != "none" else {}
    arrays = data.arrays()
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    require_space(Path("data", dataset), sum(array.nbytes for array in arrays.values()) + 2**24)
    out = folder("data", dataset)
    write_npz(out / "arrays.npz", **arrays, flipped=data.flipped)
    for name, write in weights.items():
        write_whole(folder("data", dataset, "pretrained") / name, write)
    if data.tokenizer:
        write_whole(out / "tokenizer.json", lambda scratch: scratch.write_text(data.tokenizer))
    count = {split: np.bincount(data.y[split], minlength=len(data.classes)) for split in SPLITS}
    card = {
        "name": dataset,
        "source": prepare.source,
        "licence": data.licence,
        "classes": data.classes,
        "shape": data.x["train"].shape[1:],
        "counts": count,
        "flipped_training_labels": int(data.flipped.sum()),
        **prepare.model_dump(include={"imbalance", "flip_to"}),
        **data.card,
        "sha256": digest.hexdigest(),
    }
    write_json(out / "card.json", card)


def load(prepare: Prepare, bins: int) -> Data:
    """Make the data set that the section ``prepare`` describes.

    No class of the training samples is made rarer than there are ``bins``. The user's own files are
    looked for from the top of the project, also where an experiment runs in a folder of its own.
    """
    rng = np.random.default_rng(prepare.seed)
    sizes = prepare.model_dump(include=set(SPLITS))
    options = prepare.model_dump(include={field.name for field in fields(Spoiling)})
    spoiling = Spoiling(**options, fewest=bins)
    top = os.environ.get("DVC_ROOT") or "."
    match prepare:
        case Synthetic(source="linear"):
            return synthetic.linear(rng, sizes, prepare.flips)
        case Synthetic():
            return synthetic.nonlinear(rng, sizes, prepare.flips)
        case Digits():
            return digits(rng, sizes, spoiling)
        case ImageFolder(path=path, classes=classes, size=size, colour=colour):
            with chdir(top):
                raw = own_files.load_image_folder(path, classes, size, colour)
        case Csv(path=path, classes=classes):
            with chdir(top):
                raw = own_files.load_csv(path, classes)
        case Images() | Texts():
            raw = load_published(prepare.source)
    data = split_in_four(rng, raw, sizes, spoiling)
    if isinstance(prepare, Images | ImageFolder):
        return measure_channels(data)
    learned = prepare.vocabulary == "learned"
    tokenizer = None if learned else bert_files.load_tokenizer(prepare.vocabulary)
    return encode_texts(data, prepare.max_length, prepare.vocabulary_size, tokenizer)


if __name__ == "__main__":
    run(main, __doc__)
