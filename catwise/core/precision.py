"""Choose the number format of the passes over the data: float32, tf32, bfloat16, or auto."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from catwise.core.errors import InputError

__all__ = ["Precision", "has_bfloat16", "precision", "resolve_precision"]

Precision = Literal["auto", "float32", "tf32", "bfloat16"]


def has_bfloat16(device: str) -> bool:
    """Say whether a ``device``, "cpu" or "cuda", computes in bfloat16 faster than in float32.

    A processor does with AVX512_BF16 or AMX; others only imitate it.
    """
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def resolve_precision(kind: Precision, device: str) -> Precision:
    """Return the format that ``kind`` means on a device: auto is bfloat16 where it is fast.

    Elsewhere auto is float32. Raises InputError where bfloat16 is asked for and is not fast.
    """
    if kind == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    if kind == "bfloat16" and not has_bfloat16(device):
        raise InputError(
            "precision: expected auto, float32 or tf32, because this"
            f" {'GPU' if device == 'cuda' else 'processor'} has no bfloat16; got 'bfloat16'"
        )
    return kind


@contextmanager
def precision(kind: Precision, device: str) -> Iterator[None]:
    """Run the passes inside in ``kind``, on a ``device`` such as "cpu" or "cuda".

    tf32 rounds the factors of products (on CUDA), and bfloat16 rounds the activations too, which
    works on every device. Sums, bases and scores stay in the dtype of the weights.
    """
    if kind == "auto":
        kind = resolve_precision(kind, device)
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest" if kind == "float32" else "high")
    torch.backends.cudnn.allow_tf32 = kind != "float32"  # of convolutions
    try:
        with torch.autocast(device, torch.bfloat16, enabled=kind == "bfloat16"):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
