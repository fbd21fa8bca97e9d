"""Check the ceiling at each checkpoint, and give a verdict that retraining calibrates."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from catwise.ceiling.calibration import calibrate_from
from catwise.ceiling.check import check_ceiling
from catwise.ceiling.crossfit import permutation_null
from catwise.ceiling.decision import calibrated_check, uncalibrated_verdict
from catwise.ceiling.records import (
    FIGURES,
    calibration_record,
    check_record,
    figure_rows,
    gain_rows,
    null_record,
)
from catwise.core.errors import InputError
from catwise.core.progress import progress
from catwise.pipeline.files import folder, read_json, read_npz, write_csv, write_json
from catwise.pipeline.stage import run, settings
from catwise.pipeline.tables import TABLES

ENDS = ("", "low", "high")


def main(dataset: str) -> None:
    section = settings(dataset).ceiling
    card = read_json(Path("data", dataset, "card.json"))
    classes, counts_k = card["classes"], np.array(card["counts"]["validation_a"])
    labels_n = read_npz(Path("data", dataset, "arrays.npz"))["train/y"]
    retrained = read_npz(Path("reports", "subsets", dataset, "subsets.npz"))
    out = folder("reports", "ceiling", dataset)
    bins = Path("reports", "influence", dataset, "bins")
    paths = sorted(bins.glob("epoch_*.npz"))
    if not paths:
        raise InputError(
            f"{bins}: expected the vectors of each checkpoint; got none; run `dvc repro`"
        )
    epochs = []
    for path in progress(paths, f"ceiling {dataset}"):
        p_nkb = read_npz(path)["P"].astype(np.float64)
        check = check_ceiling(p_nkb, classes)
        rng = np.random.default_rng(section.seed)
        null = permutation_null(p_nkb, section.permutations, rng)
        epoch = int(path.stem.removeprefix("epoch_"))
        epochs.append({"epoch": epoch, **check_record(check), "null": null_record(null)})
    # ``check`` and ``p_nkb`` are those of the last checkpoint, which the retrained models are like.
    verdict, calibration, rows = uncalibrated_verdict(check), None, []
    if len(retrained["kept_hn"]):
        calibration = calibrate_from(retrained, p_nkb.sum(axis=2), labels_n, counts_k)
        accuracy_k = retrained["accuracy_sk"].mean(axis=0)
        verdict, gains = calibrated_check(
            check,
            p_nkb,
            labels_n,
            counts_k,
            accuracy_k,
            calibration,
            classes,
            section.small_gain,
        )
        rows = gain_rows(classes, gains.classes, calibration)
    last = {key: value for key, value in epochs[-1].items() if key != "epoch"}
    last["verdict"] = asdict(verdict)
    if calibration:
        last["calibration"] = calibration_record(calibration, classes)
    write_csv(out / "epochs.csv", [row for epoch in epochs for row in figure_rows(epoch)])
    write_csv(out / "gains.csv", rows, list(TABLES["ceiling/gains"]))
    write_json(out / "ceiling.json", {**last, "epochs": epochs})
    summary = {name: last[name]["value"] for name in FIGURES}
    summary |= {f"crossfitted_{end}": last["crossfitted"][end] for end in ("low", "high")}
    summary |= {name: last[name] for name in ("room", "exchange_rate")}
    summary["answer"] = verdict.answer
    if calibration is None:
        write_json(out / "metrics.json", summary)
        return
    for name in ("loss", "points", "joint"):  # the smallest gain, and that of a mixture of all
        ends = last["verdict"][name]
        summary |= {f"gain_{name}{end and f'_{end}'}": ends[end or "value"] for end in ENDS}
    names = ("slope", "rank_score", "mixture_slope")
    summary |= {name: last["calibration"][name]["value"] for name in names}
    write_json(out / "metrics.json", summary)


if __name__ == "__main__":
    run(main, __doc__)
