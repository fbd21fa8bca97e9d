"""Read what the stages wrote about one data set, as typed tables, arrays and records.

``Results`` is the one reader: claims, figures, report, tracking and docs take one and open no file
themselves. ``Results.live(dataset, parameters)`` reads the folders of the pipeline,
``Results.carried(dataset)`` reads ``reports/measured/DATASET``, which comes with the repository.
Nothing is read before it is asked for, and each file is read once.

=============  ===================================================================================
property       value
=============  ===================================================================================
dataset        the name of the data set, under ``datasets`` in params.yaml
parameters     its section of params.yaml, as a dictionary
provenance     the record of a carried data set; None for this run
card           ``Card``: name, source, licence, classes, shape, counts, flipped, and all as a record
arrays         all arrays of ``data``, by name
labels_n       the labels of the training samples, as given (numbers of classes)
flipped_n      which training labels were changed
points, images, token_ids   the training samples, where they are of that kind and not left out
tokenizer      the tokenizer of a text data set, as JSON; None without one
vectors        the influence vectors p_nk, float64
predicted      ``Predicted``: label_n, probability_n of the trained model; None if left out
history        TABLES["train/history"]
epochs         TABLES["ceiling/epochs"]
ceiling        ``Ceiling``: four estimates, room, blocking, exchange_rate, gap
fidelity       ``Fidelity``: lds, flipped_label_auc, scores, samples; None if it was not run
trimming       ``Trimming``: rounds, states
top_share      ``TopShare``: changes, correlations, diagonal
removal        that of the two which the parameters name; None if it was not run
reweight       ``Reweight``: cases, table, summary, printed, room, tradeoff, history, weights;
               None if it was not run, no rows without a case
=============  ===================================================================================

``ran(stage)`` says whether a stage left a folder, ``metrics(stage)`` gives its metrics.json ({} if
there is none). ``TABLES`` is the schema of every table: column -> type. Text is kept as written (a
class may be called None, NA, True or 1), a bool is written 0 or 1, an empty cell is NaN in a
column of floats, <NA> in a column of ``int | None``, and the empty string in a column of text. A
file that is missing, damaged or lacks a column raises InputError.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np
import pandas as pd

from catwise.core.errors import InputError
from catwise.core.statistics import Estimate
from catwise.pipeline.files import read_json, read_npz, reading

__all__ = [
    "CARRIED",
    "METHOD",
    "RECORD",
    "TABLES",
    "Card",
    "Ceiling",
    "Fidelity",
    "Place",
    "Predicted",
    "Results",
    "Reweight",
    "TopShare",
    "Trimming",
    "TrimmingState",
    "hashes",
    "live",
    "made",
    "measured",
    "names",
    "read_table",
    "record",
]

CARRIED = Path("reports", "measured")
RECORD = "provenance.json"
Place = Callable[[str], Path]  # a stage, or "data", to the folder with what it wrote
Schema = Mapping[str, type | UnionType]

METHOD: Schema = {  # what a method of Table 1 is; cells that do not apply are empty
    "method": str,  # a unique key, never parsed
    "family": str,  # all_ones, lp_ga, direction, oracle, best_seeds
    "anchor": str,  # start, end
    "rule": str,  # printed, beta
    "program": str,  # linear, quadratic
    "filter": str,  # damped, horizon
    "query": str,  # loss, probability, margin
    "shuffled": bool,
}
INTERVAL: Schema = {"low": float, "high": float}
TABLES: dict[str, Schema] = {
    "train/history": {"epoch": int, "split": str, "class": str, "accuracy": float, "loss": float},
    "ceiling/epochs": {
        **{"epoch": int, "figure": str, "value": float, **INTERVAL},
        **{"null_middle": float, "null_low": float, "null_high": float},
    },
    "fidelity/scores": {"kind": str, "class": str, "lds": float},
    "fidelity/samples": {
        **{"draw": str, "samples": int, "seed": int, "class": str, "spearman": float}
    },
    "removal/rounds": {
        **{"arm": str, "seed": int, "round": int, "removed": int, "flipped_removed": int},
        **{"class": str, "accuracy": float, "loss": float},
    },
    "removal/changes": {
        **{"group": str, "target": str, "draw": int | None, "seed": int, "class": str},
        **{"influence": float, "labelled": int, "accuracy_change": float, "loss_change": float},
    },
    "removal/correlations": {
        **{"group": str, "measure": str, "pairs": str, "trainings": str, "rho": float, **INTERVAL},
        **{"counted": float, "shuffled": float, "shuffled_high": float},
    },
    "removal/diagonal": {
        **{"class": str, "group": str, "measure": str, "mean": float, **INTERVAL},
        **{"reading": int | None, "net_mean": float, "net_low": float, "net_high": float},
        "net_reading": int | None,
    },
    "reweight/cases": {
        **{"case": str, "kind": str, "epoch": int, "compared_with": int},
        **{"learning_rate": float, "seeds": int},
    },
    "reweight/table": {
        **{"case": str, **METHOD, "measure": str, "class": str, "target": bool},
        **{"before": float, "control": float, "after": float, "predicted": float},
        **{"gain": float, **INTERVAL, "reading": int | None},
    },
    "reweight/summary": {
        **{"case": str, **METHOD, "measure": str, "targets_gain": float, "worst_gain": float},
        **{"mean_gain": float, "better": int, "worse": int},
    },
    "reweight/printed": {
        **{"case": str, "class": str, "target": bool, "before": float, "original": float},
        **{"all_ones": float, "after": float, "change": float},
    },
    "reweight/room": {
        **{"case": str, "anchor": str, "filter": str, "headroom": float, "crossfitted": float},
        **INTERVAL,
        **{"sum_over_mass": float, "room": bool},
    },
    "reweight/tradeoff": {
        **{"case": str, **METHOD, "gene": float, "measure": str},
        **{"target_gain": float, "worst_other": float},
    },
    "reweight/history": {
        **{"case": str, **METHOD, "split": str, "generation": int, "evaluations": int},
        **{"trained": int, "diversity": float, "effective_samples": float},
        **{"best_fitness": float, "mean_fitness": float, "worst_fitness": float},
        **{"best_failure": float, "mean_failure": float, "worst_failure": float},
        **{"best_gain": float, "mean_gain": float, "worst_gain": float},
    },
}


@dataclass(frozen=True)
class Card:
    """Describe a data set: names of the classes, and samples of each class by split."""

    name: str
    source: str
    licence: str
    classes: tuple[str, ...]
    shape: tuple[int, ...]
    counts: dict[str, tuple[int, ...]]
    flipped: int
    record: dict[str, Any]  # all of card.json


@dataclass(frozen=True)
class Predicted:
    """Hold the class that the trained model gives to each training sample, and with what share."""

    label_n: np.ndarray
    probability_n: np.ndarray


@dataclass(frozen=True)
class Ceiling:
    """Hold the check of the ceiling at the last checkpoint; ``record`` is all of ceiling.json."""

    first_component_ratio: Estimate
    smallest_share: Estimate
    headroom: Estimate
    crossfitted: Estimate
    room: bool
    blocking: tuple[str, str]  # the two classes that stand most in each other's way
    exchange_rate: float  # of the second of them for the first
    gap: float
    record: dict[str, Any]


@dataclass(frozen=True)
class Fidelity:
    """Hold the score of each kind of curvature: ``lds`` gives mean, low and high by kind."""

    lds: dict[str, list[float]]
    flipped_label_auc: dict[str, float]
    scores: pd.DataFrame
    samples: pd.DataFrame


@dataclass(frozen=True)
class TrimmingState:
    """Hold the state before one round: rows kept, their vectors, rows removed, the boundary."""

    kept: np.ndarray
    vectors: np.ndarray
    removed: np.ndarray
    boundary: np.ndarray
    accuracy_k: np.ndarray  # on the test split


@dataclass(frozen=True)
class Trimming:
    """Hold the rounds of trimming, of the synthetic data sets."""

    rounds: pd.DataFrame
    states: list[TrimmingState]


@dataclass(frozen=True)
class TopShare:
    """Hold what removing the top share of each class did."""

    changes: pd.DataFrame
    correlations: pd.DataFrame
    diagonal: pd.DataFrame


@dataclass(frozen=True)
class Reweight:
    """Hold Table 1; ``weights`` are those of each training sample by (case, method)."""

    cases: pd.DataFrame
    table: pd.DataFrame
    summary: pd.DataFrame
    printed: pd.DataFrame
    room: pd.DataFrame
    tradeoff: pd.DataFrame
    history: pd.DataFrame
    weights: dict[tuple[str, str], np.ndarray]


@dataclass(frozen=True)
class Results:
    """Read the results of one data set; ``folder_of`` maps a stage, or "data", to its folder."""

    dataset: str
    folder_of: Place
    parameters: dict[str, Any]
    provenance: dict[str, Any] | None = None

    @classmethod
    def live(cls, dataset: str, parameters: dict[str, Any]) -> "Results":
        """Give the results of this run, made with these parameters."""
        return cls(dataset, live(dataset), parameters)

    @classmethod
    def carried(cls, dataset: str) -> "Results":
        """Give the results of a data set that come with the repository."""
        about = record(dataset)
        return cls(dataset, measured(dataset), about["parameters"], about)

    def ran(self, stage: str) -> bool:
        """Say whether the stage left a folder."""
        return self.folder_of(stage).exists()

    def metrics(self, stage: str) -> dict[str, Any]:
        """Read the metrics of a stage; {} if there are none."""
        path = self.folder_of(stage) / "metrics.json"
        return dict(read_json(path)) if path.exists() else {}

    @cached_property
    def card(self) -> Card:
        found = read_json(self.folder_of("data") / "card.json")
        return Card(
            name=found["name"],
            source=found["source"],
            licence=found["licence"],
            classes=tuple(found["classes"]),
            shape=tuple(found["shape"]),
            counts={split: tuple(counts) for split, counts in found["counts"].items()},
            flipped=found["flipped_training_labels"],
            record=found,
        )

    @property
    def classes(self) -> tuple[str, ...]:
        return self.card.classes

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        return read_npz(self.folder_of("data") / "arrays.npz")

    @property
    def labels_n(self) -> np.ndarray:
        return self.arrays["train/y"]

    @property
    def flipped_n(self) -> np.ndarray:
        return self.arrays["flipped"]

    @property
    def points(self) -> np.ndarray | None:
        return self._inputs(lambda x: x.ndim == 2 and np.issubdtype(x.dtype, np.floating))

    @property
    def images(self) -> np.ndarray | None:
        return self._inputs(lambda x: x.ndim == 4)

    @property
    def token_ids(self) -> np.ndarray | None:
        return self._inputs(lambda x: x.ndim == 2 and np.issubdtype(x.dtype, np.integer))

    def _inputs(self, wanted: Callable[[np.ndarray], bool]) -> np.ndarray | None:
        x = self.arrays.get("train/x")
        return x if x is not None and wanted(x) else None

    @cached_property
    def tokenizer(self) -> str | None:
        path = self.folder_of("data") / "tokenizer.json"
        return path.read_text() if path.exists() else None

    @cached_property
    def vectors(self) -> np.ndarray:
        path = self.folder_of("influence") / "vectors.npz"
        return read_npz(path)["P"].astype(np.float64)

    @cached_property
    def predicted(self) -> Predicted | None:
        path = self.folder_of("train") / "predicted.npz"
        if not path.exists():
            return None
        arrays = read_npz(path)
        return Predicted(arrays["label"], arrays["probability"])

    @cached_property
    def history(self) -> pd.DataFrame:
        return self._table("train", "history")

    @cached_property
    def epochs(self) -> pd.DataFrame:
        return self._table("ceiling", "epochs")

    @cached_property
    def ceiling(self) -> Ceiling:
        found = read_json(self.folder_of("ceiling") / "ceiling.json")
        estimates = ("first_component_ratio", "smallest_share", "headroom", "crossfitted")
        first, second = found["blocking"]
        return Ceiling(
            **{name: Estimate(**found[name]) for name in estimates},
            room=bool(found["room"]),
            blocking=(first, second),
            exchange_rate=found["exchange_rate"],
            gap=found["gap"],
            record=found,
        )

    @cached_property
    def fidelity(self) -> Fidelity | None:
        if not self.ran("fidelity"):
            return None
        found = read_json(self.folder_of("fidelity") / "fidelity.json")
        scores, samples = (self._table("fidelity", name) for name in ("scores", "samples"))
        return Fidelity(found["lds"], found["flipped_label_auc"], scores, samples)

    @property
    def removal(self) -> Trimming | TopShare | None:
        if not self.ran("removal"):
            return None
        trims = self.parameters["removal"]["method"] == "trimming"
        return self.trimming if trims else self.top_share

    @cached_property
    def trimming(self) -> Trimming:
        rounds = self._table("removal", "rounds")
        return Trimming(rounds, self._states(rounds))

    @cached_property
    def top_share(self) -> TopShare:
        names = ("changes", "correlations", "diagonal")
        return TopShare(*(self._table("removal", name) for name in names))

    def _states(self, rounds: pd.DataFrame) -> list[TrimmingState]:
        arrays = read_npz(self.folder_of("removal") / "experiment" / "rounds.npz")
        ours = rounds[rounds["arm"] == "influence"]
        accuracy = ours.pivot(index="round", columns="class", values="accuracy")
        return [
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

    @cached_property
    def reweight(self) -> Reweight | None:
        if not self.ran("reweight"):
            return None
        weights = {}
        for key, weights_n in read_npz(self.folder_of("reweight") / "weights.npz").items():
            case, _, method = key.partition("/")
            weights[case, method] = weights_n
        names = ("cases", "table", "summary", "printed", "room", "tradeoff", "history")
        tables = {name: self._table("reweight", name) for name in names}
        return Reweight(**tables, weights=weights)

    def _table(self, stage: str, name: str) -> pd.DataFrame:
        below = "experiment" if stage == "removal" else ""
        path = self.folder_of(stage) / below / f"{name}.csv"
        return read_table(path, TABLES[f"{stage}/{name}"])


def read_table(path: Path, schema: Schema) -> pd.DataFrame:
    """Read the columns of the schema; text is kept as it is written.

    Raises InputError where the file is missing or damaged, lacks a column, or holds a cell that is
    not of its column's type.
    """
    with reading(path, "CSV"):
        content = path.read_bytes()
        if not content.endswith(b"\n"):
            raise ValueError("its last line does not end")
        text = pd.read_csv(io.BytesIO(content), dtype=str, na_filter=False)
    for name in schema:
        if name not in text:
            raise InputError(
                f"{path}: expected a column {name!r}; got {', '.join(text)}; run `dvc repro`"
            )
    return pd.DataFrame({name: _typed(path, text[name], kind) for name, kind in schema.items()})


def _typed(path: Path, column: pd.Series, kind: type | UnionType) -> pd.Series:
    """Convert the cells of one column."""
    if kind is str:
        return column
    try:
        if kind is float:
            return column.where(column != "", "nan").astype(np.float64)
        if kind is int:
            return column.astype(np.int64)
        if kind is bool:
            return column.map({"0": False, "1": True}).astype("boolean").astype(bool)
        return column.where(column != "", None).astype("Int64")
    except (ValueError, TypeError) as error:
        wanted = "0 or 1" if kind is bool else getattr(kind, "__name__", str(kind))
        raise InputError(
            f"{path}: expected {wanted} in column {column.name!r}; got {error}; run `dvc repro`"
        ) from None


def live(dataset: str) -> Place:
    """Give the folders of the pipeline."""
    return lambda part: Path("data", dataset) if part == "data" else Path("reports", part, dataset)


def measured(dataset: str) -> Place:
    """Give the folders of one carried data set."""
    return partial(Path, CARRIED, dataset)


def names() -> list[str]:
    """List the carried data sets."""
    return sorted(path.name for path in CARRIED.glob("*") if path.is_dir() and path.name[0] != ".")


def record(dataset: str) -> dict[str, Any]:
    """Read the provenance of a carried data set."""
    path = made(CARRIED / dataset / RECORD)
    try:
        return read_json(path)
    except ValueError as error:
        raise InputError(
            f"{path}: expected JSON as stages.measure writes it; got {error}"
        ) from None


def hashes(root: Path) -> dict[str, str]:
    """Compute the sha256 of every file below ``root``, by its path, but for the record itself."""
    files = sorted(
        path
        for path in root.rglob("*")
        if path.is_file() and path.name[0] != "." and path.name != RECORD
    )
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def made(path: Path) -> Path:
    """Give the path; raise InputError if there is no such file."""
    if not path.exists():
        raise InputError(
            f"{path}: expected a file that an earlier stage writes; got none; run `dvc repro`"
        )
    return path
