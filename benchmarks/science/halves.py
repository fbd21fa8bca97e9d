"""Ask how halves should be trained on: as weights of 2 and 0, or by their rows alone.

    python -m benchmarks.science.halves digits        five minutes, after `dvc repro`

With weights there are as many steps as in the whole training, with the rows alone half as many.
Both are trained on the same halves under the same seeds, and P, which is the same for both, is
scored and calibrated by them. The working directory is the repository, or the workspace of a
measured data set. The result is written to reports/benchmarks/halves.json, a part for each data
set.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from catwise.ceiling.calibration import calibrate_from
from catwise.experiments.retrained_subsets import retrained_subsets
from catwise.fidelity.scores import linear_datamodeling_score
from catwise.pipeline.files import read_json, read_npz
from catwise.pipeline.stage import settings

__all__ = ["compare"]


def compare(dataset: str) -> dict[str, Any]:
    """Return the scores and the slopes of P at the end of training, by the way halves are used."""
    parameters = settings(dataset)
    assert parameters.fidelity is not None
    p_nk = read_npz(Path("reports", "influence", dataset, "vectors.npz"))["P"].astype(np.float64)
    labels_n = read_npz(Path("data", dataset, "arrays.npz"))["train/y"]
    counts_k = np.array(read_json(Path("data", dataset, "card.json"))["counts"]["validation_a"])
    found: dict[str, Any] = {}
    for way in ("rows", "weights"):
        section = parameters.fidelity.model_copy(update={"subsets": way, "removals": 0})
        changed = parameters.model_copy(update={"fidelity": section})
        arrays = retrained_subsets(dataset, changed, len(p_nk))
        calibration = calibrate_from(arrays, p_nk, labels_n, counts_k)
        found[way] = {
            "rank score": asdict(calibration.rank_score),
            "slope": asdict(calibration.slope),
            "slope in accuracy": asdict(calibration.accuracy_slope),
            "slope of the mixture": asdict(calibration.mixture.interval(0)),
        }
        for measure in ("loss", "accuracy"):
            truth_hk = arrays[f"{measure}_hsk"].mean(axis=1)
            sign = 1 if measure == "loss" else -1
            score_k = linear_datamodeling_score(p_nk, arrays["kept_hn"], sign * truth_hk)
            found[way][f"LDS, {measure}"] = float(np.nanmean(score_k))
        found[way]["mean loss"] = float(arrays["loss_hsk"].mean())
    halves, seeds = parameters.fidelity.halves, parameters.fidelity.seeds
    return {**machine("cpu"), "halves": halves, "seeds": seeds, "ways": found}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("out", nargs="?", type=Path, default=Path("reports/benchmarks/halves.json"))
    arguments = parser.parse_args()
    parts = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    parts[arguments.dataset] = compare(arguments.dataset)
    arguments.out.write_text(json.dumps(parts, indent=1) + "\n")


if __name__ == "__main__":
    main()
