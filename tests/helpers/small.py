"""Build small models and data in float64, and influence vectors by construction, for the tests."""

import numpy as np
import torch
from torch import Tensor, nn

from catwise.training import models
from catwise.training.convex import fit_convex

Split = tuple[Tensor, Tensor]


def blobs(rng: np.random.Generator, n: int, num_classes: int = 3, features: int = 4) -> Split:
    """Draw overlapping Gaussian classes; every class is present."""
    labels = np.arange(n) % num_classes
    centres = 1.5 * rng.normal(size=(num_classes, features))
    x = centres[labels] + rng.normal(size=(n, features))
    return torch.from_numpy(x), torch.from_numpy(labels)


def logistic(
    train: Split, l2: float, weights: Tensor | None = None, num_classes: int = 3
) -> nn.Module:
    """Fit a logistic regression to weighted samples."""
    model = models.build("logistic", train[0], num_classes)
    fit_convex(model, train, l2, weights)
    return model


def conv_net() -> nn.Module:
    """Build a net in evaluation mode with strides, padding, layers without bias, and batch norm.

    Its batch norm has statistics of its own.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
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
    """Draw images of noise for ``conv_net``, with labels in turn."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, 8, 8, dtype=torch.float64, generator=generator)
    return x, torch.arange(n) % 3


def ceiling_vectors(
    rng: np.random.Generator, n: int = 200, k: int = 4
) -> tuple[np.ndarray, np.ndarray]:
    """Draw vectors on the hyperplane y . p = 0 with y > 0, a ceiling, and return them with y."""
    y_k = rng.uniform(0.2, 1, k)
    p_nk = rng.normal(size=(n, k))
    return p_nk - np.outer(p_nk @ y_k, y_k) / (y_k @ y_k), y_k


def binned_vectors(
    rng: np.random.Generator, size: float, bins: int = 4, noise: float = 0.1
) -> np.ndarray:
    """Draw vectors at a ceiling, plus ``size`` of a direction that helps every class, by bins.

    Each bin holds an equal part, and ``noise`` of its own: (n, k, bins).
    """
    n, k = 150, 3
    p_nk = ceiling_vectors(rng, n, k)[0] + size * rng.normal(size=(n, 1))
    return p_nk[:, :, None] / bins + noise * rng.normal(size=(n, k, bins)) / bins**0.5


def texts(lengths: list[int], padded_to: int, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Draw texts of 29 words, padded by 0 at the right: ids, mask and labels in turn."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.zeros(len(lengths), padded_to, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(1, 30, (length,), generator=generator)
    return ids, (ids > 0).long(), torch.arange(len(lengths)) % 3
