"""Put what was measured into reports/measured/DATASET, from where git carries it to everybody."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from catwise.pipeline.files import folder, read_json, read_npz, write_json, write_npz
from catwise.pipeline.results import CARRIED, RECORD, hashes, live

__all__ = ["publish"]


def publish(dataset: str, work: Path, log: dict[str, Any], stages: list[str]) -> None:
    """Replace reports/measured/DATASET by the results in ``work``, whole or not at all."""
    out = folder(str(CARRIED)) / dataset
    part, old = out.with_name(f".{dataset}.part"), out.with_name(f".{dataset}.old")
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    _copy_results(dataset, work, part, stages)
    record = _provenance(dataset, part, log)
    write_json(part / RECORD, record)
    if out.exists():
        out.rename(old)
    try:
        part.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
    files = len(record["sha256"])
    print(f"measure {dataset}: {files} files, {size:.1f} MB in {out}; add them to git", flush=True)


def _provenance(dataset: str, results: Path, log: dict[str, Any]) -> dict[str, Any]:
    """Return where the results are from: data, parameters, machines, times and hashes."""
    card = read_json(results / "data" / "card.json")
    origin = {"origin": card.get("origin"), "notes": card.get("notes", [])}
    return {
        "dataset": dataset,
        "data": origin | {"sha256": card["sha256"]},
        "seconds": round(sum(sum(run["seconds"].values()) for run in log["runs"]), 2),
        "runs": log["runs"],
        "parameters": log["parameters"],
        "sha256": hashes(results),
    }


def _copy_results(dataset: str, work: Path, out: Path, stages: list[str]) -> None:
    """Copy what the figures and the report read.

    The data give the card, the labels and the flips alone, never an image or a text; points in the
    plane are copied, because the figures of the synthetic sets draw them.
    """
    place = live(dataset)
    for stage in stages:
        if (work / place(stage)).is_dir():
            left_out = shutil.ignore_patterns(".*", "bins")
            shutil.copytree(work / place(stage), out / stage, ignore=left_out)
    data = folder(str(out), "data")
    shutil.copy(work / place("data") / "card.json", data)
    arrays = read_npz(work / place("data") / "arrays.npz")
    x = arrays["train/x"]
    names = ["train/y", "flipped"]
    if x.ndim == 2 and x.shape[1] == 2 and np.issubdtype(x.dtype, np.floating):
        names.append("train/x")
    write_npz(data / "arrays.npz", **{name: arrays[name] for name in names})
