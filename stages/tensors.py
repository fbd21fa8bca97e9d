"""Arrays of ``data/`` and checkpoints of ``models/`` as torch objects on the way in and out of a stage."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from catwise import models
from catwise.errors import InputError
from stages.io import read_json, read_npz, written

__all__ = ["checkpoint", "chosen_device", "last_epoch", "load_model", "new_model", "read_splits", "write_tensors"]

Split = tuple[Tensor, Tensor]


def read_splits(dataset: str, device: str) -> tuple[dict[str, Split], list[str]]:
    """(x, y) of every split on the device, and the names of the classes; images in bytes become (x/255 - mean)/std."""
    place = chosen_device(device)
    arrays = read_npz(Path("data", dataset, "arrays.npz"))
    card = read_json(Path("data", dataset, "card.json"))
    splits = {}
    for split in card["counts"]:
        x, y = (torch.from_numpy(arrays[f"{split}/{part}"]).to(place) for part in ("x", "y"))
        if x.dtype == torch.uint8:
            mean, std = (torch.tensor(card[key], device=place)[:, None, None] for key in ("mean", "std"))
            x = x.float().div(255).sub(mean).div(std)
        splits[split] = (x, y)
    return splits, card["classes"]


def chosen_device(device: str) -> torch.device:
    """The device that the parameter ``device`` means here."""
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device: expected cpu or auto, because torch finds no CUDA device here; came 'cuda'")
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    contiguous = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    written(path, lambda scratch: save_file(contiguous, scratch))


def checkpoint(dataset: str, epoch: int) -> Path:
    return Path("models", "train", dataset, f"epoch_{epoch:03d}.safetensors")


def new_model(train: Any, x: Tensor, num_classes: int) -> nn.Module:
    """The model that the ``train`` section describes, as initialised."""
    architecture = train.model_dump(include={"model", "width", "seed"})
    return models.build(x=x, num_classes=num_classes, **architecture).to(x.device)


def last_epoch(train: Any) -> int:
    """The number of the last checkpoint."""
    return 1 if train.model == "logistic" else train.epochs


def load_model(dataset: str, train: Any, x: Tensor, num_classes: int, epoch: int) -> nn.Module:
    """The same model with the weights after ``epoch``."""
    model = new_model(train, x, num_classes)
    model.load_state_dict(load_file(checkpoint(dataset, epoch)))
    return model.eval()
