"""Put a pickle that would run a command wherever a file is read: it must stay unread."""

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

from benchmarks.faults.damaged_files import contents, read_by_stages, restore
from benchmarks.faults.workspace import Ended, Forks, Workspace, resize, run_apart

__all__ = ["dangerous", "failure", "in_files_of_stages", "in_files_of_users"]

MARKER = "executed"  # the file that the command makes, in the folder that a stage runs in


class Command:
    """Run a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {MARKER}",)


def bare() -> bytes:
    """Return a pickle and nothing else."""
    return pickle.dumps(Command())


def as_torch() -> bytes:
    """Return what ``torch.save`` writes: a pickle in a zip archive."""
    file = io.BytesIO()
    torch.save({"weight": Command()}, file)
    return file.getvalue()


def as_numpy() -> bytes:
    """Return an npz archive of arrays of objects, by the names that the stages ask for."""
    file, objects = io.BytesIO(), np.array([Command()], dtype=object)
    names = [
        "flipped",
        "P",
        *(f"{split}/{part}" for split in ("train", "validation_a") for part in ("x", "y")),
    ]
    np.savez(file, allow_pickle=True, **dict.fromkeys(names, objects))
    return file.getvalue()


FORMS: dict[Callable[[], bytes], str] = {  # each with what reads it
    bare: "import pickle; pickle.load(open('x', 'rb'))",
    as_torch: "import torch; torch.load('x', weights_only=False)",
    as_numpy: "import numpy; dict(numpy.load('x', allow_pickle=True))",
}


def dangerous() -> bool:
    """Return whether each form runs its command where pickles are read.

    If one did not, it would prove nothing that its command does not run elsewhere.
    """
    ran = []
    for form, reader in FORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "x").write_bytes(form())
            subprocess.run([sys.executable, "-c", reader], cwd=folder, check=True)
            ran.append(Path(folder, MARKER).exists())
    return all(ran)


def in_files_of_stages(forks: Forks, space: Workspace, dataset: str) -> Iterator[str | None]:
    """Give what was wrong for every file that one stage reads of another, and every form.

    A stage may also leave the file unread, as training leaves a checkpoint that it writes again.
    """
    whole = contents(space)
    for read in read_by_stages(space, dataset):
        for form in FORMS:
            (space.folder / read.path).write_bytes(form())
            ended = forks(space.folder, f"stages.{read.stage}", dataset)
            (space.folder / read.path).write_bytes(whole[read.path])
            unread = restore(space, whole) and ended.code == 0
            executed = (space.folder / MARKER).exists()
            what = f"{form.__name__} as {read.path}"
            wrong = failure(space.folder, ended, what, read.path)
            yield None if unread and not executed else wrong


def in_files_of_users(forks: Forks, space: Workspace, dataset: str) -> Iterator[str | None]:
    """Give what was wrong for files that come from elsewhere, and every form.

    These are a user's own texts and images, a mirror's data, pretrained weights and the tracking
    database.
    """
    readers: dict[str, Callable[[], Ended]] = {
        "mine/texts.csv": lambda: _prepare(space, "emotion_small", TEXTS),
        "mine/images/a/1.png": lambda: _prepare(space, "digits", IMAGES),
        "mirror/dair-ai/emotion/split/train-00000-of-00001.parquet": lambda: _prepare(
            space, "emotion_small", {}
        ),
        "model.safetensors": lambda: _read_pretrained(space.folder),
        "pytorch_model.bin": lambda: _read_pretrained(space.folder),
        "mlflow.db": lambda: forks(space.folder, "stages.track", dataset),
    }
    for name, read in readers.items():
        for form in FORMS:
            path = space.folder / name
            before = path.read_bytes() if path.exists() else None
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(form())
            ended = read()
            path.unlink()
            if before is not None:
                path.write_bytes(before)
            named = "model.safetensors" if name == "pytorch_model.bin" else name
            yield failure(space.folder, ended, f"{form.__name__} as {name}", named)


OWN = {
    "seed": 0,
    "train": "all",
    "imbalance": 1.0,
    "flip_share": 0.0,
    "flip_to": "random",
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


def _prepare(space: Workspace, dataset: str, own: dict[str, Any]) -> Ended:
    """Run ``stages.prepare`` on a data set, which ``own`` makes one of the user's own."""
    path = space.folder / "params.yaml"
    before = path.read_bytes()
    (space.folder / "mine" / "images" / "b").mkdir(parents=True, exist_ok=True)
    if own:
        shown = {f"datasets.{dataset}.figures.classes": own["classes"]}
        resize(path, {f"datasets.{dataset}.prepare": own, **shown})
    ended = run_apart(space.folder, "stages.prepare", dataset, CATWISE_MIRROR="mirror")
    path.write_bytes(before)
    return ended


CONFIG = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 32,
    "vocab_size": 9,
}
READER = """from catwise.pipeline.stage import run
from catwise.training import bert
run(lambda: bert.pretrained(".", 2), "")
"""


def _read_pretrained(folder: Path) -> Ended:
    """Run what reads pretrained weights, in place of a stage on a real BERT."""
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "pretrained.py").write_text(READER)
    ended = run_apart(folder, "pretrained")
    for name in ("config.json", "pretrained.py"):
        (folder / name).unlink()
    return ended


def failure(folder: Path, ended: Ended, what: str, *names: str) -> str | None:
    """Return what was wrong with how a pickle was met; None if it stayed unread and was named."""
    marker = folder / MARKER
    executed = marker.exists()
    marker.unlink(missing_ok=True)
    if ended.one_line(*names) and not executed:
        return None
    return f"{what}: {'EXECUTED, ' if executed else ''}exit {ended.code}: {ended.last_line()}"
