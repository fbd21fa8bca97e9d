"""Ask how halves should be trained on: as weights of 2 and 0, or by their rows alone.

    python -m benchmarks.science.halves digits        two minutes, after `dvc repro`

With weights there are as many steps as in the whole training, with the rows alone half as many.
Both are trained on the same halves under the same seeds, and P, which is the same for both, is
scored and calibrated by them. What the stage ``subsets`` trained is read, the other way is trained
here; ``--halves`` and ``--seeds`` take less of both. The working directory is the repository, or
the workspace of a measured data set. The result is written to reports/benchmarks/halves.json, a
part for each data set.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import command
from benchmarks.machine import machine
from catwise.ceiling.calibration import calibrate_from
from catwise.experiments.retrained_subsets import retrained_subsets
from catwise.fidelity.scores import linear_datamodeling_score
from catwise.fidelity.subsets import HALF
from catwise.pipeline.files import read_json, read_npz
from catwise.pipeline.stage import settings

__all__ = ["compare"]


def compare(dataset: str, halves: int | None, seeds: int | None) -> dict[str, Any]:
    """Return the scores and the slopes of P at the end of training, by the way halves are used."""
    parameters = settings(dataset)
    section = parameters.subsets
    assert section is not None
    p_nk = read_npz(Path("reports", "influence", dataset, "vectors.npz"))["P"].astype(np.float64)
    labels_n = read_npz(Path("data", dataset, "arrays.npz"))["train/y"]
    counts_k = np.array(read_json(Path("data", dataset, "card.json"))["counts"]["validation_a"])
    halves, seeds = halves or section.halves, seeds or section.seeds
    trained = read_npz(Path("reports", "subsets", dataset, "subsets.npz"))
    rows_h = np.flatnonzero(trained["design_h"] == HALF)[:halves]
    names = ("kept_hn", "design_h", "loss_hsk", "accuracy_hsk")
    known = {name: trained[name][rows_h] for name in names}
    known |= {name: known[name][:, :seeds] for name in names[2:]}
    by_way: dict[str, dict[str, np.ndarray]] = {section.left_out: known}
    (other,) = {"rows", "weights"} - {section.left_out}
    less = {"left_out": other, "halves": halves, "removals": 0, "seeds": seeds}
    changed = section.model_copy(update=less)
    by_way[other] = retrained_subsets(dataset, parameters, changed, len(p_nk))
    assert (by_way["rows"]["kept_hn"] == by_way["weights"]["kept_hn"]).all()
    ways = {way: scores_of(by_way[way], p_nk, labels_n, counts_k) for way in ("rows", "weights")}
    return {**machine("cpu"), "halves": halves, "seeds": seeds, "ways": ways}


def scores_of(
    arrays: dict[str, np.ndarray], p_nk: np.ndarray, labels_n: np.ndarray, counts_k: np.ndarray
) -> dict[str, Any]:
    """Return the scores of P and of counting labels, and the calibration of P, by these halves."""
    calibration = calibrate_from(arrays, p_nk, labels_n, counts_k)
    row: dict[str, Any] = {
        "rank score": asdict(calibration.rank_score),
        "slope": asdict(calibration.slope),
        "slope in accuracy": asdict(calibration.accuracy_slope),
        "slope of the mixture": asdict(calibration.mixture.interval(0)),
    }
    own_nk = np.eye(len(counts_k))[labels_n]
    for measure, sign in (("loss", 1), ("accuracy", -1)):
        truth_hk = sign * arrays[f"{measure}_hsk"].mean(axis=1)
        for name, vectors_nk in (("P", p_nk), ("labels counted", own_nk)):
            score_k = linear_datamodeling_score(vectors_nk, arrays["kept_hn"], truth_hk)
            row[f"LDS, {measure}, {name}"] = float(np.nanmean(score_k))
    return row | {"mean loss": float(arrays["loss_hsk"].mean())}


def main() -> None:
    command.by_dataset(__doc__, "halves.json", compare, halves={"type": int}, seeds={"type": int})


if __name__ == "__main__":
    main()
