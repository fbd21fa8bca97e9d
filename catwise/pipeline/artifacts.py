"""Read the splits of ``data/`` as tensors; make models; read and write their checkpoints."""

import functools
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from catwise.config.schema import Convolutional, Epochs, Logistic, Train, Transformer
from catwise.core.device import torch_device
from catwise.core.fingerprint import checksum
from catwise.core.losses import Batch
from catwise.pipeline.files import read_json, read_npz, reading, write_whole
from catwise.training import bert, models
from catwise.training.epochs import Recipe

__all__ = [
    "cached_splits",
    "card_text",
    "checkpoint_path",
    "flipped_labels",
    "last_epoch",
    "load_model",
    "new_model",
    "rates_path",
    "read_splits",
    "read_tensors",
    "real_positions",
    "training_recipe",
    "write_tensors",
]

Splits = tuple[dict[str, Batch], list[str]]


def read_splits(dataset: str, device: str) -> Splits:
    """Read the batch of every split to the device, and the names of the classes.

    A batch is (x, y), or (ids, mask, y) of texts. Images in bytes become (x / 255 - mean) / std.
    """
    target = torch_device(device)
    arrays = read_npz(Path("data", dataset, "arrays.npz"))
    card = read_json(Path("data", dataset, "card.json"))
    splits = {}
    for split in card["counts"]:
        parts = ["x", "mask", "y"] if f"{split}/mask" in arrays else ["x", "y"]
        x, *others = (torch.from_numpy(arrays[f"{split}/{part}"]).to(target) for part in parts)
        if x.dtype == torch.uint8:
            mean = torch.tensor(card["mean"], device=target)[:, None, None]
            std = torch.tensor(card["std"], device=target)[:, None, None]
            x = x.float().div_(255).sub_(mean).div_(std)
        splits[split] = (x, *others)
    return splits, card["classes"]


def cached_splits(dataset: str, device: str) -> Splits:
    """Read the splits as ``read_splits`` does, but once in each process unless they change."""
    return _splits_of_card(dataset, device, card_text(dataset))


@functools.lru_cache(maxsize=1)
def _splits_of_card(dataset: str, device: str, _card: str) -> Splits:
    return read_splits(dataset, device)


def card_text(dataset: str) -> str:
    """Return the data card as text; it holds the sha256 of the data, and the classes."""
    return Path("data", dataset, "card.json").read_text()


def flipped_labels(dataset: str) -> np.ndarray:
    """Read which training labels were changed: (n,) of bool."""
    return read_npz(Path("data", dataset, "arrays.npz"))["flipped"]


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors with their checksum in the header, because the format has none."""
    contiguous = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    content = save(contiguous, {"sha256": checksum(contiguous)})
    write_whole(path, lambda scratch: scratch.write_bytes(content))


def read_tensors(path: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Read what ``write_tensors`` wrote; raise InputError unless it is the same to the last bit."""
    with reading(path, "safetensors", SafetensorError), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if checksum(tensors) != (file.metadata() or {}).get("sha256"):
            raise ValueError("its tensors do not fit its checksum")
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def checkpoint_path(
    dataset: str, epoch: int, what: Literal["epoch", "optimizer", "statistics"] = "epoch"
) -> Path:
    """Return the file of the weights after an epoch, or of what the training goes on with.

    That is what the optimiser then remembered, and the running statistics of batch norm as the
    training left them, if the weights are kept with refreshed ones.
    """
    return Path("models", "train", dataset, f"{what}_{epoch:03d}.safetensors")


def rates_path(dataset: str) -> Path:
    """Return the file of the learning rates of the training: their sum in each epoch, as JSON."""
    return Path("models", "train", dataset, "rates.json")


def last_epoch(train: Train) -> int:
    """Return the number of the last checkpoint."""
    return train.epochs if isinstance(train, Epochs) else 1


def training_recipe(train: Epochs) -> Recipe:
    """Return the part of the section ``train`` that says how to train, not what."""
    return Recipe(**train.model_dump(include={field.name for field in fields(Recipe)}))


def new_model(dataset: str, train: Train, batch: Batch) -> nn.Module:
    """Make the model of the section ``train`` with initial weights, on the device of the batch."""
    x, card = batch[0], read_json(Path("data", dataset, "card.json"))
    num_classes = len(card["classes"])
    if isinstance(train, Logistic | Convolutional):
        options = train.model_dump(include={"model", "width", "seed"})
        return models.build(x=x, num_classes=num_classes, **options).to(x.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(train.seed)
        if isinstance(train, Transformer):
            model = bert.small(
                card["vocabulary_size"], x.shape[1], num_classes, train.width, train.layers
            )
        else:
            model = bert.pretrained(str(Path("data", dataset, "pretrained")), num_classes)
    return model.to(x.device)


def load_model(dataset: str, train: Train, batch: Batch, epoch: int) -> nn.Module:
    """Make the same model with the weights after ``epoch``, in evaluation mode."""
    model = new_model(dataset, train, batch)
    path = checkpoint_path(dataset, epoch)
    with reading(path, f"the weights of a {train.model} as params.yaml describes it", RuntimeError):
        model.load_state_dict(read_tensors(path))
    return model.eval()


def real_positions(batch: Batch) -> Callable[[Batch], Tensor] | None:
    """Return what tells the words of a text from its padding; None for images."""
    return bert.real_positions if len(batch) == 3 else None
