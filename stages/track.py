"""Log this state of the pipeline to MLflow, once, whether its stages ran or came from the cache."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from catwise.config import params
from catwise.core.errors import InputError
from catwise.pipeline.files import folder, read_json, write_json
from catwise.pipeline.stage import run, settings
from catwise.tracking import mlflow_log
from catwise.tracking.contents import curves, note, weights

__all__ = ["fingerprint"]

STAGES = (
    "train",
    "influence",
    "fidelity",
    "removal",
    "ceiling",
    "reweight",
)  # those that write a metrics.json
TABLES = {
    "train": ["history"],
    "ceiling": ["epochs"],
    "reweight": ["table", "printed", "room", "tradeoff", "history"],
}


def main(dataset: str) -> None:
    parameters = flat(settings(dataset).model_dump())
    card = Path("data", dataset, "card.json")
    summaries = {stage: Path("reports", stage, dataset, "metrics.json") for stage in STAGES}
    tables = [
        Path("reports", stage, dataset, f"{name}.csv")
        for stage, names in TABLES.items()
        for name in names
    ]
    drawn = Path("reports", "figures", dataset)
    figures = sorted(path for path in drawn.rglob("*") if path.is_file())
    if not figures:
        raise InputError(
            f"{drawn}: expected figures; got none; `dvc repro figures@{dataset}` draws them"
        )
    files = [card, *summaries.values(), *tables, *figures]
    packed = Path("reports", "reweight", dataset, "weights.npz")
    key = fingerprint(parameters, [*files, packed])
    table = weights(dataset)
    state = mlflow_log.State(
        dataset=dataset,
        key=key,
        data_sha256=read_json(card)["sha256"],
        parameters=parameters,
        points=list(curves(dataset)),
        summaries={stage: flat(read_json(path)) for stage, path in summaries.items()},
        files=files,
        texts={packed.with_suffix(".csv").as_posix(): table} if table else {},
        note=note(dataset),
        changes=changes(dataset, parameters),
    )
    print(mlflow_log.log(state), flush=True)
    write_json(folder("reports", "track") / f"{dataset}.json", {"key": key})


def changes(dataset: str, parameters: dict[str, Any]) -> dict[str, Any] | None:
    """Those of the parameters that are not as in the commit that this state starts from, if that can be known."""
    path = Path("params.yaml")
    if (text := mlflow_log.committed(path)) is None:
        return None
    try:
        before = params.parse(text, path).datasets
    except InputError:  # of an earlier version of this project
        return None
    if dataset not in before:
        return None
    known = flat(before[dataset].model_dump())
    return {
        name: value
        for name, value in parameters.items()
        if name not in known or known[name] != value
    }


def fingerprint(parameters: dict[str, Any], files: Sequence[Path]) -> str:
    """The key of a state: sha256 over its parameters, and the name and bytes of every file that is logged."""
    contents = {path.as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    state = json.dumps({"parameters": parameters, "files": contents}, sort_keys=True)
    return hashlib.sha256(state.encode()).hexdigest()


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one mapping with dotted names."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        leaves |= (
            flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
        )
    return leaves


if __name__ == "__main__":
    run(main, __doc__)
