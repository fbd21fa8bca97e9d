"""Record what each epoch of the training came to, and go on with it after a stop."""

import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from catwise.config.schema import DataSet, Epochs
from catwise.core.losses import Batch
from catwise.core.progress import progress
from catwise.experiments.resume import file_sha256, job_key, keep, kept_path, read_kept
from catwise.pipeline.artifacts import (
    checkpoint_path,
    read_tensors,
    training_recipe,
    write_tensors,
)
from catwise.training import batch_norm, epochs, evaluate
from catwise.training.epochs import Recipe

__all__ = ["TrainingRecord", "train_resumably"]

KEPT: tuple[Literal["epoch", "optimizer", "statistics"], ...]
KEPT = ("epoch", "optimizer", "statistics")  # what an epoch goes on from


class TrainingRecord:
    """Measure every class on every split after each epoch, and each training sample.

    ``history`` holds a row per epoch, split and class, with the running statistics that the
    checkpoint is kept with; ``raw`` the same of the held-out splits with those that the training
    left, where it refreshes them.
    """

    def __init__(self, splits: dict[str, Batch], classes: list[str], recipe: Recipe | None) -> None:
        self.history: list[dict[str, Any]] = []
        self.raw: list[dict[str, Any]] = []
        self._splits, self._classes, self._recipe = splits, classes, recipe
        self._margin_n = np.zeros(len(splits["train"][-1]))  # the sum over the epochs so far
        self._logits_nk = torch.empty(0)  # of the training samples at the last checkpoint
        self._files: dict[str, dict[str, str | None]] = {}  # sha256, by epoch and kind

    def add(self, model: nn.Module, epoch: int) -> None:
        """Measure the checkpoint of an epoch."""
        for split, batch in self._splits.items():
            logits_nk = self._rows(self.history, model, split, epoch)
            if split == "train":
                self._logits_nk = logits_nk
                if epoch:
                    margin_n = evaluate.margins(logits_nk, batch[-1])
                    self._margin_n += margin_n.double().cpu().numpy()

    def add_raw(self, model: nn.Module, epoch: int) -> None:
        """Measure an epoch before its running statistics are refreshed, on the held-out splits."""
        for split in self._splits:
            if split != "train":
                self._rows(self.raw, model, split, epoch)

    def _rows(
        self, table: list[dict[str, Any]], model: nn.Module, split: str, epoch: int
    ) -> Tensor:
        """Add a row per class to a table, and return the logits."""
        batch, classes = self._splits[split], self._classes
        logits_nk = evaluate.logits(model, batch, self._recipe)
        means = evaluate.class_means(logits_nk, batch[-1], len(classes))
        table += evaluate.class_rows(*means, classes, {"epoch": epoch, "split": split})
        return logits_nk

    @property
    def epoch(self) -> int:
        """Return the last epoch that was measured."""
        return self.history[-1]["epoch"]

    @property
    def margin_n(self) -> np.ndarray:
        """Compute the mean over the epochs of each sample's margin, z_y - max_{k != y} z_k: (n,).

        Source: the area under the margin, Pleiss et al. 2020 (arXiv 2001.10528), who take it during
        the epoch; here it is taken after each epoch, in evaluation.
        """
        return self._margin_n / self.epoch

    def predicted(self) -> dict[str, np.ndarray]:
        """Return the likeliest class of each training sample, its probability and the margin."""
        label_n, probability_n = evaluate.predict(self._logits_nk)
        return {
            "label": label_n.numpy(),
            "probability": probability_n.numpy(),
            "margin": self.margin_n.astype(np.float32),
        }

    def on_test(self) -> dict[str, float | str]:
        """Return the lowest class and the means over the classes, at the last checkpoint."""
        rows = [
            row for row in self.history if row["epoch"] == self.epoch and row["split"] == "test"
        ]
        worst = min(rows, key=lambda row: row["accuracy"])
        return {
            "worst_class_accuracy": worst["accuracy"],
            "worst_class": worst["class"],
            "mean_class_accuracy": sum(row["accuracy"] for row in rows) / len(rows),
            "mean_class_loss": sum(row["loss"] for row in rows) / len(rows),
        }

    def keep(self, path: Path, dataset: str, seconds: float) -> None:
        """Keep the record so far, and of which checkpoints it is, in one file that is replaced."""
        for epoch in {0, self.epoch}:
            self._files[str(epoch)] = _checksums(dataset, epoch)
        state = {
            "history": self.history,
            "raw": self.raw,
            "margin": self._margin_n.tolist(),
            "files": self._files,
        }
        keep(path, state, seconds)

    def restore(self, path: Path, dataset: str) -> bool:
        """Take up the record that was kept; say whether there is one, with its checkpoints."""
        state = read_kept(path)
        if not state or any(
            files != _checksums(dataset, int(epoch)) for epoch, files in state["files"].items()
        ):
            return False
        self._files = state["files"]
        self.history, self.raw = state["history"], state["raw"]
        self._margin_n = np.array(state["margin"])
        return True

    def see(self, model: nn.Module) -> None:
        """Compute what ``predicted`` needs of the last checkpoint, if it was measured earlier."""
        self._logits_nk = evaluate.logits(model, self._splits["train"], self._recipe)


def train_resumably(
    dataset: str, parameters: DataSet, model: nn.Module, part: Batch, record: TrainingRecord
) -> None:
    """Train in place, and write and record the checkpoint of each epoch, from the start on.

    What an earlier process finished of the same training is taken up, if its checkpoints are still
    there: a stop costs one epoch at most, and the bits are the same.
    """
    train = parameters.train
    assert isinstance(train, Epochs)
    recipe = training_recipe(train)
    key = job_key(
        __name__,
        dataset,
        parameters.device,
        parameters.threads,
        train.model_dump_json(),
        np.arange(0),
    )
    path, optimizer = kept_path("train", dataset, key), epochs.new_optimizer(model, recipe)
    if record.restore(path, dataset):
        _load(dataset, record.epoch, model, optimizer, part)
        record.see(model)
        _load_statistics(dataset, record.epoch, model)
    else:
        for left in checkpoint_path(dataset, 0).parent.glob("*.safetensors"):
            left.unlink()  # of another training, which perhaps had files that this one has not
        write_tensors(checkpoint_path(dataset, 0), model.state_dict())
        record.add(model, 0)
    for epoch in progress(range(record.epoch + 1, train.epochs + 1), f"train {dataset}"):
        begin = time.perf_counter()
        epochs.train_epoch(model, optimizer, part, recipe, epoch)
        if recipe.refresh:
            statistics = batch_norm.statistics(model)
            write_tensors(checkpoint_path(dataset, epoch, "statistics"), statistics)
            record.add_raw(model, epoch)
            epochs.refresh(model, part, recipe)
        if state := epochs.optimizer_tensors(optimizer):
            write_tensors(checkpoint_path(dataset, epoch, "optimizer"), state)
        write_tensors(checkpoint_path(dataset, epoch), model.state_dict())
        record.add(model, epoch)
        record.keep(path, dataset, time.perf_counter() - begin)
        _load_statistics(dataset, epoch, model)


def _load(
    dataset: str, epoch: int, model: nn.Module, optimizer: torch.optim.Optimizer, part: Batch
) -> None:
    """Load the weights after an epoch, and what the optimiser then remembered."""
    model.load_state_dict(read_tensors(checkpoint_path(dataset, epoch), part[-1].device))
    remembered = checkpoint_path(dataset, epoch, "optimizer")
    if remembered.exists():
        epochs.load_optimizer(optimizer, read_tensors(remembered))


def _load_statistics(dataset: str, epoch: int, model: nn.Module) -> None:
    """Load the running statistics that the training goes on with, if they are others."""
    path = checkpoint_path(dataset, epoch, "statistics")
    if path.exists():
        model.load_state_dict(read_tensors(path), strict=False)


def _checksums(dataset: str, epoch: int) -> dict[str, str | None]:
    """Return the sha256 of each file of an epoch, None for one that is not there."""
    paths = {what: checkpoint_path(dataset, epoch, what) for what in KEPT}
    return {what: file_sha256(path) if path.exists() else None for what, path in paths.items()}
