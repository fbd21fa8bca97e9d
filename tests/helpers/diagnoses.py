"""Train a small net on blobs, some of whose labels are wrong, and diagnose it, for the tests."""

from functools import cache

import numpy as np
import torch
from torch import nn

from catwise.diagnosis import Diagnosis, diagnose
from tests.helpers.small import Split, blobs

CLASSES = ("None", "b & <i>", "3")  # names that must survive files and pages


def trained(train: Split, steps: int = 200) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(train[0]), train[1]).backward()
        optimizer.step()
    return model


@cache
def noisy() -> tuple[nn.Module, Split, Split]:
    """Return a model, its training samples, every tenth with another label, and query samples."""
    x, y = blobs(np.random.default_rng(0), 360)
    given = y[:240].clone()
    given[::10] = (given[::10] + 1) % 3
    return trained((x[:240], given)), (x[:240], given), (x[240:], y[240:])


@cache
def diagnosis() -> Diagnosis:
    """Diagnose it."""
    return diagnose(*noisy(), CLASSES, batch_size=50)
