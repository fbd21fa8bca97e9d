"""Build the models and data of the benchmarks: real images, or random ones of the same shape."""

import os
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from catwise.core.losses import Batch
from catwise.training import models

__all__ = ["CASES", "Case", "load"]


@dataclass(frozen=True)
class Case:
    """Hold a model and the numbers of samples that two cores finish in minutes."""

    model: str
    width: int
    n: int  # training samples
    m: int  # query samples
    fit: int  # samples for the fit of factors
    query_batch: int  # of kronfluence's pairwise scores: as many query gradients as memory holds


CASES = {
    "digits cnn": Case("cnn", 16, 20_000, 2_000, 4_000, 2_000),
    "resnet9 width 16": Case("resnet9", 16, 4_000, 2_000, 1_000, 2_000),
    "resnet9 width 64": Case("resnet9", 64, 800, 2_000, 400, 200),
}


def load(case: Case, n: int, m: int, device: str) -> tuple[nn.Module, Batch, Batch, str]:
    """Return (model, training samples, query samples, name of the images).

    CIFAR-10 is read from the mirror that CATWISE_MIRROR names, else its images are random. Rows
    repeat where a data set has fewer.
    """
    x, y, name = _digits() if case.model == "cnn" else _cifar10(n + m)
    rows = torch.arange(n + m) % len(y)
    x, y = x[rows].to(device), y[rows].to(device)
    model = models.build(case.model, x, 10, width=case.width).to(device).eval()
    return model, (x[:n], y[:n]), (x[n:], y[n:]), name


def _digits() -> tuple[Tensor, Tensor, str]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = torch.from_numpy((images / 16).astype(np.float32).reshape(-1, 1, 8, 8))
    return x, torch.from_numpy(labels), "digits"


def _cifar10(count: int) -> tuple[Tensor, Tensor, str]:
    if os.environ.get("CATWISE_MIRROR"):
        from catwise.data.published import load_published

        images, labels = load_published("cifar10").parts["train"]
        x = torch.from_numpy(np.asarray(images[:count])).float() / 255
        return (x - 0.47) / 0.25, torch.from_numpy(labels[:count]), "CIFAR-10"
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, 32, 32, generator=generator), torch.arange(count) % 10, "random"
