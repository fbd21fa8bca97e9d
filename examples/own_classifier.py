"""Diagnose a classifier of your own: any torch model and two data sets. A few seconds on a CPU.

    python -m examples.own_classifier weights.csv

The classifier here is a small network on scikit-learn's digits. A tenth of its training labels are
changed on purpose, so that you see whether the most detrimental samples are those.
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from catwise import diagnose


def digits() -> tuple[TensorDataset, TensorDataset, torch.Tensor]:
    """Return training samples, query samples, and which training labels are wrong."""
    x, y = load_digits(return_X_y=True)
    images, labels = torch.tensor(x / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(y)
    wrong = torch.rand(1200) < 0.1
    given = torch.where(wrong, (labels[:1200] + torch.randint(1, 10, (1200,))) % 10, labels[:1200])
    return TensorDataset(images[:1200], given), TensorDataset(images[1200:], labels[1200:]), wrong


def trained(train: TensorDataset) -> nn.Module:
    """Return a small network, trained for 20 epochs."""
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(144, 10)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(20):
        for x, y in DataLoader(train, batch_size=50, shuffle=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model


def main(path: str) -> None:
    torch.manual_seed(0)
    train, query, wrong = digits()

    diagnosis = diagnose(trained(train), train, query, classes="0123456789")
    print(diagnosis)
    for i in diagnosis.detrimental[:10]:
        note = "wrong on purpose" if wrong[i] else "as it was"
        print(f"sample {i:4d}, label {train[i][1]}: {diagnosis.p_nk[i].sum():7.2f} nats, {note}")
    table = np.column_stack([np.arange(len(wrong)), diagnosis.weights_n])
    np.savetxt(path, table, fmt=("%d", "%.6f"), delimiter=",", header="sample,weight", comments="")


if __name__ == "__main__":
    main(sys.argv[1])
