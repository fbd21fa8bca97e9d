"""Train the classifier; keep a checkpoint and the accuracy and loss of every class after each epoch."""

import torch
from torch import Tensor, nn

from catwise.core.losses import Batch
from catwise.core.progress import progress
from catwise.pipeline.artifacts import (
    checkpoint_path,
    new_model,
    read_splits,
    training_recipe,
    write_tensors,
)
from catwise.pipeline.files import folder, write_csv, write_json, write_npz
from catwise.pipeline.stage import run, settings
from catwise.training import epochs, evaluate
from catwise.training.convex import fit_convex


def main(dataset: str) -> None:
    parameters = settings(dataset)
    train = parameters.train
    torch.set_num_threads(parameters.threads)
    splits, classes = read_splits(dataset, parameters.device)
    model = new_model(dataset, train, splits["train"])
    folder("models", "train", dataset)
    history = []

    def keep(epoch: int) -> None:
        write_tensors(checkpoint_path(dataset, epoch), model.state_dict())
        for split, batch in splits.items():
            measured = evaluate.per_class(model, batch, len(classes))
            history.extend(
                evaluate.class_rows(*measured, classes, {"epoch": epoch, "split": split})
            )

    summary: dict[str, float | str | int] = {}
    keep(0)
    if train.model == "logistic":
        summary["gradient_norm"] = fit_convex(model, splits["train"], train.l2)
        keep(1)
    else:
        optimizer = epochs.new_optimizer(model, training_recipe(train))
        for epoch in progress(range(1, train.epochs + 1), f"train {dataset}"):
            epochs.train_epoch(model, optimizer, splits["train"], training_recipe(train), epoch)
            keep(epoch)
            if state := epochs.optimizer_tensors(optimizer):
                write_tensors(checkpoint_path(dataset, epoch, "optimizer"), state)
    last = [
        row for row in history if row["epoch"] == history[-1]["epoch"] and row["split"] == "test"
    ]
    worst = min(last, key=lambda row: row["accuracy"])
    summary |= {
        "worst_class_accuracy": worst["accuracy"],
        "worst_class": worst["class"],
        "mean_class_accuracy": sum(row["accuracy"] for row in last) / len(last),
        "mean_class_loss": sum(row["loss"] for row in last) / len(last),
    }
    out = folder("reports", "train", dataset)
    write_csv(out / "history.csv", history)
    write_json(out / "metrics.json", summary)
    label_n, probability_n = predicted(model, splits["train"])
    write_npz(out / "predicted.npz", label=label_n.numpy(), probability=probability_n.numpy())


@torch.no_grad()
def predicted(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """What the model takes each sample for, and with which probability: (n,) and (n,)."""
    model.eval()
    parts = zip(*(values.split(1000) for values in batch[:-1]), strict=True)
    probability, label = torch.cat([model(*part) for part in parts]).softmax(1).max(1)
    return label.cpu(), probability.cpu()


if __name__ == "__main__":
    run(main, __doc__)
