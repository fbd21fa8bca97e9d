"""Measure every library on the same work, and score what it gives by retraining.

    pip install -r requirements.txt -r benchmarks/peers/requirements.txt
    python -m benchmarks.peers.measure      half an hour on one core

On two cases, a CNN on digits and a narrow ResNet-9 on a part of CIFAR-10, each method gives P for
the same trained network, or says in its own words why not. The truth are networks that were trained
on random halves. A method is a process of its own; its seconds are those that the processor worked
for it, beyond a trained network with its checkpoints, its packages already imported. They are told
as a ratio to one plain training that is timed just before it, because other work on the machine
slows both. Its peak of memory is what it held beyond the packages and the samples. What is measured
is kept in scratch/peers: a further run does what is missing, or is of other versions or weights.
"""

import importlib
import json
import sys
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import astuple
from importlib.metadata import PackageNotFoundError, version
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata

from benchmarks import command
from benchmarks.machine import machine
from benchmarks.peers.case import CASES, Case, Work, truth
from benchmarks.peers.labels import LABELS
from benchmarks.peers.libraries import LIBRARIES
from benchmarks.peers.ours import OURS
from benchmarks.processes import apart, held, reset_peak
from catwise.core.fingerprint import fingerprint
from catwise.experiments.retraining import train_anew
from catwise.fidelity.scores import scores
from catwise.pipeline.provenance import ROOT

__all__ = ["METHODS", "compare", "flip_auc", "main"]

METHODS: dict[str, tuple[str, str, Any]] = {
    **LIBRARIES,
    **LABELS,
    **{f"catwise, {name}": ("catwise", "catwise", compute) for name, compute in OURS.items()},
}
LIMIT = 180  # seconds of one core after which a method is stopped
DRAWS = 500  # of the bootstrap of the samples


def main(argv: list[str] | None = None) -> None:
    parser = command.parser(__doc__, ROOT / "reports" / "benchmarks" / "peers.json")
    parser.add_argument("--only", choices=CASES, help="renew this case of OUT, keep the other")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    out = arguments.out.resolve()
    result: dict[str, Any] = {"cases": {}}
    if arguments.only:
        result |= command.read(out)
    for name in [arguments.only] if arguments.only else CASES:
        result["cases"][name] = compare(name, CASES[name], ROOT / "scratch" / "peers" / "kept")
        command.write(out, result)


def compare(name: str, case: Case, archive: Path) -> dict[str, Any]:
    """Measure what is not kept yet, and score it all: a row for each method."""
    description = _given(apart(_describe, case))
    weights = description.pop("weights")
    rows: dict[str, dict[str, Any]] = {}
    vectors: dict[str, np.ndarray] = {}
    for method, (package, _, _) in METHODS.items():
        identity = {"version": _version(package), "weights": weights}
        path = archive / name / f"{method.replace(', ', '_').replace(' ', '_')}.json"
        record = json.loads(path.read_text()) if path.exists() else {}
        if {key: record.get(key) for key in identity} != identity:
            record = identity | _row(case, method)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(record))
            summary = {key: value for key, value in record.items() if key != "scores"}
            print(f"{name}: {method:32} {summary}", file=sys.stderr, flush=True)
        values = np.array(record.pop("scores", []))
        if values.ndim == 2:
            vectors[method] = values
        rows[method] = {key: value for key, value in record.items() if key != "weights"}
    for method, row in _given(apart(_scores, case, vectors)).items():
        rows[method]["LDS"] = row
    return {"machine": machine("cpu"), **description, "methods": rows}


def _describe(case: Case) -> dict[str, Any]:
    """Make the case, and say how large it is."""
    case.enter()
    work, halves = Work(case), truth(case.dataset)
    return {
        "model": f"{work.section.train.model}, width {work.section.train.width}",
        "parameters": sum(part.numel() for part in work.model.parameters()),
        "training samples": len(work.train[-1]),
        "query samples": len(work.query[-1]),
        "flipped": int(work.flipped_n.sum()),
        "classes": work.k,
        "halves": len(halves["kept_hn"]),
        "seeds": int(halves["loss_hsk"].shape[1]),
        "runs": work.section.influence.runs,
        "segments": work.section.influence.segments,
        "weights": fingerprint(work.model),
    }


def _scores(case: Case, vectors: dict[str, np.ndarray]) -> dict[str, Any]:
    """Score each P by the halves: {measure: (value, low, high)} for each method."""
    case.enter()
    halves = truth(case.dataset)
    rows: dict[str, Any] = {name: {} for name in vectors}
    for measure in ("loss", "accuracy"):
        values_hsk = halves[f"{measure}_hsk"]
        scored = scores(vectors, halves["kept_hn"], values_hsk, measure)
        for name in vectors:
            rows[name][measure] = astuple(scored.mean(name))
    return rows


def _row(case: Case, name: str) -> dict[str, Any]:
    """Time a plain training, then the method, each in a process of its own."""
    training = _given(apart(_train, case))
    row = apart(_measure, case, name, limit=LIMIT)
    if isinstance(row, str):
        return {"reason": row}
    return {**row, "training seconds": training, "times a training": row["seconds"] / training}


def _train(case: Case) -> float:
    case.enter()
    work = Work(case)
    start = time.process_time()
    train_anew(work.section.train, work.dataset, work.train)
    return time.process_time() - start


def _measure(case: Case, name: str) -> dict[str, Any]:
    """Compute the scores of one method, and their price; a low sum over the classes is suspect."""
    _, module, compute = METHODS[name]
    case.enter()
    work = Work(case)
    warnings.simplefilter("ignore")
    with redirect_stderr(StringIO()), redirect_stdout(StringIO()):
        importlib.import_module(module)
        reset_peak()
        before, start = held("VmRSS"), time.process_time()
        values = np.asarray(compute(work), dtype=np.float64)
        seconds, peak = time.process_time() - start, held("VmHWM") - before
    if not np.isfinite(values).all():
        raise ValueError("its scores are not finite")
    totals_n = values.sum(axis=1) if values.ndim == 2 else values
    auc = flip_auc(totals_n, work.flipped_n, np.random.default_rng(0))
    price = {"seconds": seconds, "peak bytes": peak}
    return {**price, "flipped label AUC": auc, "scores": values.tolist()}


def flip_auc(
    totals_n: np.ndarray, flipped_n: np.ndarray, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Return the area under the ROC curve of the low scores, with its 95 % interval.

    It is the share of pairs of a flipped and a right label whose flipped one scores lower, a tie
    counted as half. The interval is that of a bootstrap of the samples, flipped and right ones
    apart.
    """
    parts = totals_n[flipped_n], totals_n[~flipped_n]
    resamples = [np.vstack([part, rng.choice(part, (DRAWS, len(part)))]) for part in parts]
    ranks_dn = rankdata(-np.hstack(resamples), axis=1)[:, : len(parts[0])]
    area_d = (ranks_dn.mean(axis=1) - (len(parts[0]) + 1) / 2) / len(parts[1])
    low, high = np.quantile(area_d[1:], (0.025, 0.975))
    return float(area_d[0]), float(low), float(high)


def _given(result: Any) -> Any:
    """Return what a process gave. Raises RuntimeError where it says why it gives nothing."""
    if isinstance(result, str):
        raise RuntimeError(result)
    return result


def _version(package: str) -> str:
    if package == "catwise":
        return "this repository"
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
