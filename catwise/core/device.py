"""Say which device torch computes on."""

import torch

from catwise.core.errors import InputError

__all__ = ["torch_device"]


def torch_device(device: str) -> torch.device:
    """Return the device that the parameter ``device`` means here: auto, cpu or cuda."""
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device: expected cpu or auto, because torch finds no CUDA device here; got 'cuda'"
        )
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
