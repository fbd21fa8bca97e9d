"""catwise on a classifier of your own: any torch model and two data sets. A few seconds on a CPU.

    python -m examples.own_classifier weights.csv

The classifier here is a small network on scikit-learn's digits, a tenth of whose training labels are changed on
purpose: a reader sees whether the samples that are found are those.
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from catwise.diagnosis import diagnose


def digits() -> tuple[TensorDataset, TensorDataset, torch.Tensor]:
    """Training and query samples, and which training labels are wrong."""
    x, y = load_digits(return_X_y=True)
    images, labels = torch.tensor(x / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(y)
    flipped = torch.rand(1200) < 0.1
    given = torch.where(
        flipped, (labels[:1200] + torch.randint(1, 10, (1200,))) % 10, labels[:1200]
    )
    return TensorDataset(images[:1200], given), TensorDataset(images[1200:], labels[1200:]), flipped


def trained(train: TensorDataset) -> nn.Module:
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
    train, query, flipped = digits()
    model = trained(train)

    # tensors: inputs, then labels; of any other Dataset: default_collate(list(train))
    found = diagnose(model, train[:], query[:], classes="0123456789")
    first, second = found.checked.exchange_k.argsort()[:-3:-1]
    print(f"{found.verdict}; classes {first} and {second} stand in each other's way most")
    print("the ten most detrimental samples:")
    for i in found.p_nk.sum(axis=1).argsort()[:10]:
        total, worst = found.p_nk[i].sum(), found.p_nk[i].argmin()
        note = "wrong on purpose" if flipped[i] else ""
        print(
            f"sample {i:4d}, given {train[i][1]}: influence {total:7.2f}, most on class {worst}  {note}".rstrip()
        )
    rows = np.column_stack([np.arange(len(found.weights_n)), found.weights_n])
    np.savetxt(path, rows, fmt=("%d", "%.6f"), delimiter=",", header="sample,weight", comments="")


if __name__ == "__main__":
    main(sys.argv[1])
