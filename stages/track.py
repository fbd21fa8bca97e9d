"""Log this state of the pipeline to MLflow, once, whether its stages ran or came from the cache."""

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from catwise import params, tracking
from catwise.errors import InputError
from stages.io import folder, read_json, run, settings, write_json

__all__ = ["fingerprint"]

STAGES = ("train", "influence", "fidelity", "removal", "ceiling", "reweight")  # those that write a metrics.json


def main(dataset: str) -> None:
    settings(dataset)  # refuses an unknown name
    parameters = flat(params.load().datasets[dataset].model_dump())
    card = Path("data", dataset, "card.json")
    history = Path("reports", "train", dataset, "history.csv")
    summaries = {stage: Path("reports", stage, dataset, "metrics.json") for stage in STAGES}
    drawn = Path("reports", "figures", dataset)
    figures = sorted(path for path in drawn.rglob("*") if path.is_file())
    if not figures:
        raise InputError(f"{drawn}: expected figures, found none; `dvc repro figures@{dataset}` draws them")
    files = [card, history, *summaries.values(), *figures]
    key = fingerprint(parameters, files)
    with history.open(newline="") as file:
        rows = list(csv.DictReader(file))
    state = tracking.State(
        dataset=dataset,
        key=key,
        data_sha256=read_json(card)["sha256"],
        parameters=parameters,
        history=rows,
        summaries={stage: flat(read_json(path)) for stage, path in summaries.items()},
        files=files,
    )
    print(tracking.log(state), flush=True)
    write_json(folder("reports", "track") / f"{dataset}.json", {"key": key})


def fingerprint(parameters: dict[str, Any], files: Sequence[Path]) -> str:
    """The key of a state: sha256 over its parameters, and the name and bytes of every file that is logged."""
    contents = {path.as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    state = json.dumps({"parameters": parameters, "files": contents}, sort_keys=True)
    return hashlib.sha256(state.encode()).hexdigest()


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one mapping with dotted names."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        leaves |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return leaves


if __name__ == "__main__":
    run(main, __doc__)
