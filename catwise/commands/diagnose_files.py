"""Diagnose your own data with one command: a folder of images per class, or a csv with the columns text and label.

    catwise diagnose photos                    results in scratch/mine/mine
    catwise diagnose mails.csv --name mails    in scratch/mine/mails

Trains a small classifier and asks whether it has reached its ceiling: the stages prepare to ceiling, on parameters of
their own, those of the most similar data set in params.yaml with sizes that fit. Nothing is retrained: fidelity,
removal and reweight are left out. Needs neither DVC nor MLflow.
"""

import argparse
import shutil
import time
from contextlib import chdir
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from catwise.config import params
from catwise.core.errors import InputError
from catwise.data import dataset, own_files
from catwise.figures.gallery import draw_vectors, write
from catwise.pipeline.files import folder, read_json, read_npz, write_csv
from catwise.pipeline.results import Place, live
from catwise.pipeline.stage import ending
from catwise.reweighting.joint_direction import direction, direction_weights
from stages import ceiling, curvature, influence, prepare, train

ALIKE = {
    "grey": "digits",
    "rgb": "cifar10_small",
    "text": "emotion_small",
}  # whose parameters are followed
FEWEST = 20  # samples of a class; a quarter of them are its noise


def main(path: str, name: str) -> None:
    begin = time.perf_counter()
    if not name.isidentifier():
        raise InputError(f"NAME: expected letters, digits and _; got {name!r}")
    parameters = {"run": {"datasets": [name]}, "datasets": {name: section(path)}}
    work = Path("scratch", "mine", name)
    shutil.rmtree(work, ignore_errors=True)
    YAML(typ="safe", pure=True).dump(parameters, folder(str(work)) / "params.yaml")
    with chdir(work):
        for stage in (prepare, train, curvature, influence, ceiling):
            start = time.perf_counter()
            stage.main(name)
            print(
                f"{name}: {stage.__name__.removeprefix('stages.')}, {time.perf_counter() - start:.0f} s",
                flush=True,
            )
    show(work, name)
    print(f"\n{time.perf_counter() - begin:.0f} s in all")


def section(path: str) -> dict[str, Any]:
    """The parameters: a quarter of the samples for influence, a fifth to test on, few for a search that is not made."""
    if not path or not Path(path).exists():
        wanted = (
            "a folder with a folder of images per class, or a csv with the columns text and label"
        )
        raise InputError(f"DATA: expected {wanted}; got {path!r}")
    counts = own_files.count_classes(path)
    if len(counts) < 2:
        raise InputError(f"{path}: expected two classes or more; got {', '.join(counts) or 'none'}")
    rarest = min(counts, key=lambda name: counts[name])
    if counts[rarest] < FEWEST:
        raise InputError(
            f"{path}: expected {FEWEST} samples or more of every class; got {counts[rarest]} of {rarest!r}"
        )
    kind, format = shape(path)
    known = params.load().datasets
    if ALIKE[kind] not in known:
        raise InputError(
            f"params.yaml: datasets: expected {ALIKE[kind]}, whose parameters are followed; got none"
        )
    found = known[ALIKE[kind]].model_dump()
    total = sum(counts.values())
    sizes = {
        "validation_a": ceil(total / 4),
        "validation_b": 2 * ceil(total / counts[rarest]),
        "test": total // 5,
    }
    own = {
        "path": str(Path(path).resolve()),
        "classes": list(counts),
        "train": "all",
        "flip_share": 0.0,
    }
    kept = {
        key: value
        for key, value in found["prepare"].items()
        if key not in ("train", "flip_share", "source")
    }
    found["prepare"] = kept | own | sizes | format
    left = total - sum(sizes.values())
    batch_size = min(
        max(left // 20, 8), found["train"]["batch_size"]
    )  # more epochs would learn wrong labels by heart
    found["train"]["batch_size"] = batch_size
    found["curvature"] |= {"earlier": [], "samples": "all"}
    found["influence"]["bins"] = min(8, counts[rarest] // 4 - 1)
    found["fidelity"]["samples"] = []
    found["figures"]["classes"] = list(counts)[:2]
    return found | {"reweight": None}


def shape(path: str) -> tuple[str, dict[str, Any]]:
    """What the data are like, and how they are read: images as squares of at most 32 pixels, in colour if some are."""
    if not Path(path).is_dir():
        return "text", {"source": "csv"}
    side, colour = own_files.median_side_and_colour(path)
    kind, least = ("rgb", 12) if colour else ("grey", 4)
    return kind, {"source": "imagefolder", "size": min(max(side, least), 32), "colour": kind}


def show(work: Path, name: str) -> None:
    """Prints the answer; writes the weights, and the figures of the two classes that are most in each other's way."""

    def place(part: str) -> Path:
        return work / live(name)(part)

    checked, trained = (
        read_json(place("ceiling") / "ceiling.json"),
        read_json(place("train") / "metrics.json"),
    )
    first, second = sorted(checked["exchange"], key=lambda name: -checked["exchange"][name])[:2]
    rows, described = samples(place)
    print(f"\n{checked['verdict']}")
    print(f"most in each other's way: {first} and {second}")
    accuracy = f"mean {trained['mean_class_accuracy']:.3f}, worst class {trained['worst_class']}"
    print(f"test accuracy of the classes: {accuracy} {trained['worst_class_accuracy']:.3f}")
    print(
        f"\nmost detrimental of {len(rows)} training samples, by the summed influence on all classes:"
    )
    for i in sorted(range(len(rows)), key=lambda i: rows[i]["influence"])[:10]:
        print(f"{rows[i]['influence']:10.3g}  given {rows[i]['label']}  {described[i]}")
    write_csv(work / "weights.csv", rows)
    write(folder(str(work), "figures"), draw_vectors(place, (first, second)))
    noise = "" if checked["room"] else "; at a ceiling they are noise"
    print(f"\nweights that raise every class to first order{noise}: {work / 'weights.csv'}")
    print(f"figures: {work / 'figures'}\nparameters: {work / 'params.yaml'}")


def samples(place: Place) -> tuple[list[dict[str, Any]], list[str]]:
    """A row for each training sample, and how to call it: its file, or its line and text."""
    arrays = read_npz(place("data") / "arrays.npz")
    classes = read_json(place("data") / "card.json")["classes"]
    names = dataset.unpack(arrays["train/name"], arrays["train/name_offsets"])
    p_nk = read_npz(place("influence") / "vectors.npz")["P"].astype(np.float64)
    labels_n = arrays["train/y"]
    weights_n = direction_weights(direction(p_nk, labels_n).delta_n, labels_n)
    total_n = p_nk.sum(axis=1)
    rows = [
        {"sample": name, "label": classes[label], "weight": weight, "influence": total}
        for name, label, weight, total in zip(names, labels_n, weights_n, total_n, strict=True)
    ]
    if "train/text" not in arrays:
        return rows, names
    texts = dataset.unpack(arrays["train/text"], arrays["train/offsets"])
    return rows, [
        f"{name}: {' '.join(text.split())[:70]}" for name, text in zip(names, texts, strict=True)
    ]


def arguments() -> dict[str, Any]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", help="a folder with a folder of images per class, or a csv")
    parser.add_argument("--name", default="mine", help="of the folder of the results")
    return vars(parser.parse_args())


if __name__ == "__main__":
    with ending():
        main(**arguments())
