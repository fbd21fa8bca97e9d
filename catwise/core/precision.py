"""Choose the number format of the passes over the data: float32, tf32 or bfloat16."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

__all__ = ["Precision", "precision"]

Precision = Literal["float32", "tf32", "bfloat16"]


@contextmanager
def precision(kind: Precision, device: str) -> Iterator[None]:
    """Run the passes inside in ``kind``, on a ``device`` such as "cpu" or "cuda".

    tf32 rounds the factors of products (on CUDA), and bfloat16 rounds the activations too. Sums,
    bases and scores stay in the dtype of the weights.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if kind == "float32" else "high")
    try:
        with torch.autocast(device, torch.bfloat16, enabled=kind == "bfloat16"):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
