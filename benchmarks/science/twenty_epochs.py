"""Ask what the twenty epochs that Table 2 prints for PARETO-LP-GA change, in place of one.

    python -m benchmarks.science.twenty_epochs cifar10_narrow     half an hour, after `prepare`

Table 2 of the paper has ``num_train_epochs: 20`` for its algorithm, while Algorithm 1 and the text
train one epoch with the weights. Both are measured here, from the checkpoint of the first Direct
Improvement in params.yaml, at the rate, the batches and the decay of Table 2: with weights of the
printed linear program under thresholds drawn at random, as the first population has them, with the
first of these shuffled, and with ones; and besides one epoch at as many times the rate, which goes
as far in a twentieth of the time. The statistics of batch norm are refreshed before and after,
so that gains are not of that. The working directory is the repository, or the workspace of a
measured data set. The result is written to reports/benchmarks/twenty_epochs.json.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks import command
from benchmarks.machine import machine
from catwise.claims.paper import SEARCH, SEARCH_EPOCHS
from catwise.config.schema import DataSet, Epochs, Factored
from catwise.core.losses import Batch
from catwise.influence.vectors import influence_vectors
from catwise.pipeline.artifacts import (
    cached_splits,
    checkpoint_path,
    load_model,
    new_model,
    read_splits,
    training_recipe,
    write_tensors,
)
from catwise.pipeline.fitted_factors import as_trained, fit_own_factors
from catwise.pipeline.stage import settings
from catwise.pipeline.workers import pool
from catwise.reweighting.candidates import CandidateProgram
from catwise.reweighting.targets import lowest_classes
from catwise.training import epochs, evaluate

__all__ = ["compare"]

# After which epochs the classes are measured, by the factor of Table 2's rate: after that of
# Algorithm 1 and those of Table 2, and after one that goes as far as these.
EPOCHS = {1: (1, SEARCH_EPOCHS), SEARCH_EPOCHS: (1,)}
CANDIDATES, SEEDS, TARGETS = 2, 2, 2


def compare(dataset: str) -> dict[str, Any]:
    """Return the accuracy of each class before, and by method, epochs and seed after."""
    parameters = settings(dataset)
    splits, classes = read_splits(dataset, "cpu")
    assert parameters.reweight is not None
    assert isinstance(parameters.train, Epochs)
    first = next(case for case in parameters.reweight.cases if case.kind == "direct_improvement")
    assert isinstance(first.epoch, int)
    model = checkpoint(dataset, parameters, splits["train"], first.epoch)
    recipe = training_recipe(parameters.train)
    before_b, _ = evaluate.per_class(model, splits["validation_b"], len(classes), recipe)
    before, _ = evaluate.per_class(model, splits["test"], len(classes), recipe)
    targets = lowest_classes(before_b.numpy(), TARGETS)
    weights = candidates(parameters, model, splits, len(classes), targets)
    jobs = [
        (dataset, first.epoch, weights_n, seed)
        for weights_n in weights.values()
        for seed in range(SEEDS)
    ]
    with pool(torch.device("cpu"), parameters.threads) as spread:
        accuracies = iter(list(spread(accuracies_after, jobs)))
    return {
        **machine("cpu"),
        "epoch": first.epoch,
        "classes": list(classes),
        "targets": targets,
        "before": before.tolist(),
        "after": {name: [next(accuracies) for _ in range(SEEDS)] for name in weights},
    }


def checkpoint(dataset: str, parameters: DataSet, part: Batch, epoch: int) -> nn.Module:
    """Train up to an epoch of the whole schedule, keep the checkpoint, and return the model."""
    path = checkpoint_path(dataset, epoch)
    assert isinstance(parameters.train, Epochs)
    if not path.exists():
        model, recipe = (
            new_model(dataset, parameters.train, part),
            training_recipe(parameters.train),
        )
        for finished in epochs.train_epochs(model, part, recipe):
            if finished == epoch:
                break
        epochs.refresh(model, part, recipe)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, model.state_dict())
    return load_model(dataset, parameters.train, part, epoch)


def candidates(
    parameters: DataSet,
    model: nn.Module,
    splits: dict[str, Batch],
    num_classes: int,
    targets: list[int],
) -> dict[str, np.ndarray]:
    """Return the weights of each method; P is taken at the checkpoint, as printed."""
    influence, part, query = parameters.influence, splits["train"], splits["validation_a"]
    assert isinstance(parameters.curvature, Factored)
    p_nk = influence_vectors(
        model,
        fit_own_factors(model, part, parameters.curvature),
        as_trained(part, influence),
        query,
        query[-1],
        num_classes,
        batch_size=influence.batch_size,
        statistics=influence.statistics,
    )
    program = CandidateProgram(p_nk.double().numpy(), targets, "printed")
    solve, rng = program.solver(), np.random.default_rng(0)
    weights = {
        f"Algorithm 1, thresholds {number + 1}": solve(rng.random(num_classes))
        for number in range(CANDIDATES)
    }
    shuffled = rng.permutation(next(iter(weights.values())))
    return {"ones": np.ones(len(shuffled)), **weights, "the first, shuffled": shuffled}


def accuracies_after(
    dataset: str, epoch: int, weights_n: np.ndarray, seed: int
) -> dict[str, list[float]]:
    """Go on from the checkpoint with the weights; return the accuracies after all of EPOCHS."""
    torch.set_num_threads(1)
    section = settings(dataset).train
    assert isinstance(section, Epochs)
    splits, classes = cached_splits(dataset, "cpu")
    part, recipe = splits["train"], training_recipe(section)
    names = ("batch_size", "learning_rate", "weight_decay")
    steps: dict[str, Any] = {name: SEARCH[name] for name in names}
    base = replace(recipe, seed=recipe.seed + seed, schedule="constant", **steps)
    weights, after = torch.tensor(weights_n).float(), {}
    for factor, lengths in EPOCHS.items():
        recipe = replace(base, learning_rate=factor * base.learning_rate)
        model = load_model(dataset, section, part, epoch)
        optimizer = epochs.new_optimizer(model, recipe)
        for number in range(1, max(lengths) + 1):
            epochs.train_epoch(model, optimizer, part, recipe, epoch + number, weights)
            if number in lengths:
                state = {name: value.clone() for name, value in model.state_dict().items()}
                epochs.refresh(model, part, recipe)
                accuracy_k, _ = evaluate.per_class(model, splits["test"], len(classes), recipe)
                name = str(number) if factor == 1 else f"{number} at {factor} times the rate"
                after[name] = accuracy_k.tolist()
                model.load_state_dict(state)
    return after


def main() -> None:
    command.by_dataset(__doc__, "twenty_epochs.json", compare)


if __name__ == "__main__":
    main()
