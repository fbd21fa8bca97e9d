"""Diagnose your own data: train a small classifier on them, and ask whether it is at its ceiling.

DATA is a folder with a folder of images per class, or a CSV with the columns text and label. It is
only read. The weights of the training samples, three figures and one page are written.
"""

import time
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from catwise.core.device import torch_device
from catwise.core.errors import InputError
from catwise.core.losses import Batch
from catwise.core.progress import progress
from catwise.data import encoding, own_files, splits
from catwise.data.dataset import SPLITS, Data
from catwise.diagnosis import Diagnosis, diagnose
from catwise.figures.counts import counts
from catwise.figures.influence_plane import influence_plane
from catwise.figures.style import png
from catwise.figures.training_curves import training_curves
from catwise.pipeline.files import folder, write_csv
from catwise.training import bert, evaluate, models
from catwise.training.epochs import Recipe, train_epochs

__all__ = ["main"]

FEWEST = 20  # samples of a class; a quarter of them are its noise
MAX_LENGTH, VOCABULARY, LAYERS = 64, 4000, 1  # tokens of a text, of the vocabulary; layers of BERT


@dataclass(frozen=True)
class Classifier:
    """Describe a classifier, its training, and how many samples are diagnosed at once."""

    model: str
    width: int
    epochs: int
    batch_size: int
    optimizer: Any
    learning_rate: float
    weight_decay: float
    at_once: int

    def recipe(self, n: int) -> Recipe:
        """Return the recipe for n samples: about 20 steps or more an epoch.

        More epochs in place of smaller batches would teach it wrong labels by heart.
        """
        return Recipe(
            seed=0,
            epochs=self.epochs,
            batch_size=min(max(n // 20, 8), self.batch_size),
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            channels_last=self.model == "resnet9",
        )


CLASSIFIERS = {  # as those of digits and of the small sets of coloured images and of texts
    "grey": Classifier("cnn", 16, 20, 50, "sgd", 0.2, 0.001, at_once=300),
    "rgb": Classifier("resnet9", 8, 6, 50, "sgd", 0.4, 0.001, at_once=250),
    "text": Classifier("bert", 64, 12, 32, "adamw", 0.001, 0.01, at_once=200),
}


def main(path: str, name: str = "mine", out: str | None = None) -> None:
    """Diagnose the data at ``path``; write the results to ``out``, by default catwise_NAME."""
    start = time.perf_counter()
    if not name.isidentifier():
        raise InputError(f"NAME: expected letters, digits and _; got {name!r}")
    torch.set_num_threads(1)  # as in the pipeline: the number changes the last digits
    sizes = count(path)
    data, classifier = read(path, sizes)
    batches = tensors(data)
    model, history = train(classifier, batches, data)
    is_text = bool(data.texts)
    diagnosis = diagnose(
        model,
        batches["train"],
        batches["validation_a"],
        data.classes,
        embeddings=is_text,
        mask=bert.real_positions if is_text else None,
        bins=bins(sizes),
        batch_size=classifier.at_once,
        progress=partial(progress, label="influence"),
    )
    show(diagnosis, data, history)
    results = folder(out or f"catwise_{name}")
    write(results, diagnosis, data, history)
    diagnosis.report(
        results / "report.html",
        inputs=None if is_text else data.x["train"],
        texts=data.texts.get("train"),
        names=data.names["train"],
        notes=[about(data, history)],
        title=Path(path).stem,
    )
    print(f"report: {results / 'report.html'}")
    print(f"\n{time.perf_counter() - start:.0f} s in all")


def count(path: str) -> dict[str, int]:
    """Count the samples of each class. Raises InputError for fewer than 2 classes or 20 samples."""
    if not path or not Path(path).exists():
        expected = "a folder with a folder of images per class, or a csv"
        raise InputError(f"DATA: expected {expected} with the columns text and label; got {path!r}")
    sizes = own_files.count_classes(path)
    if len(sizes) < 2:
        raise InputError(f"{path}: expected two classes or more; got {', '.join(sizes) or 'none'}")
    rarest = min(sizes, key=lambda name: sizes[name])
    if sizes[rarest] < FEWEST:
        raise InputError(
            f"{path}: expected {FEWEST} samples or more of every class;"
            f" got {sizes[rarest]} of {rarest!r}"
        )
    return sizes


def split_sizes(sizes: dict[str, int]) -> splits.Sizes:
    """Take a quarter of the samples for the influence, a fifth to test on, and train on the rest.

    Validation B is for a search that is not made here: it gets a few samples of every class.
    """
    total = sum(sizes.values())
    return {
        "train": "all",
        "validation_a": ceil(total / 4),
        "validation_b": 2 * ceil(total / min(sizes.values())),
        "test": total // 5,
    }


def bins(sizes: dict[str, int]) -> int:
    """Return how many bins of validation A have a sample of the rarest class each, at most 8."""
    return min(8, min(sizes.values()) // 4 - 1)


def read(path: str, sizes: dict[str, int]) -> tuple[Data, Classifier]:
    """Read and split the samples, and choose the classifier that fits them.

    Images become squares of at most 32 pixels, in colour if some of them have colour.
    """
    rng, classes = np.random.default_rng(0), list(sizes)
    if not Path(path).is_dir():
        raw = own_files.load_csv(path, classes)
        data = splits.split_in_four(rng, raw, split_sizes(sizes))
        return encoding.encode_texts(data, MAX_LENGTH, VOCABULARY, None), CLASSIFIERS["text"]
    side, has_colour = own_files.median_side_and_colour(path)
    colour, smallest = ("rgb", 12) if has_colour else ("grey", 4)
    raw = own_files.load_image_folder(path, classes, min(max(side, smallest), 32), colour)
    data = splits.split_in_four(rng, raw, split_sizes(sizes))
    return encoding.measure_channels(data), CLASSIFIERS[colour]


def tensors(data: Data) -> dict[str, Batch]:
    """Return every split as (x, y) or (ids, mask, y) on the device; images are standardised."""
    device = torch_device("auto")
    batches: dict[str, Batch] = {}
    for split in SPLITS:
        x, y = (torch.from_numpy(part[split]).to(device) for part in (data.x, data.y))
        if data.texts:
            batches[split] = (x, torch.from_numpy(data.mask[split]).to(device), y)
            continue
        mean, std = (torch.tensor(data.card[key], device=device) for key in ("mean", "std"))
        batches[split] = ((x.float() / 255 - mean[:, None, None]) / std[:, None, None], y)
    return batches


def train(
    classifier: Classifier, batches: dict[str, Batch], data: Data
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """Return the trained classifier, and its accuracy and loss in each class after every epoch."""
    x, num_classes = batches["train"][0], len(data.classes)
    recipe = classifier.recipe(len(x))
    if data.texts:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            size = data.card["vocabulary_size"]
            model: nn.Module = bert.small(size, x.shape[1], num_classes, classifier.width, LAYERS)
    else:
        model = models.build(classifier.model, x, num_classes, width=classifier.width)
    model.to(x.device)
    history: list[dict[str, Any]] = []
    for epoch in progress(train_epochs(model, batches["train"], recipe), "train", recipe.epochs):
        accuracy_k, loss_k = evaluate.per_class(model, batches["test"], num_classes)
        state = {"epoch": epoch, "split": "test"}
        history += evaluate.class_rows(accuracy_k, loss_k, data.classes, state)
    return model, history


def about(data: Data, history: list[dict[str, Any]]) -> str:
    """Say in a sentence whose ceiling it is: that of the classifier, and how good that is."""
    last = history[-len(data.classes) :]
    worst = min(last, key=lambda row: row["accuracy"])
    mean = np.mean([row["accuracy"] for row in last])
    return (
        f"This is the ceiling of a small classifier that was trained from scratch on"
        f" {len(data.y['train'])} samples, and that another one may not share. Its test accuracy is"
        f" {100 * mean:.1f} % on average over the classes, and {100 * worst['accuracy']:.1f} % in"
        f" the worst class, {worst['class']}."
    )


def show(diagnosis: Diagnosis, data: Data, history: list[dict[str, Any]]) -> None:
    """Print the verdict, the accuracy of the classes, and the samples that harm them most."""
    last = history[-len(data.classes) :]
    worst = min(last, key=lambda row: row["accuracy"])
    mean = np.mean([row["accuracy"] for row in last])
    first, second = diagnosis.ceiling.blocking
    print(f"verdict: {diagnosis.verdict}")
    print(f"{diagnosis.verdict.scope} {diagnosis.verdict.remedy}")
    print(f"most in each other's way: {first} and {second}")
    print(f"test accuracy: mean {mean:.3f}, worst class {worst['class']} {worst['accuracy']:.3f}")
    n = len(data.y["train"])
    print(f"\nmost detrimental of {n} training samples, by the influence on all classes, in nats:")
    for i in diagnosis.detrimental[:10]:
        text = " ".join(data.texts["train"][i].split())[:70] if data.texts else ""
        label = data.classes[data.y["train"][i]]
        line = f"{diagnosis.p_nk[i].sum():10.3g}  given {label}  {data.names['train'][i]}"
        print(f"{line}: {text}" if text else line)


def write(out: Path, diagnosis: Diagnosis, data: Data, history: list[dict[str, Any]]) -> None:
    """Write the weights, and the figures of the two classes that block each other most."""
    labels_n, classes = data.y["train"], data.classes
    columns = {
        "sample": data.names["train"],
        "label": [classes[label] for label in labels_n],
        "weight": diagnosis.weights_n,
        "influence": diagnosis.p_nk.sum(axis=1),
    }
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    write_csv(out / "weights.csv", rows)
    pair = diagnosis.ceiling.blocking
    pictures = {
        "influence_plane": influence_plane(diagnosis.p_nk, labels_n, data.flipped, classes, pair),
        "counts": counts(diagnosis.p_nk, labels_n, classes),
        "training_curves": training_curves(pd.DataFrame(history), classes),
    }
    figures = folder(str(out), "figures")
    for name, picture in pictures.items():
        (figures / f"{name}.png").write_bytes(png(picture.figure))
    noise = "" if diagnosis.verdict.answer == "room" else "; they may be noise"
    print(f"\nweights that raise every class to first order{noise}: {out / 'weights.csv'}")
    print(f"figures: {figures}")
