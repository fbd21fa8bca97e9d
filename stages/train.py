"""Train the classifier; keep a checkpoint and measure every class after each epoch."""

import torch

from catwise.config.schema import Epochs
from catwise.core.statistics import area_under_curve
from catwise.experiments import resume
from catwise.experiments.training_record import TrainingRecord, train_resumably
from catwise.pipeline.artifacts import (
    checkpoint_path,
    flipped_labels,
    new_model,
    rates_path,
    read_splits,
    training_recipe,
    write_tensors,
)
from catwise.pipeline.files import folder, write_csv, write_json, write_npz
from catwise.pipeline.stage import run, section_errors, settings
from catwise.pipeline.tables import TABLES
from catwise.training.convex import fit_convex
from catwise.training.epochs import epoch_rates


def main(dataset: str) -> None:
    parameters = settings(dataset)
    train = parameters.train
    torch.set_num_threads(parameters.threads)
    splits, classes = read_splits(dataset, parameters.device)
    part = splits["train"]
    model = new_model(dataset, train, part)
    folder("models", "train", dataset)
    recipe = training_recipe(train) if isinstance(train, Epochs) else None
    record = TrainingRecord(splits, classes, recipe)
    summary: dict[str, float | str] = {}
    if train.model == "logistic":
        write_tensors(checkpoint_path(dataset, 0), model.state_dict())
        record.add(model, 0)
        with section_errors(dataset, "train", train):
            summary["gradient_norm"] = fit_convex(model, part, train.l2)
        write_tensors(checkpoint_path(dataset, 1), model.state_dict())
        record.add(model, 1)
    else:
        train_resumably(dataset, parameters, model, part, record)
        if recipe:
            write_json(rates_path(dataset), epoch_rates(recipe, len(part[-1])))
    summary |= record.on_test()
    flipped_n = flipped_labels(dataset)
    if flipped_n.any():  # the area under the ROC curve of the negative margin
        summary["margin_auc"] = area_under_curve(flipped_n, -record.margin_n)
    out = folder("reports", "train", dataset)
    write_csv(out / "history.csv", record.history)
    write_csv(out / "raw.csv", record.raw, list(TABLES["train/raw"]))
    write_json(out / "metrics.json", summary)
    write_npz(out / "predicted.npz", **record.predicted())
    resume.clear("train", dataset)


if __name__ == "__main__":
    run(main, __doc__)
