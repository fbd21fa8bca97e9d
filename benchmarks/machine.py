"""Name what a measurement depends on."""

import platform
from importlib.metadata import version
from typing import Any

import torch

from catwise.pipeline.environment import processor

__all__ = ["machine"]

PACKAGES = ("torch", "kronfluence", "numpy")


def machine(device: str) -> dict[str, Any]:
    """Return the processor or GPU, the number of threads, and the versions."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }
