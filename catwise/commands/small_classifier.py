"""Train a small classifier of images or texts from scratch, once or with weights of the samples."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from catwise.core.losses import Batch
from catwise.core.progress import progress
from catwise.data.dataset import Data
from catwise.training import bert, evaluate, models
from catwise.training.epochs import Recipe, train_epochs

__all__ = ["CLASSIFIERS", "Classifier", "margins_once_learnt", "train", "train_weighted"]

LAYERS = 1  # of BERT


@dataclass(frozen=True)
class Classifier:
    """Describe a classifier, its training, and how many samples are diagnosed at once."""

    model: str
    width: int
    epochs: int
    batch_size: int
    optimizer: Any
    learning_rate: float
    weight_decay: float
    at_once: int

    def recipe(self, n: int) -> Recipe:
        """Return the recipe for n samples: about 20 steps or more an epoch.

        More epochs in place of smaller batches would teach it wrong labels by heart.
        """
        return Recipe(
            seed=0,
            epochs=self.epochs,
            batch_size=min(max(n // 20, 8), self.batch_size),
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            channels_last=self.model == "resnet9",
        )


CLASSIFIERS = {  # as those of digits and of the small sets of coloured images and of texts
    "grey": Classifier("cnn", 16, 20, 50, "sgd", 0.2, 0.001, at_once=300),
    "rgb": Classifier("resnet9", 8, 6, 50, "sgd", 0.4, 0.001, at_once=250),
    "text": Classifier("bert", 64, 12, 32, "adamw", 0.001, 0.01, at_once=200),
}


def new_model(
    classifier: Classifier, batches: dict[str, Batch], data: Data, seed: int = 0
) -> nn.Module:
    """Return the classifier with initial weights drawn by ``seed``."""
    x, num_classes = batches["train"][0], len(data.classes)
    if not data.texts:
        model = models.build(classifier.model, x, num_classes, width=classifier.width, seed=seed)
        return model.to(x.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        size = data.card["vocabulary_size"]
        return bert.small(size, x.shape[1], num_classes, classifier.width, LAYERS).to(x.device)


def train(
    classifier: Classifier, batches: dict[str, Batch], data: Data
) -> tuple[nn.Module, list[dict[str, Any]], np.ndarray]:
    """Return the trained classifier, its classes after every epoch, and the running margin.

    The margin is that of ``margins_once_learnt``, (n,): the lower, the likelier is a label wrong.
    """
    model, part = new_model(classifier, batches, data), batches["train"]
    recipe = classifier.recipe(len(part[0]))
    history: list[dict[str, Any]] = []
    margins: list[np.ndarray] = []
    for epoch in progress(train_epochs(model, part, recipe), "train", recipe.epochs):
        accuracy_k, loss_k = evaluate.per_class(model, batches["test"], len(data.classes))
        state = {"epoch": epoch, "split": "test"}
        history += evaluate.class_rows(accuracy_k, loss_k, data.classes, state)
        logits_nk = evaluate.logits(model, part)
        margins.append(evaluate.margins(logits_nk, part[-1]).double().cpu().numpy())
    return model, history, margins_once_learnt(np.stack(margins), data.y["train"])


def margins_once_learnt(margin_en: np.ndarray, labels_n: np.ndarray) -> np.ndarray:
    """Average the margins over the epochs from the first on that has the class of a sample learnt.

    A margin is the logit of the label minus the largest other logit; a class is learnt where the
    median of its margins is positive. Before that the frequent classes are the answer to every
    sample, and the margins of a rare class say nothing about its labels. A class that is never
    learnt has the mean over all epochs.

    >>> margins_once_learnt(np.array([[-9.0, -9.0, 2.0], [1.0, 3.0, 4.0]]), np.array([0, 0, 1]))
    array([1., 3., 3.])
    """
    mean_n = np.zeros(len(labels_n))
    for label in np.unique(labels_n):
        own_n = labels_n == label
        start = (np.median(margin_en[:, own_n], axis=1) > 0).argmax()  # 0 for one never learnt
        mean_n[own_n] = margin_en[start:, own_n].mean(axis=0)
    return mean_n


def train_weighted(
    classifier: Classifier,
    batches: dict[str, Batch],
    data: Data,
    weights_n: np.ndarray,
    seed: int,
) -> nn.Module:
    """Return the classifier trained anew, with weights of the training samples."""
    model, part = new_model(classifier, batches, data, seed), batches["train"]
    weights = torch.tensor(weights_n, dtype=torch.float32, device=part[0].device)
    recipe = replace(classifier.recipe(len(part[0])), seed=seed)
    for _ in train_epochs(model, part, recipe, weights):
        pass
    return model
