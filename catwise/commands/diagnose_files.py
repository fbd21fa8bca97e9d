"""Diagnose your own data: train a small classifier on them, and ask whether it is at its ceiling.

DATA is a folder with a folder of images per class, or a CSV with the columns text and label. It is
only read. The weights of the training samples, the labels that look wrong, three figures and one
page are written. ``improve`` trains anew with other weights, which checks the verdict and says what
it is good for.
"""

import os
import re
import time
import warnings
from contextlib import nullcontext
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from catwise.ceiling.calibration import FEWEST_SUBSETS
from catwise.commands.results_folder import new_results
from catwise.commands.small_classifier import CLASSIFIERS, Classifier, train, train_weighted
from catwise.core.device import torch_device
from catwise.core.errors import InputError
from catwise.core.losses import Batch
from catwise.core.numbers import require_number
from catwise.core.progress import progress
from catwise.data import encoding, own_files, splits
from catwise.data.dataset import SPLITS, Data
from catwise.diagnosis import Diagnosis, diagnose
from catwise.figures.counts import counts
from catwise.figures.influence_plane import influence_plane
from catwise.figures.style import png
from catwise.figures.training_curves import training_curves
from catwise.improvement import own_training
from catwise.pipeline.files import folder, write_csv
from catwise.pipeline.workers import open_workers
from catwise.sharing import page
from catwise.sharing.frames import not_judged
from catwise.training import bert

__all__ = ["main"]

FEWEST = 20  # samples of a class; a quarter of them are its noise
MAX_LENGTH, VOCABULARY = 64, 4000  # tokens of a text, and of the vocabulary
SHOWN = 10  # samples of each list that is printed
BETTER = "improved_weights.csv"  # with --improve alone
FILES = {
    "label_issues.csv": "labels that look wrong",
    "weights.csv": "weights that raise every class to first order (without room maybe noise)",
    BETTER: "the weights of --improve",
    "figures": "figures",
    "report.html": "report",
}


def main(
    path: str,
    name: str = "mine",
    out: str | None = None,
    improve: bool = False,
    allowed_loss: float = 0.0,
    halves: int = 8,
) -> None:
    """Diagnose the data at ``path``; write the results to ``out``, by default catwise_NAME.

    With ``improve`` the verdict is checked by trainings on ``halves`` random halves, and better
    weights are looked for, with which a class may lose ``allowed_loss`` points
    (``catwise.improve``).
    """
    start = time.perf_counter()
    require_number("--allowed-loss", allowed_loss, 0)
    require_number("--halves", halves, FEWEST_SUBSETS, whole=True)
    if not re.fullmatch(r"\w+", name):
        raise InputError(f"--name: expected letters, digits and _; got {name!r}")
    out = out or f"catwise_{name}"
    classes = list(count(path))
    if Path(out).resolve().is_relative_to(Path(path).resolve()):
        raise InputError(f"--out: expected a folder outside DATA, {path}; got {out!r}")
    torch.set_num_threads(1)  # as in the pipeline: the number changes the last digits
    data, classifier, sizes = read(path, classes)
    with new_results(out, BETTER) as results:
        settings = {"bins": bins(sizes), "halves": halves}
        title = Path(path).resolve().stem
        _diagnose(results, data, classifier, settings, improve, allowed_loss, title)
    print()
    for file, words in FILES.items():
        if improve or file != BETTER:
            print(f"{words}: {Path(out, file)}")
    print(f"\n{time.perf_counter() - start:.0f} s in all")


def _diagnose(
    results: Path,
    data: Data,
    classifier: Classifier,
    settings: dict[str, Any],
    improve: bool,
    allowed_loss: float,
    title: str,
) -> None:
    """Train, diagnose, print the diagnosis, and write it to the folder ``results``.

    ``settings`` are arguments of ``catwise.diagnose``.
    """
    batches, is_text = tensors(data), bool(data.texts)
    model, history, margin_n = train(classifier, batches, data)
    retrain = partial(train_weighted, classifier, batches, data)
    options: dict[str, Any] = {
        "embeddings": is_text,
        "mask": bert.real_positions if is_text else None,
        "batch_size": classifier.at_once,
    }
    on_cpu = not batches["train"][-1].is_cuda
    pool = open_workers() if on_cpu and os.environ.get("CATWISE_WORKERS") else nullcontext()
    with pool as workers:
        diagnosis = diagnose(
            model,
            batches["train"],
            batches["validation_a"],
            data.classes,
            retrain=retrain if improve else None,
            workers=workers,
            progress=partial(progress, label="influence"),
            **settings,
            **options,
        )
    issues = label_issues(diagnosis, data, margin_n)
    summary = summarise(issues, margin_n, data)
    show(diagnosis, data, history, issues, summary)
    write(results, diagnosis, data, history, issues)
    notes = [*data.card["notes"], about(data, history)]
    if improve:
        options["allowed_loss"] = allowed_loss
        notes.append(improved(results, retrain, batches, data, options))
    text = page.render(
        diagnosis,
        title,
        None if is_text else data.x["train"],
        data.texts.get("train"),
        data.names["train"],
        notes,
        summary,
        improve,
    )
    (results / "report.html").write_text(text, encoding="utf-8")


def count(path: str) -> dict[str, int]:
    """Count the samples of each class, by file or line.

    Raises InputError for fewer than 2 classes or 20 samples.
    """
    if not path or not Path(path).exists():
        expected = "a folder with a folder of images per class, or a csv"
        raise InputError(f"DATA: expected {expected} with the columns text and label; got {path!r}")
    sizes = own_files.count_classes(path)
    if len(sizes) < 2:
        raise InputError(f"{path}: expected two classes or more; got {', '.join(sizes) or 'none'}")
    _require_enough(path, sizes, "samples")
    return sizes


def _require_enough(path: str, sizes: dict[str, int], what: str) -> None:
    """Raise InputError for fewer than 20 samples of a class."""
    rarest = min(sizes, key=lambda name: sizes[name])
    if sizes[rarest] < FEWEST:
        raise InputError(
            f"{path}: expected {FEWEST} {what} or more of every class;"
            f" got {sizes[rarest]} of {rarest!r}"
        )


def split_sizes(sizes: dict[str, int]) -> splits.Sizes:
    """Take a quarter of the samples for the influence, a fifth to test on, and train on the rest.

    Validation B gets a few samples of every class; ``improve`` alone uses it, together with A.
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


def read(path: str, classes: list[str]) -> tuple[Data, Classifier, dict[str, int]]:
    """Read and split the samples, choose the classifier that fits, and count what differs by class.

    Images become squares of at most 32 pixels, in colour if some of them have colour. Copies of a
    sample go by the first, so that the splits are sized by the samples that differ.
    """
    kind = "text"
    if not Path(path).is_dir():
        raw = own_files.load_csv(path, classes)
    else:
        side, has_colour = own_files.median_side_and_colour(path)
        kind, smallest = ("rgb", 12) if has_colour else ("grey", 4)
        raw = own_files.load_image_folder(path, classes, min(max(side, smallest), 32), kind)
    sizes = splits.distinct_sizes(raw)
    _require_enough(path, sizes, "different samples")
    data = splits.split_in_four(np.random.default_rng(0), raw, split_sizes(sizes))
    if kind == "text":
        return encoding.encode_texts(data, MAX_LENGTH, VOCABULARY, None), CLASSIFIERS[kind], sizes
    return encoding.measure_channels(data), CLASSIFIERS[kind], sizes


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


def improved(
    out: Path,
    retrain: own_training.TrainFunction,
    batches: dict[str, Batch],
    data: Data,
    options: dict[str, Any],
) -> str:
    """Look for better weights, write them as a table, and return a sentence on what they gain.

    Both validation splits judge: together they have seven samples of every class or more.
    """
    both = zip(batches["validation_a"], batches["validation_b"], strict=True)
    improvement = own_training.improve(
        retrain,
        batches["train"],
        tuple(torch.cat(parts) for parts in both),
        batches["test"],
        data.classes,
        progress=partial(progress, label="improve"),
        **options,
    )
    write_weights(out / BETTER, improvement.weights_n, data)
    print(f"\n{improvement}")
    return f"{improvement.sentence[0].upper()}{improvement.sentence[1:]}."


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


def label_issues(diagnosis: Diagnosis, data: Data, margin_n: np.ndarray) -> pd.DataFrame:
    """Return which labels look wrong by their margin during the training, the worst first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the summary says what cannot be judged
        table = diagnosis.label_issues(margin_n)
    table.insert(0, "sample", data.names["train"])
    table.insert(1, "running_margin", margin_n)
    return table.sort_values(["is_label_issue", "label_quality"], ascending=[False, True])


def summarise(issues: pd.DataFrame, margin_n: np.ndarray, data: Data) -> list[str]:
    """Say how many labels look wrong, and of which class they cannot be judged."""
    wrong = issues[issues["is_label_issue"]]
    line = f"{len(wrong) or 'none'} of {len(issues)} training samples look mislabelled"
    pairs = wrong[wrong["given_label"] != wrong["predicted_label"]]
    if len(pairs):
        counts = pairs.value_counts(["given_label", "predicted_label"])
        given, predicted = counts.index[0]
        line += f"; most often {given} that look like {predicted} ({counts.iloc[0]})"
    unlearnt = not_judged(margin_n, data.y["train"], data.classes)
    return [line, unlearnt] if unlearnt else [line]


def show(
    diagnosis: Diagnosis,
    data: Data,
    history: list[dict[str, Any]],
    issues: pd.DataFrame,
    summary: list[str],
) -> None:
    """Print the verdict, the accuracy of the classes, and the samples to look at."""
    last = history[-len(data.classes) :]
    worst = min(last, key=lambda row: row["accuracy"])
    mean = np.mean([row["accuracy"] for row in last])
    first, second = diagnosis.ceiling.blocking
    print(*summary, f"verdict: {diagnosis.verdict}", sep="\n")
    if "influence mass" in diagnosis.verdict.sentence:
        print(f"({page.MASS})")
    print(f"{diagnosis.verdict.scope} {diagnosis.verdict.remedy_with(page.SUBSETS[True])}")
    if diagnosis.verdict.answer == "room":  # at a ceiling the verdict names them
        print(f"most in each other's way: {first} and {second}")
    print(f"test accuracy: mean {mean:.3f}, worst class {worst['class']} {worst['accuracy']:.3f}")
    for note in data.card["notes"]:
        print(note)
    wrong = issues[issues["is_label_issue"]][:SHOWN]
    if len(wrong):
        print("\nlabels that look wrong, by their margin during the training:")
    for i, margin in wrong["running_margin"].items():
        given, predicted = wrong.loc[i, ["given_label", "predicted_label"]]
        looks = f"; looks like {predicted}" if given != predicted else ""
        print(f"{margin:10.3g}  {sample(data, i)}{looks}")
    n = len(data.y["train"])
    print(f"\nmost detrimental of {n} training samples, by the influence on all classes, in nats:")
    for i in diagnosis.detrimental[:SHOWN]:
        print(f"{diagnosis.p_nk[i].sum():10.3g}  {sample(data, i)}")
    print(f"({page.CAVEAT})")


def sample(data: Data, i: int) -> str:
    """Name a training sample, with its label and the beginning of its text."""
    words = f"given {data.classes[data.y['train'][i]]}  {data.names['train'][i]}"
    text = " ".join(data.texts["train"][i].split())[:70] if data.texts else ""
    return f"{words}: {text}" if text else words


def write(
    out: Path,
    diagnosis: Diagnosis,
    data: Data,
    history: list[dict[str, Any]],
    issues: pd.DataFrame,
) -> None:
    """Write both tables, and the figures of the two classes that block each other most."""
    labels_n, classes = data.y["train"], data.classes
    influence_n = diagnosis.p_nk.sum(axis=1)
    write_weights(out / "weights.csv", diagnosis.weights_n, data, influence=influence_n)
    write_csv(out / "label_issues.csv", issues.to_dict("records"))
    pair = diagnosis.ceiling.blocking
    pictures = {
        "influence_plane": influence_plane(diagnosis.p_nk, labels_n, data.flipped, classes, pair),
        "counts": counts(diagnosis.p_nk, labels_n, classes),
        "training_curves": training_curves(pd.DataFrame(history), classes),
    }
    figures = folder(str(out), "figures")
    for name, picture in pictures.items():
        (figures / f"{name}.png").write_bytes(png(picture.figure))


def write_weights(path: Path, weights_n: np.ndarray, data: Data, **more: np.ndarray) -> None:
    """Write a row for each training sample: its name, label and weight, and what more there is."""
    names, labels_n = data.names["train"], data.y["train"]
    frame = pd.DataFrame(
        {
            "sample": names,
            "label": [data.classes[label] for label in labels_n],
            "weight": weights_n,
            **more,
        }
    )
    write_csv(path, frame.to_dict("records"))
