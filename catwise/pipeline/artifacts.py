"""Arrays of ``data/`` and checkpoints of ``models/`` as torch objects on the way in and out of a stage."""

import functools
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.losses import Batch
from catwise.pipeline.files import read_json, read_npz, reading, write_whole
from catwise.training import bert, models
from catwise.training.epochs import Recipe

__all__ = [
    "card_text",
    "checkpoint_path",
    "torch_device",
    "last_epoch",
    "load_model",
    "new_model",
    "read_splits",
    "read_tensors",
    "real_positions",
    "training_recipe",
    "cached_splits",
    "write_tensors",
]


def read_splits(dataset: str, device: str) -> tuple[dict[str, Batch], list[str]]:
    """The batch of every split on the device, (x, y) or (ids, mask, y), and the names of the classes.

    Images in bytes become (x / 255 - mean) / std.
    """
    place = torch_device(device)
    arrays = read_npz(Path("data", dataset, "arrays.npz"))
    card = read_json(Path("data", dataset, "card.json"))
    splits = {}
    for split in card["counts"]:
        parts = ["x", "mask", "y"] if f"{split}/mask" in arrays else ["x", "y"]
        x, *others = (torch.from_numpy(arrays[f"{split}/{part}"]).to(place) for part in parts)
        if x.dtype == torch.uint8:
            mean, std = (
                torch.tensor(card[key], device=place)[:, None, None] for key in ("mean", "std")
            )
            x = x.float().div_(255).sub_(mean).div_(std)
        splits[split] = (x, *others)
    return splits, card["classes"]


def card_text(dataset: str) -> str:
    """The data card, which holds the sha256 of the data and the classes."""
    return Path("data", dataset, "card.json").read_text()


@functools.lru_cache(maxsize=1)
def cached_splits(dataset: str, device: str, card: str) -> tuple[dict[str, Batch], list[str]]:
    """``read_splits``, once in each process; ``card`` is there to read again what has changed."""
    return read_splits(dataset, device)


def torch_device(device: str) -> torch.device:
    """The device that the parameter ``device`` means here."""
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device: expected cpu or auto, because torch finds no CUDA device here; got 'cuda'"
        )
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """With their checksum in the header: the format has none."""
    contiguous = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    content = save(contiguous, {"sha256": models.checksum(contiguous)})
    write_whole(path, lambda scratch: scratch.write_bytes(content))


def read_tensors(path: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Raises InputError unless they are those that ``write_tensors`` was given, to the last bit."""
    with reading(path, "safetensors", SafetensorError), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if models.checksum(tensors) != (file.metadata() or {}).get("sha256"):
            raise ValueError("its tensors do not fit its checksum")
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def checkpoint_path(dataset: str, epoch: int, what: str = "epoch") -> Path:
    """The file of the weights after ``epoch``, or with ``what="optimizer"`` of what the optimiser then remembered."""
    return Path("models", "train", dataset, f"{what}_{epoch:03d}.safetensors")


def training_recipe(train: Any) -> Recipe:
    """The part of the ``train`` section that says how to train, not what."""
    names = {field.name for field in fields(Recipe)}
    return Recipe(**train.model_dump(include=names))


def new_model(dataset: str, train: Any, batch: Batch) -> nn.Module:
    """The model that the ``train`` section describes for this data set, as initialised, on the device of the batch."""
    x, card = batch[0], read_json(Path("data", dataset, "card.json"))
    num_classes = len(card["classes"])
    if len(batch) == 2:
        architecture = train.model_dump(include={"model", "width", "seed"})
        return models.build(x=x, num_classes=num_classes, **architecture).to(x.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(train.seed)
        if train.model == "bert":
            size = {"vocabulary_size": card["vocabulary_size"], "max_length": x.shape[1]}
            return bert.small(
                num_classes=num_classes, width=train.width, layers=train.layers, **size
            ).to(x.device)
        return bert.pretrained(str(Path("data", dataset, "pretrained")), num_classes).to(x.device)


def last_epoch(train: Any) -> int:
    """The number of the last checkpoint."""
    return 1 if train.model == "logistic" else train.epochs


def load_model(dataset: str, train: Any, batch: Batch, epoch: int) -> nn.Module:
    """The same model with the weights after ``epoch``."""
    model = new_model(dataset, train, batch)
    path = checkpoint_path(dataset, epoch)
    with reading(path, f"the weights of a {train.model} as params.yaml describes it", RuntimeError):
        model.load_state_dict(read_tensors(path))
    return model.eval()


def real_positions(batch: Batch) -> Callable[[Batch], Tensor] | None:
    """What tells the words of a text from its padding; None for images."""
    return bert.real_positions if len(batch) == 3 else None
