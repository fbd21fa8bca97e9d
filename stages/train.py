"""Train the classifier; keep a checkpoint and measure every class after each epoch."""

from typing import Any

import torch

from catwise.core.progress import progress
from catwise.pipeline.artifacts import (
    checkpoint_path,
    new_model,
    read_splits,
    training_recipe,
    write_tensors,
)
from catwise.pipeline.files import folder, write_csv, write_json, write_npz
from catwise.pipeline.stage import run, section_errors, settings
from catwise.training import epochs, evaluate
from catwise.training.convex import fit_convex


def main(dataset: str) -> None:
    parameters = settings(dataset)
    train = parameters.train
    torch.set_num_threads(parameters.threads)
    splits, classes = read_splits(dataset, parameters.device)
    model = new_model(dataset, train, splits["train"])
    folder("models", "train", dataset)
    history: list[dict[str, Any]] = []

    def keep(epoch: int) -> None:
        """Write the checkpoint of an epoch, and measure every class on every split."""
        write_tensors(checkpoint_path(dataset, epoch), model.state_dict())
        for split, batch in splits.items():
            accuracy_k, loss_k = evaluate.per_class(model, batch, len(classes))
            state = {"epoch": epoch, "split": split}
            history.extend(evaluate.class_rows(accuracy_k, loss_k, classes, state))

    summary: dict[str, float | str] = {}
    keep(0)
    if train.model == "logistic":
        with section_errors(dataset, "train", train):
            summary["gradient_norm"] = fit_convex(model, splits["train"], train.l2)
        keep(1)
    else:
        recipe = training_recipe(train)
        optimizer = epochs.new_optimizer(model, recipe)
        for epoch in progress(range(1, train.epochs + 1), f"train {dataset}"):
            epochs.train_epoch(model, optimizer, splits["train"], recipe, epoch)
            keep(epoch)
            if state := epochs.optimizer_tensors(optimizer):
                write_tensors(checkpoint_path(dataset, epoch, "optimizer"), state)
    last = history[-1]["epoch"]
    rows = [row for row in history if row["epoch"] == last and row["split"] == "test"]
    worst = min(rows, key=lambda row: row["accuracy"])
    summary |= {
        "worst_class_accuracy": worst["accuracy"],
        "worst_class": worst["class"],
        "mean_class_accuracy": sum(row["accuracy"] for row in rows) / len(rows),
        "mean_class_loss": sum(row["loss"] for row in rows) / len(rows),
    }
    out = folder("reports", "train", dataset)
    write_csv(out / "history.csv", history)
    write_json(out / "metrics.json", summary)
    label_n, probability_n = evaluate.predict(model, splits["train"])
    write_npz(out / "predicted.npz", label=label_n.numpy(), probability=probability_n.numpy())


if __name__ == "__main__":
    run(main, __doc__)
