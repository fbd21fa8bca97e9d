"""Put what was measured into reports/measured/DATASET, from where git carries it to everybody."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from catwise.pipeline.files import folder, read_json, read_npz, write_json, write_npz
from catwise.pipeline.results import CARRIED, RECORD, hashes, live

__all__ = ["publish"]


def publish(dataset: str, work: Path, log: dict[str, Any], stages: list[str]) -> None:
    """Replaces reports/measured/DATASET by the results in ``work``, whole or not at all."""
    out = folder(str(CARRIED)) / dataset
    part, old = (out.with_name(f".{dataset}.{name}") for name in ("part", "old"))
    for scratch in (part, old):
        shutil.rmtree(scratch, ignore_errors=True)
    carry(dataset, work, part, stages)
    card = read_json(part / "data" / "card.json")
    about = {
        "dataset": dataset,
        "data": {
            "origin": card.get("origin"),
            "notes": card.get("notes", []),
            "sha256": card["sha256"],
        },
        "seconds": round(sum(sum(run["seconds"].values()) for run in log["runs"]), 2),
        "runs": log["runs"],
        "parameters": log["parameters"],
        "sha256": hashes(part),
    }
    write_json(part / RECORD, about)
    if out.exists():
        out.rename(old)
    try:
        part.rename(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(
        f"measure {dataset}: {len(about['sha256'])} files, {size / 1e6:.1f} MB in {out}; add them to git",
        flush=True,
    )


def carry(dataset: str, work: Path, out: Path, stages: list[str]) -> None:
    """What the figures and the report read; of the data the card, labels and flips, never an image or a text."""
    place = live(dataset)
    for stage in stages:
        if (work / place(stage)).is_dir():
            shutil.copytree(
                work / place(stage), out / stage, ignore=shutil.ignore_patterns(".*", "bins")
            )
    data = folder(str(out), "data")
    shutil.copy(work / place("data") / "card.json", data)
    arrays = read_npz(work / place("data") / "arrays.npz")
    x = arrays["train/x"]
    points = (
        x.ndim == 2 and x.shape[1] == 2 and np.issubdtype(x.dtype, np.floating)
    )  # the synthetic sets' drawings
    kept = ("train/y", "flipped", *(["train/x"] if points else []))
    write_npz(data / "arrays.npz", **{name: arrays[name] for name in kept})
