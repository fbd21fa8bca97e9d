"""Hold the records of which the results of a data set are made."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from catwise.ceiling.verdict import Verdict
from catwise.core.statistics import Estimate

__all__ = [
    "Card",
    "Ceiling",
    "Fidelity",
    "Improve",
    "Predicted",
    "Reweight",
    "TopShare",
    "Trimming",
    "TrimmingState",
]


@dataclass(frozen=True)
class Card:
    """Describe a data set; ``counts`` holds the samples of each class by split."""

    source: str
    licence: str
    classes: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    flipped: int  # how many training labels were changed
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
    headroom: Estimate
    blocking: tuple[str, str]  # the two classes that stand most in each other's way
    exchange_rate: float  # of the second of them for the first
    verdict: Verdict  # the calibrated one where retrainings were at hand
    record: dict[str, Any]


@dataclass(frozen=True)
class Fidelity:
    """Hold the score of each kind of P: by class, their mean, and how far kinds are apart."""

    flipped_label_auc: dict[str, float]
    scores: pd.DataFrame
    summary: pd.DataFrame
    differences: pd.DataFrame
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
    """Hold what removing the top share of each class did.

    ``rankings`` has the correlations of every P by which the samples were ranked, the first of
    which is that of the other tables.
    """

    changes: pd.DataFrame
    correlations: pd.DataFrame
    rankings: pd.DataFrame
    diagonal: pd.DataFrame


@dataclass(frozen=True)
class Reweight:
    """Hold Table 1; ``weights`` are those of each training sample by (case, method)."""

    cases: pd.DataFrame
    table: pd.DataFrame
    summary: pd.DataFrame
    printed: pd.DataFrame
    refresh: pd.DataFrame  # empty without batch norm
    room: pd.DataFrame
    tradeoff: pd.DataFrame
    history: pd.DataFrame
    weights: dict[tuple[str, str], np.ndarray]


@dataclass(frozen=True)
class Improve:
    """Hold the path to the ceiling and its baselines; ``weights`` are by method."""

    path: pd.DataFrame
    table: pd.DataFrame
    classes: pd.DataFrame
    steps: pd.DataFrame
    weights: dict[str, np.ndarray]
