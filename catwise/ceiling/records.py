"""Return checks, nulls, calibrations and gains as JSON and as rows of tables."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from catwise.ceiling.calibration import Calibration, PerClass
from catwise.ceiling.check import CeilingCheck
from catwise.ceiling.decision import product

__all__ = [
    "FIGURES",
    "calibration_record",
    "check_record",
    "figure_rows",
    "gain_rows",
    "null_record",
]

FIGURES = ("first_component_ratio", "smallest_share", "headroom", "crossfitted")
NULLS = ("headroom", "crossfitted")  # the columns of the null


def calibration_record(calibration: Calibration, classes: Sequence[str]) -> dict[str, Any]:
    """Return the calibration as JSON, without what ``gain_rows`` has of each class.

    ``mixture`` are the shares of the classes in the mixture that ``mixture_slope`` is of.
    """
    names = ("slope", "accuracy_slope", "rank_score")
    record: dict[str, Any] = {name: asdict(getattr(calibration, name)) for name in names}
    record["mixture"] = dict(zip(classes, calibration.mixture_k.tolist(), strict=True))
    record["mixture_slope"] = asdict(calibration.mixture.interval(0))
    return record | {"subsets": calibration.subsets, "seeds": calibration.seeds}


def gain_rows(
    classes: Sequence[str], gains: PerClass, calibration: Calibration
) -> list[dict[str, Any]]:
    """Return for each class what is predicted, the slopes, and what a new training would bring.

    The quantities are ``predicted`` (nats), ``slope`` (nats per nat), ``accuracy_slope`` (points
    per nat), and the gains ``loss`` (nats) and ``accuracy`` (points).
    """
    slopes, accuracy_slopes = calibration.slopes, calibration.accuracy_slopes
    columns = {
        "predicted": (gains.value_k, gains.half_width()),
        "slope": (slopes.value_k, slopes.half_width()),
        "accuracy_slope": (accuracy_slopes.value_k, accuracy_slopes.half_width()),
        "loss": product(gains, slopes),
        "accuracy": product(gains, accuracy_slopes),
    }
    rows = []
    for quantity, (value_k, half_k) in columns.items():
        for name, value, half in zip(classes, value_k, half_k, strict=True):
            ends = {"value": value, "low": value - half, "high": value + half}
            rows.append({"class": name, "quantity": quantity, **ends})
    return rows


def check_record(check: CeilingCheck) -> dict[str, Any]:
    """Return the check of one checkpoint as JSON: each figure is {value, low, high}."""
    return {
        **{name: asdict(getattr(check, name)) for name in FIGURES},
        "room": int(check.room),
        "blocking": list(check.blocking),
        "exchange_rate": check.exchange_rate,
        "exchange": dict(zip(check.classes, check.exchange_k.tolist(), strict=True)),
        "gap": check.gap,
    }


def null_record(null: np.ndarray) -> dict[str, dict[str, float]]:
    """Return median and 95 % quantiles of each column of the null, {middle, low, high}."""
    quantiles = np.quantile(null, (0.5, 0.025, 0.975), axis=0).T.tolist()
    return {
        name: dict(zip(("middle", "low", "high"), values, strict=True))
        for name, values in zip(NULLS, quantiles, strict=True)
    }


def figure_rows(epoch: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row for each figure of a checkpoint, with the null where it has one."""
    rows = []
    for name in FIGURES:
        null = epoch["null"].get(name, {})
        ends = {f"null_{end}": null.get(end) for end in ("middle", "low", "high")}
        rows.append({"epoch": epoch["epoch"], "figure": name, **epoch[name], **ends})
    return rows
