"""Give every method the same work: a trained network, its checkpoints, samples and the truth."""

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml  # type: ignore[import-untyped]
from torch import Tensor, nn

from catwise.config import params
from catwise.config.schema import Epochs
from catwise.core.losses import Batch
from catwise.experiments.along_training import FIRST_SEED
from catwise.experiments.retraining import train_anew
from catwise.fidelity.subsets import HALF
from catwise.pipeline.artifacts import load_model, read_splits, training_recipe
from catwise.pipeline.files import read_npz
from catwise.pipeline.provenance import ROOT

__all__ = ["CASES", "Case", "Work", "truth"]

STAGES = {  # the last that each writes
    "prepare": "data/{}/card.json",
    "train": "reports/train/{}/predicted.npz",
    "subsets": "reports/subsets/{}/subsets.npz",
}


@dataclass(frozen=True)
class Case:
    """Hold the folder of a data set, and how it differs from a block of params.yaml."""

    dataset: str
    folder: Path
    like: str
    changes: dict[str, dict[str, Any]]

    def enter(self) -> None:
        """Make the folder the working directory, and run the stages whose outputs it lacks."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_params()
        os.chdir(self.folder)
        for stage, out in STAGES.items():
            if not Path(out.format(self.dataset)).exists():
                importlib.import_module(f"stages.{stage}").main(self.dataset)

    def _write_params(self) -> None:
        section = yaml.safe_load((ROOT / "params.yaml").read_text())["datasets"][self.like]
        for name, values in self.changes.items():
            section[name] = {**(section[name] or {}), **values} if values else None
        content = {"run": {"datasets": [self.dataset]}, "datasets": {self.dataset: section}}
        (self.folder / "params.yaml").write_text(yaml.safe_dump(content))


FOLDER = ROOT / "scratch" / "peers"
CASES = {
    "digits": Case("digits", FOLDER / "digits", "digits_noisy10", {"subsets": {"removals": 0}}),
    "resnet9": Case(
        "cifar10_peers",
        FOLDER / "resnet9",
        "cifar10_rehearsal",
        {
            "prepare": {
                "train": 200,
                "flip_share": 0.1,
                "validation_a": 200,
                "validation_b": 40,
                "test": 40,
            },
            "train": {
                "width": 4,
                "augment": False,
                "refresh": 8,
                "epochs": 12,
                "batch_size": 20,
                "learning_rate": 0.2,
                "precision": "float32",  # the same network on every machine
            },
            "curvature": {"earlier": [], "samples": "all"},
            "influence": {"segments": 2, "runs": 4, "augmentations": 0},
            "subsets": {"halves": 64, "removals": 0, "seeds": 2},
            "reweight": {},
        },
    ),
}


class Work:
    """Hold what a method is given; made in the folder of the case."""

    def __init__(self, case: Case) -> None:
        self.dataset = case.dataset
        self.section: Any = params.load().datasets[case.dataset]
        splits, classes = read_splits(self.dataset, "cpu")
        self.train, self.query, self.k = splits["train"], splits["validation_a"], len(classes)
        if not isinstance(self.section.train, Epochs):
            raise TypeError(f"{self.dataset}: expected a training by epochs")
        self.recipe = training_recipe(self.section.train)
        self.batch = self.section.influence.batch_size
        self.model = self.at(self.recipe.epochs)
        self.flipped_n = read_npz(Path("data", self.dataset, "arrays.npz"))["flipped"]

    def at(self, epoch: int) -> nn.Module:
        """Return the network after an epoch."""
        return load_model(self.dataset, self.section.train, self.train, epoch)

    def of_run(self, run: int) -> nn.Module:
        """Return the network of a run; those after the first are trained anew, as our own are."""
        if not run:
            return self.model
        seed = FIRST_SEED + run
        return train_anew(self.section.train, self.dataset, self.train, seed).eval()

    def of_class(self, k: int) -> Batch:
        """Return the query samples of a class."""
        return tuple(part[self.query[-1] == k] for part in self.query)

    def summed(self, scores_nm: Tensor) -> Tensor:
        """Add up scores of single query samples by their class: (n, k)."""
        return scores_nm @ F.one_hot(self.query[-1], self.k).to(scores_nm)

    def logits(self, model: nn.Module, x: Tensor) -> Tensor:
        """Return the logits of a network, without gradients."""
        with torch.no_grad():
            return model(x)


def truth(dataset: str) -> dict[str, np.ndarray]:
    """Return what the networks of the random halves came to: kept_hn, loss_hsk, accuracy_hsk."""
    arrays = read_npz(Path("reports", "subsets", dataset, "subsets.npz"))
    halves_h = arrays["design_h"] == HALF
    return {name: arrays[name][halves_h] for name in ("kept_hn", "loss_hsk", "accuracy_hsk")}
