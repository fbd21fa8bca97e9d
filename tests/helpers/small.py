"""Small models and data in float64 that the tests share."""

import numpy as np
import torch
from torch import Tensor, nn

from catwise.training import models
from catwise.training.convex import fit_convex

Split = tuple[Tensor, Tensor]


def blobs(rng: np.random.Generator, n: int, num_classes: int = 3, features: int = 4) -> Split:
    """Overlapping Gaussian classes, every class present."""
    y = np.arange(n) % num_classes
    centres = 1.5 * rng.normal(size=(num_classes, features))
    return torch.from_numpy(centres[y] + rng.normal(size=(n, features))), torch.from_numpy(y)


def logistic(
    train: Split, l2: float, weights: Tensor | None = None, num_classes: int = 3
) -> nn.Module:
    model = models.build("logistic", train[0], num_classes)
    fit_convex(model, train, l2, weights)
    return model


def conv_net(seed: int = 0) -> nn.Module:
    """Convolutions with stride, padding and no bias, batch norm with statistics of its own, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 5, (3, 2), stride=2, padding="valid"),
            nn.GELU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(20, 6),
            nn.ReLU(),
            nn.Linear(6, 3, bias=False),
        ).double()
        net(torch.randn(64, 2, 8, 8, dtype=torch.float64))
    return net.eval()


def images(n: int, seed: int = 0) -> Split:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, 8, 8, dtype=torch.float64, generator=generator)
    return x, torch.arange(n) % 3
