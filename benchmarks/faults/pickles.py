"""A pickle that would run a command, in each place where a file is read. It must stay unread, and be named."""

import io
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.faults.damaged_files import contents, read_by_stages, restored
from benchmarks.faults.workspace import Ended, Forks, Workspace, alone, resized

MARKER = "executed"  # the file that the command makes, in the folder that a stage runs in


class Command:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {MARKER}",)


def bare() -> bytes:
    return pickle.dumps(Command())


def of_torch() -> bytes:
    """As ``torch.save`` writes weights: a pickle in a zip archive."""
    file = io.BytesIO()
    torch.save({"weight": Command()}, file)
    return file.getvalue()


def of_numpy() -> bytes:
    """An npz archive of arrays of objects, by the names that the stages ask for."""
    file, held = io.BytesIO(), np.array([Command()], dtype=object)
    names = [
        "flipped",
        "P",
        *(f"{split}/{part}" for split in ("train", "validation_a") for part in ("x", "y")),
    ]
    np.savez(file, allow_pickle=True, **dict.fromkeys(names, held))
    return file.getvalue()


FORMS: tuple[Callable[[], bytes], ...] = (bare, of_torch, of_numpy)


def dangerous() -> bool:
    """Whether each form does run its command where pickles are read: else its absence would tell nothing."""
    ran = []
    for form in FORMS:
        with tempfile.TemporaryDirectory() as folder:
            reader = {
                bare: "import pickle; pickle.load(open('x', 'rb'))",
                of_torch: "import torch; torch.load('x', weights_only=False)",
                of_numpy: "import numpy; dict(numpy.load('x', allow_pickle=True))",
            }[form]
            Path(folder, "x").write_bytes(form())
            subprocess.run([sys.executable, "-c", reader], cwd=folder, check=True)
            ran.append(Path(folder, MARKER).exists())
    return all(ran)


def of_stages(forks: Forks, space: Workspace, dataset: str) -> Iterator[tuple[str, str | None]]:
    """Every file that one stage reads of another."""
    whole = contents(space)
    for read in read_by_stages(space, dataset):
        for form in FORMS:
            (space.folder / read.path).write_bytes(form())
            ended = forks(space.folder, f"stages.{read.stage}", dataset)
            (space.folder / read.path).write_bytes(whole[read.path])
            unread = ended.code == 0 and restored(
                space, whole
            )  # as the checkpoint that training starts from
            restored(space, whole)
            wrong = _wrong(space.folder, ended, f"{form.__name__} as {read.path}", read.path)
            yield read.stage, None if unread and wrong and "EXECUTED" not in wrong else wrong


def of_users(forks: Forks, space: Workspace, dataset: str) -> Iterator[tuple[str, str | None]]:
    """The user's own texts and images, a mirror's, pretrained weights, and the tracking database."""
    places: dict[str, Callable[[], Ended]] = {
        "mine/texts.csv": lambda: _prepared(space, "emotion_small", TEXTS),
        "mine/images/a/1.png": lambda: _prepared(space, "digits", IMAGES),
        "mirror/dair-ai/emotion/split/train-00000-of-00001.parquet": lambda: _prepared(
            space, "emotion_small", {}
        ),
        "model.safetensors": lambda: _pretrained(space.folder),
        "pytorch_model.bin": lambda: _pretrained(space.folder),
        "mlflow.db": lambda: forks(space.folder, "stages.track", dataset),
    }
    for name, read in places.items():
        for form in FORMS:
            path = space.folder / name
            before = path.read_bytes() if path.exists() else None
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(form())
            ended = read()
            path.unlink()
            if before is not None:
                path.write_bytes(before)
            shown = "model.safetensors" if name == "pytorch_model.bin" else name
            yield name, _wrong(space.folder, ended, f"{form.__name__} as {name}", shown)


OWN = {
    "seed": 0,
    "train": "all",
    "flip_share": 0.0,
    "validation_a": 1,
    "validation_b": 1,
    "test": 1,
}
TEXTS = OWN | {
    "source": "csv",
    "path": "mine/texts.csv",
    "classes": ["joy", "love"],
    "max_length": 8,
}
TEXTS |= {"vocabulary": "learned", "vocabulary_size": 50, "weights": "none"}
IMAGES = OWN | {
    "source": "imagefolder",
    "path": "mine/images",
    "classes": ["a", "b"],
    "size": 8,
    "colour": "grey",
}


def _prepared(space: Workspace, dataset: str, own: dict[str, Any]) -> Ended:
    """``stages.prepare`` on a data set, made one of the user's own."""
    path = space.folder / "params.yaml"
    before = path.read_bytes()
    (space.folder / "mine" / "images" / "b").mkdir(parents=True, exist_ok=True)
    if own:
        shown = {f"datasets.{dataset}.figures.classes": own["classes"]}
        resized(path, {f"datasets.{dataset}.prepare": own, **shown})
    ended = alone(space.folder, "stages.prepare", dataset, CATWISE_MIRROR="mirror")
    path.write_bytes(before)
    return ended


def _pretrained(folder: Path) -> Ended:
    """What reads pretrained weights, in place of a stage on a real BERT."""
    config = {
        "model_type": "bert",
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
    }
    (folder / "config.json").write_text(
        json.dumps(config | {"intermediate_size": 32, "vocab_size": 9})
    )
    (folder / "pretrained.py").write_text(
        "from catwise.training import bert\nfrom catwise.pipeline.stage import run\nrun(lambda: bert.pretrained('.', 2), '')\n"
    )
    ended = alone(folder, "pretrained")
    for name in ("config.json", "pretrained.py"):
        (folder / name).unlink()
    return ended


def _wrong(folder: Path, ended: Ended, what: str, *names: str) -> str | None:
    marker = folder / MARKER
    ran = marker.exists()
    marker.unlink(missing_ok=True)
    if ended.one_line(*names) and not ran:
        return None
    last = (ended.said.splitlines() or ["nothing said"])[-1][:160]
    return f"{what}: {'EXECUTED, ' if ran else ''}exit {ended.code}: {last}"
