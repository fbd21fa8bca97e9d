"""Table 2: the hyper-parameters that the paper prints beside those that were used."""

from collections.abc import Mapping
from typing import Any

from catwise.claims.paper import GENETIC, HYPERPARAMETERS, SEARCH

__all__ = ["searching", "training"]

TRAIN = (
    "model",
    "width",
    "layers",
    "epochs",
    "batch_size",
    "optimizer",
    "learning_rate",
    "weight_decay",
)
Parameters = Mapping[str, Any]


def training(used: Mapping[str, tuple[str, Parameters]]) -> list[list[str]]:
    """A heading and a row per parameter; ``used``: by data set its source, whose printed values stand beside, and what
    it was run with. Where the paper prints another value, that is in brackets."""
    rows = [["parameter", *used]]
    for key in TRAIN:
        cells = []
        for source, parameters in used.values():
            value, printed = parameters["train"].get(key), HYPERPARAMETERS.get(source, {}).get(key)
            cells.append(_beside(value, printed))
        rows.append([key.replace("_", " "), *cells])
    return rows


def searching(used: Mapping[str, tuple[str, Parameters]]) -> list[list[str]]:
    """The same of PARETO-LP-GA, for the data sets that reweight an epoch; empty without one."""
    mine = {
        name: parameters["reweight"]
        for name, (_, parameters) in used.items()
        if parameters.get("reweight")
    }
    if not mine:
        return []
    rows = [["parameter", "paper", *mine]]
    for key, printed in SEARCH.items():
        cells = [
            str(section[key]) if key in section else _recipes(section, key)
            for section in mine.values()
        ]
        rows.append([key.replace("_", " "), str(printed), *cells])
    return [
        *rows,
        *(
            [key.replace("_", " "), str(printed), *["as printed"] * len(mine)]
            for key, printed in GENETIC.items()
        ),
    ]


def _recipes(section: Parameters, key: str) -> str:
    """Of the extra epoch in each case."""
    recipes = [case["recipe"] for case in section["cases"]]
    return ", ".join(
        dict.fromkeys(str(one[key]) if isinstance(one, dict) else "as trained" for one in recipes)
    )


def _beside(value: Any, printed: Any) -> str:
    shown = "-" if value is None else str(value)
    return shown if printed is None or printed == value else f"{shown} (paper: {printed})"
