"""Improve a scikit-learn classifier of your own by weights of its training samples, or hear no.

    python -m examples.improve_estimator weights.csv

A fifth of the training labels of scikit-learn's digits are changed on purpose. A torch classifier
needs no helper: any function (weights, seed) -> model that trains it will do. This example needs
scikit-learn.
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from catwise import improve, sklearn_training
from catwise.core.losses import Batch


def digits() -> tuple[Batch, Batch, Batch, np.ndarray]:
    """Return samples to train, to validate and to test on, and which training labels are wrong."""
    rng = np.random.default_rng(0)
    x, y = load_digits(return_X_y=True)
    order = rng.permutation(len(y))
    x, y = x[order] / 16, y[order]
    wrong = np.zeros(400, dtype=bool)
    wrong[rng.permutation(400)[:80]] = True
    y[:400][wrong] = (y[:400][wrong] + rng.integers(1, 10, 80)) % 10
    samples = (torch.tensor(x, dtype=torch.float32), torch.tensor(y))
    parts = (slice(400), slice(400, 1200), slice(1200, None))
    train, validation, test = (tuple(values[part] for values in samples) for part in parts)
    return train, validation, test, wrong


def main(path: str) -> None:
    train, validation, test, wrong = digits()
    # logistic regression draws nothing at random, so two seeds are as good as eight
    train_function = sklearn_training(LogisticRegression(C=1, max_iter=1000), train)
    improvement = improve(train_function, train, validation, test, "0123456789", runs=1, seeds=2)
    print(improvement)
    weights_n = improvement.weights_n
    print(f"mean weight of wrong labels {weights_n[wrong].mean():.2f}, of right ones", end=" ")
    print(f"{weights_n[~wrong].mean():.2f}")
    table = np.column_stack([np.arange(len(wrong)), weights_n])
    np.savetxt(path, table, fmt=("%d", "%.6f"), delimiter=",", header="sample,weight", comments="")


if __name__ == "__main__":
    main(sys.argv[1])
