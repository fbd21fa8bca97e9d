"""Train the classifier; keep a checkpoint and measure every class after each epoch."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from catwise.config.schema import Epochs
from catwise.core.losses import Batch, per_sample_margin
from catwise.core.progress import progress
from catwise.pipeline.artifacts import (
    checkpoint_path,
    new_model,
    read_splits,
    training_recipe,
    write_tensors,
)
from catwise.pipeline.files import folder, read_npz, write_csv, write_json, write_npz
from catwise.pipeline.stage import run, section_errors, settings
from catwise.pipeline.tables import TABLES
from catwise.training import batch_norm, epochs, evaluate
from catwise.training.convex import fit_convex
from catwise.training.epochs import Recipe


def main(dataset: str) -> None:
    parameters = settings(dataset)
    train = parameters.train
    torch.set_num_threads(parameters.threads)
    splits, classes = read_splits(dataset, parameters.device)
    model = new_model(dataset, train, splits["train"])
    folder("models", "train", dataset)
    recipe = training_recipe(train) if isinstance(train, Epochs) else None
    measured = Measurements(splits, classes, recipe)
    summary: dict[str, float | str] = {}

    def keep(epoch: int) -> None:
        """Write the checkpoint of an epoch, and measure every class on every split."""
        write_tensors(checkpoint_path(dataset, epoch), model.state_dict())
        measured.add(model, epoch)

    keep(0)
    if train.model == "logistic":
        with section_errors(dataset, "train", train):
            summary["gradient_norm"] = fit_convex(model, splits["train"], train.l2)
        keep(1)
    else:
        assert recipe is not None
        optimizer = epochs.new_optimizer(model, recipe)
        for epoch in progress(range(1, train.epochs + 1), f"train {dataset}"):
            epochs.train_epoch(model, optimizer, splits["train"], recipe, epoch)
            left = batch_norm.statistics(model)
            if recipe.refresh:
                write_tensors(checkpoint_path(dataset, epoch, "statistics"), left)
                measured.add_raw(model, epoch)
                epochs.refresh(model, splits["train"], recipe)
            keep(epoch)
            model.load_state_dict(left, strict=False)  # the training goes on with its own
            if state := epochs.optimizer_tensors(optimizer):
                write_tensors(checkpoint_path(dataset, epoch, "optimizer"), state)
    out = folder("reports", "train", dataset)
    write_csv(out / "history.csv", measured.history)
    write_csv(out / "raw.csv", measured.raw, list(TABLES["train/raw"]))
    flipped_n = read_npz(Path("data", dataset, "arrays.npz"))["flipped"]
    write_json(out / "metrics.json", summary | measured.summary(flipped_n))
    write_npz(out / "predicted.npz", **measured.predicted())


class Measurements:
    """Measure every class on every split after each epoch, and each training sample.

    ``history`` holds a row per epoch, split and class, with the running statistics that the
    checkpoint is kept with; ``raw`` the same of the held-out splits with those that the training
    left, where it refreshes them.
    """

    def __init__(self, splits: dict[str, Batch], classes: list[str], recipe: Recipe | None) -> None:
        self.history: list[dict[str, Any]] = []
        self.raw: list[dict[str, Any]] = []
        self._splits, self._classes, self._recipe = splits, classes, recipe
        self._margins: list[np.ndarray] = []  # of the epochs after the start
        self._logits_nk = torch.empty(0)  # of the training samples at the last checkpoint

    def add(self, model: nn.Module, epoch: int) -> None:
        """Measure the checkpoint of an epoch."""
        for split, batch in self._splits.items():
            logits_nk = self._rows(self.history, model, split, epoch)
            if split == "train":
                self._logits_nk = logits_nk
                if epoch:
                    margin_n = -per_sample_margin(nn.Identity(), (logits_nk, batch[-1]))
                    self._margins.append(margin_n.double().cpu().numpy())

    def add_raw(self, model: nn.Module, epoch: int) -> None:
        """Measure an epoch before its running statistics are refreshed, on the held-out splits."""
        for split in self._splits:
            if split != "train":
                self._rows(self.raw, model, split, epoch)

    def _rows(
        self, table: list[dict[str, Any]], model: nn.Module, split: str, epoch: int
    ) -> torch.Tensor:
        """Add a row per class to a table, and return the logits."""
        batch, classes = self._splits[split], self._classes
        logits_nk = evaluate.logits(model, batch, self._recipe)
        means = evaluate.class_means(logits_nk, batch[-1], len(classes))
        table += evaluate.class_rows(*means, classes, {"epoch": epoch, "split": split})
        return logits_nk

    @property
    def margin_n(self) -> np.ndarray:
        """Compute the mean over the epochs of each sample's margin, z_y - max_{k != y} z_k: (n,).

        Source: the area under the margin, Pleiss et al. 2020 (arXiv 2001.10528), who take it during
        the epoch; here it is taken after each epoch, in evaluation.
        """
        return np.mean(self._margins, axis=0)

    def predicted(self) -> dict[str, np.ndarray]:
        """Return the likeliest class of each training sample, its probability and the margin."""
        label_n, probability_n = evaluate.predict(self._logits_nk)
        margin_n = self.margin_n.astype(np.float32)
        return {
            "label": label_n.numpy(),
            "probability": probability_n.numpy(),
            "margin": margin_n,
        }

    def summary(self, flipped_n: np.ndarray) -> dict[str, float | str]:
        """Return the lowest and the mean class on test, and how well the margin finds flips.

        ``margin_auc`` is the area under the ROC curve of the negative margin.
        """
        last = self.history[-1]["epoch"]
        rows = [row for row in self.history if row["epoch"] == last and row["split"] == "test"]
        worst = min(rows, key=lambda row: row["accuracy"])
        summary = {
            "worst_class_accuracy": worst["accuracy"],
            "worst_class": worst["class"],
            "mean_class_accuracy": sum(row["accuracy"] for row in rows) / len(rows),
            "mean_class_loss": sum(row["loss"] for row in rows) / len(rows),
        }
        if flipped_n.any():
            summary["margin_auc"] = float(roc_auc_score(flipped_n, -self.margin_n))
        return summary


if __name__ == "__main__":
    run(main, __doc__)
