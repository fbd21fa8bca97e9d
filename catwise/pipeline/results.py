"""Read what the stages wrote about one data set, as typed tables, arrays and records.

``Results`` is the one reader: claims, figures, report, tracking and docs take one and open no file
themselves. ``Results.live(dataset, parameters)`` reads the folders of the pipeline,
``Results.carried(dataset)`` reads ``reports/measured/DATASET``, which comes with the repository.
Nothing is read before it is asked for, and each file is read once. A file that is missing or
damaged or lacks a column raises InputError.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from catwise.ceiling.verdict import Verdict
from catwise.config.schema import Params
from catwise.core.errors import InputError
from catwise.core.statistics import Estimate
from catwise.pipeline.files import read_json, read_npz
from catwise.pipeline.records import (
    Card,
    Ceiling,
    Fidelity,
    Improve,
    Predicted,
    Reweight,
    TopShare,
    Trimming,
    TrimmingState,
)
from catwise.pipeline.tables import TABLES, VECTORS, read_table, table_names

__all__ = [
    "CARRIED",
    "RECORD",
    "STAGES",
    "Place",
    "Results",
    "check",
    "hashes",
    "live",
    "names",
    "record",
    "run_and_carried",
]

CARRIED = Path("reports", "measured")
RECORD = "provenance.json"
# The stages that write metrics.
STAGES = ("train", "influence", "fidelity", "removal", "ceiling", "reweight", "improve")
Place = Callable[[str], Path]  # a stage, or "data", to the folder with what it wrote


@dataclass(frozen=True)
class Results:
    """Hold the results of one data set.

    folder_of   maps a stage, or "data", to the folder with what it wrote.
    parameters  are the section of the data set in params.yaml.
    provenance  says where carried results are from; it is None for this run.

    A table has the columns of ``catwise.pipeline.tables.TABLES``. ``fidelity``, ``removal``,
    ``reweight`` and ``improve`` are None if the stage was not run, ``predicted``, ``points``,
    ``images``, ``token_ids`` and ``tokenizer`` if there is no such thing or it was left out.
    """

    dataset: str
    folder_of: Place
    parameters: dict[str, Any]
    provenance: dict[str, Any] | None = None

    @classmethod
    def live(cls, dataset: str, parameters: dict[str, Any]) -> "Results":
        """Return the results of this run, made with these parameters."""
        return cls(dataset, live(dataset), parameters)

    @classmethod
    def carried(cls, dataset: str) -> "Results":
        """Return the results of a data set that come with the repository."""
        provenance = record(dataset)
        folder_of = partial(Path, CARRIED, dataset)
        return cls(dataset, folder_of, provenance["parameters"], provenance)

    def ran(self, stage: str) -> bool:
        """Say whether the stage left a folder."""
        return self.folder_of(stage).exists()

    def metrics(self, stage: str) -> dict[str, Any]:
        """Read the metrics of a stage; {} if there are none."""
        path = self.folder_of(stage) / "metrics.json"
        return dict(read_json(path)) if path.exists() else {}

    @cached_property
    def card(self) -> Card:
        """Read the data card."""
        card = read_json(self.folder_of("data") / "card.json")
        return Card(
            source=card["source"],
            licence=card["licence"],
            classes=tuple(card["classes"]),
            counts={split: tuple(counts) for split, counts in card["counts"].items()},
            flipped=card["flipped_training_labels"],
            record=card,
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes."""
        return self.card.classes

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """Read all arrays of the data, by name."""
        return read_npz(self.folder_of("data") / "arrays.npz")

    @property
    def labels_n(self) -> np.ndarray:
        """Return the labels of the training samples as given, as numbers of classes."""
        return self.arrays["train/y"]

    @property
    def flipped_n(self) -> np.ndarray:
        """Return which training labels were changed."""
        return self.arrays["flipped"]

    @property
    def points(self) -> np.ndarray | None:
        """Return the training samples if they are points."""
        return self._inputs(2, np.floating)

    @property
    def images(self) -> np.ndarray | None:
        """Return the training samples if they are images, (n, channels, height, width)."""
        return self._inputs(4, np.number)

    @property
    def token_ids(self) -> np.ndarray | None:
        """Return the training samples if they are texts, as token ids."""
        return self._inputs(2, np.integer)

    def _inputs(self, axes: int, kind: Any) -> np.ndarray | None:
        x = self.arrays.get("train/x")
        return x if x is not None and x.ndim == axes and np.issubdtype(x.dtype, kind) else None

    @cached_property
    def tokenizer(self) -> str | None:
        """Read the tokenizer of a text data set, as JSON."""
        path = self.folder_of("data") / "tokenizer.json"
        return path.read_text() if path.exists() else None

    @property
    def vectors(self) -> np.ndarray:
        """Return the influence vectors p_nk at the end of the training, as float64."""
        return self.vectors_by_kind["endpoint"]

    @cached_property
    def vectors_by_kind(self) -> dict[str, np.ndarray]:
        """Read the p_nk of each kind that the stage ``influence`` computed, as float64."""
        arrays = read_npz(self.folder_of("influence") / "vectors.npz")
        return {
            kind: arrays[key].astype(np.float64) for kind, key in VECTORS.items() if key in arrays
        }

    @cached_property
    def predicted(self) -> Predicted | None:
        """Read what the trained model predicts for each training sample."""
        path = self.folder_of("train") / "predicted.npz"
        if not path.exists():
            return None
        arrays = read_npz(path)
        return Predicted(arrays["label"], arrays["probability"])

    @cached_property
    def history(self) -> pd.DataFrame:
        """Read accuracy and loss of each class by epoch."""
        return self._table("train/history")

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """Read the four numbers of the ceiling's check by epoch."""
        return self._table("ceiling/epochs")

    @cached_property
    def ceiling(self) -> Ceiling:
        """Read the check of the ceiling at the last checkpoint."""
        check = read_json(self.folder_of("ceiling") / "ceiling.json")
        first, second = check["blocking"]
        return Ceiling(
            Estimate(**check["first_component_ratio"]),
            Estimate(**check["headroom"]),
            (first, second),
            check["exchange_rate"],
            Verdict.from_record(check["verdict"]),
            record=check,
        )

    @cached_property
    def gains(self) -> pd.DataFrame | None:
        """Read what a new training would bring each class; None without retrainings."""
        gains = self._table("ceiling/gains")
        return None if gains.empty else gains

    @cached_property
    def subsets(self) -> dict[str, np.ndarray] | None:
        """Read what retraining on subsets measured, the arrays of subsets.npz; None without it."""
        if not self.ran("subsets"):
            return None
        arrays = read_npz(self.folder_of("subsets") / "subsets.npz")
        return arrays if len(arrays["kept_hn"]) else None

    @cached_property
    def fidelity(self) -> Fidelity | None:
        """Read how well each kind of P predicts retraining."""
        if not self.ran("fidelity") or not self.parameters.get("fidelity", True):
            return None
        scored = read_json(self.folder_of("fidelity") / "fidelity.json")
        return Fidelity(scored["flipped_label_auc"], **self._tables("fidelity"))

    @property
    def removal(self) -> Trimming | TopShare | None:
        """Return the results of the method of removal that the parameters name."""
        if not self.ran("removal"):
            return None
        trims = self.parameters["removal"]["method"] == "trimming"
        return self.trimming if trims else self.top_share

    @cached_property
    def top_share(self) -> TopShare:
        """Read what removing the top share of each class did."""
        return TopShare(
            self._table("removal/changes"),
            self._table("removal/correlations"),
            self._table("removal/rankings"),
            self._table("removal/diagonal"),
        )

    @cached_property
    def trimming(self) -> Trimming:
        """Read the rounds of trimming."""
        rounds = self._table("removal/rounds")
        arrays = read_npz(self.folder_of("removal") / "experiment" / "rounds.npz")
        ours = rounds[rounds["arm"] == "influence"]
        accuracy = ours.pivot(index="round", columns="class", values="accuracy")
        states = [
            TrimmingState(
                kept=arrays[f"{number}/kept"],
                vectors=arrays[f"{number}/P"],
                removed=arrays[f"{number}/removed"],
                boundary=arrays[f"{number}/boundary"],
                accuracy_k=accuracy.loc[number, list(self.classes)].to_numpy(),
            )
            for number in accuracy.index
            if f"{number}/kept" in arrays  # not for a last fit after `max_rounds`
        ]
        return Trimming(rounds, states)

    @cached_property
    def reweight(self) -> Reweight | None:
        """Read the results of reweighting; the tables of a data set without a case are empty."""
        if not self.ran("reweight"):
            return None
        weights = {}
        for key, weights_n in read_npz(self.folder_of("reweight") / "weights.npz").items():
            case, _, method = key.partition("/")
            weights[case, method] = weights_n
        return Reweight(**self._tables("reweight"), weights=weights)

    @cached_property
    def improve(self) -> Improve | None:
        """Read the path to the ceiling; the tables are empty where the stage had nothing to do."""
        if not self.ran("improve"):
            return None
        weights = read_npz(self.folder_of("improve") / "weights.npz")
        return Improve(**self._tables("improve"), weights=weights)

    def _tables(self, stage: str) -> dict[str, pd.DataFrame]:
        """Read all tables of a stage, by name."""
        return {name: self._table(f"{stage}/{name}") for name in table_names(stage)}

    def _table(self, name: str) -> pd.DataFrame:
        stage, _, file = name.partition("/")
        folder = self.folder_of(stage)
        if stage == "removal":
            folder = folder / "experiment"
        return read_table(folder / f"{file}.csv", TABLES[name])


def live(dataset: str) -> Place:
    """Return the folders of the pipeline."""
    return lambda part: Path("data", dataset) if part == "data" else Path("reports", part, dataset)


def names() -> list[str]:
    """List the carried data sets."""
    return sorted(path.name for path in CARRIED.glob("*") if path.is_dir() and path.name[0] != ".")


def run_and_carried(loaded: Params) -> list[Results]:
    """Return the results of this run, then the carried ones that are not in it."""
    here = loaded.run.datasets
    results = [Results.live(name, loaded.datasets[name].model_dump()) for name in here]
    return results + [Results.carried(name) for name in names() if name not in here]


def record(dataset: str) -> dict[str, Any]:
    """Read where a carried data set is from: runs, parameters and the sha256 of its files."""
    return read_json(CARRIED / dataset / RECORD)


def hashes(root: Path) -> dict[str, str]:
    """Return the sha256 of every file below ``root``, by its path; the record itself has none."""
    files = sorted(
        path
        for path in root.rglob("*")
        if path.is_file() and path.name[0] != "." and path.name != RECORD
    )
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def check(dataset: str, expected: dict[str, str]) -> None:
    """Raise InputError unless the carried files are those that were measured, byte for byte.

    ``expected`` is the sha256 of each file, by name; there must be no other file.
    """
    actual = hashes(CARRIED / dataset)
    for name in sorted({*expected, *actual}):
        if expected.get(name) != actual.get(name):
            wanted = expected.get(name, "no such file")[:12]
            got = actual.get(name, "no such file")[:12]
            path = CARRIED / dataset / name
            raise InputError(f"{path}: expected sha256 {wanted} as measured; got {got}")
