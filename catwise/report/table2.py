"""Write Table 2 as text: the hyper-parameters that the paper prints beside those that were used."""

from collections.abc import Mapping, Sequence
from typing import Any

from catwise.claims.paper import GENETIC, HYPERPARAMETERS, SEARCH, SEARCH_EPOCHS
from catwise.pipeline.results import Results

__all__ = ["search_rows", "training_rows"]

TRAINING = (
    *("model", "width", "layers", "epochs", "batch_size", "optimizer", "learning_rate"),
    "weight_decay",
)


def training_rows(datasets: Sequence[Results]) -> list[list[str]]:
    """Give a row for each parameter of the training; where the paper has another value, say it."""
    rows = [["parameter", *(results.dataset for results in datasets)]]
    for key in TRAINING:
        cells = [
            beside(
                results.parameters["train"].get(key),
                HYPERPARAMETERS.get(results.card.source, {}).get(key),
            )
            for results in datasets
        ]
        rows.append([key.replace("_", " "), *cells])
    return rows


def search_rows(datasets: Sequence[Results]) -> list[list[str]]:
    """Give a row for each parameter of PARETO-LP-GA; [] if no data set reweights an epoch."""
    sections = {
        results.dataset: section
        for results in datasets
        if (section := results.parameters.get("reweight"))
    }
    if not sections:
        return []
    rows = [["parameter", "paper", *sections]]
    for key, printed in SEARCH.items():
        cells = [case_values(section, key) for section in sections.values()]
        rows.append([key.replace("_", " "), str(printed), *cells])
    epochs = f"{SEARCH_EPOCHS} (Algorithm 1: one)"
    rows.append(["epochs with the weights", epochs, *["1"] * len(sections)])
    for key, printed in GENETIC.items():
        rows.append([key.replace("_", " "), str(printed), *["as printed"] * len(sections)])
    return rows


def case_values(section: Mapping[str, Any], key: str) -> str:
    """Name the value of a parameter in every case: of its extra epoch, or of its search."""
    values = []
    for case in section["cases"]:
        if key in section:
            own = case["budget"]
            values.append(str(section[key] if own == "full" else own[key]))
        else:
            recipe = case["recipe"]
            values.append("as trained" if recipe == "as_trained" else str(recipe[key]))
    return ", ".join(dict.fromkeys(values))


def beside(value: Any, printed: Any) -> str:
    """Write a value, and in brackets the paper's where that is another one."""
    text = "-" if value is None else str(value)
    return text if printed is None or printed == value else f"{text} (paper: {printed})"
