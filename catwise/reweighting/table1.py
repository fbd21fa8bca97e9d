"""Table 1, with what it lacks: the effect net of a control, with its interval over seeds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t

from catwise.core.errors import InputError
from catwise.reweighting.fitness import relative_change

__all__ = ["COLUMNS", "Net", "Row", "long", "net_effect", "rows"]

MEANS = ("before", "control", "after", "predicted")
COLUMNS = ("method", "measure", "class", "target", *MEANS, "gain", "low", "high", "reading")


@dataclass(frozen=True)
class Row:
    """One class of Table 1; ``change`` in percent of ``before``."""

    category: int
    target: bool
    before: float
    after: float
    change: float


def rows(before_k: np.ndarray, after_k: np.ndarray, targets: list[int]) -> list[Row]:
    change_k = 100 * relative_change(before_k, after_k)
    return [
        Row(k, k in targets, float(before), float(after), float(change))
        for k, (before, after, change) in enumerate(zip(before_k, after_k, change_k, strict=True))
    ]


@dataclass(frozen=True)
class Net:
    """Mean over seeds of treated minus control, and the interval's ends, per class: inf with a single seed."""

    mean_k: np.ndarray
    low_k: np.ndarray
    high_k: np.ndarray

    @property
    def better(self) -> list[int]:
        """The classes whose interval lies above 0."""
        return np.flatnonzero(self.low_k > 0).tolist()

    @property
    def worse(self) -> list[int]:
        return np.flatnonzero(self.high_k < 0).tolist()


def net_effect(treated_sk: np.ndarray, control_sk: np.ndarray, confidence: float = 0.95) -> Net:
    """Differences paired by seed s with Student's interval, class by class. Larger is better: of losses, hand in -loss.

    Differs from the paper: Table 1 compares with the epoch before, and one more epoch moves every class by itself.
    """
    differences_sk = np.asarray(treated_sk, dtype=np.float64) - np.asarray(
        control_sk, dtype=np.float64
    )
    if differences_sk.ndim != 2 or not len(differences_sk):
        raise InputError(f"net effect: expected seeds x classes; got shape {differences_sk.shape}")
    seeds, mean_k = len(differences_sk), differences_sk.mean(axis=0)
    if seeds == 1:
        return Net(mean_k, np.full_like(mean_k, -np.inf), np.full_like(mean_k, np.inf))
    error_k = differences_sk.std(axis=0, ddof=1) / seeds**0.5
    half_k = t.ppf((1 + confidence) / 2, seeds - 1) * error_k
    return Net(mean_k, mean_k - half_k, mean_k + half_k)


def long(
    state: dict[str, str],
    classes: list[str],
    targets: list[int],
    means: dict[str, np.ndarray | None],
    net: Net,
) -> list[dict[str, Any]]:
    """A row per class in long form: ``state``, ``means`` over the seeds, and what is gained beyond the control."""
    return [
        {
            **state,
            "class": name,
            "target": k in targets,
            **{key: None if values is None else values[k] for key, values in means.items()},
            "gain": net.mean_k[k],
            "low": net.low_k[k],
            "high": net.high_k[k],
            "reading": "better" if k in net.better else "worse" if k in net.worse else "",
        }
        for k, name in enumerate(classes)
    ]
