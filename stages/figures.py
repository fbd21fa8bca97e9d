"""Draw the paper's figures and the training curves of every class."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from catwise import charts, plots
from catwise.errors import InputError
from stages.io import folder, read_json, read_npz, run, settings, write_json, written


def main(dataset: str) -> None:
    chosen, removal = settings(dataset, "figures", "removal")
    data, experiment = Path("data", dataset), Path("reports", "removal", dataset, "experiment")
    history = read_csv(Path("reports", "train", dataset, "history.csv"))
    arrays = read_npz(made(data / "arrays.npz"))
    y, flipped = arrays["train/y"], arrays["flipped"]
    classes = tuple(read_json(made(data / "card.json"))["classes"])
    p_nk = read_npz(made(Path("reports", "influence", dataset, "vectors.npz")))["P"].astype(np.float64)
    pictures = {
        "influence_plane.png": plots.influence_plane(p_nk, y, flipped, classes, tuple(chosen.classes)),
        "counts.png": charts.counts(p_nk, y, classes),
        "fidelity.png": charts.fidelity(*read_fidelity(Path("reports", "fidelity", dataset))),
    }
    if history["epoch"].max() > 1:
        pictures["training_curves.png"] = charts.training_curves(history, classes)
    if removal.method == "trimming":
        rounds = read_csv(experiment / "rounds.csv")
        states = read_states(made(experiment / "rounds.npz"), rounds, classes)
        samples = (arrays["train/x"], y, flipped)
        paper = "Figure 2 A-C" if flipped.any() else "Figure 2 D-F"
        pictures["synthetic.png"] = plots.synthetic(*samples, p_nk, states[0], classes, paper)
        pictures["trimming.png"] = plots.trimming(*samples, states, classes)
        if len(states) > 1:
            pictures["trimming_control.png"] = plots.trimming_control(rounds, classes)
    else:
        changes = read_csv(experiment / "changes.csv")
        pictures["removal.png"] = charts.removal(changes, classes, "accuracy")
        pictures["removal_loss.png"] = charts.removal(changes, classes, "loss")
    write(folder("reports", "figures", dataset), pictures)


def made(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"{path}: expected a file that an earlier stage writes, found none; run `dvc repro`")
    return path


def read_csv(path: Path) -> pd.DataFrame:
    """Names of classes stay text: those of digits look like numbers."""
    return pd.read_csv(made(path), dtype={"class": str, "target": str})


def read_fidelity(folder: Path) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    return read_json(made(folder / "fidelity.json")), read_csv(folder / "scores.csv"), read_csv(folder / "samples.csv")


def read_states(path: Path, rounds: pd.DataFrame, classes: tuple[str, ...]) -> list[plots.State]:
    arrays = read_npz(path)
    accuracy = rounds[rounds["arm"] == "influence"].pivot(index="round", columns="class", values="accuracy")
    return [
        plots.State(
            arrays[f"{number}/kept"],
            arrays[f"{number}/P"],
            arrays[f"{number}/removed"],
            arrays[f"{number}/boundary"],
            accuracy.loc[number, list(classes)].to_numpy(),
        )
        for number in accuracy.index
        if f"{number}/kept" in arrays  # not for a last fit after `max_rounds`
    ]


def write(out: Path, pictures: dict[str, plots.Picture]) -> None:
    captions: dict[str, Any] = {}
    for name, picture in pictures.items():
        written(out / name, partial(save, plots.png(picture.figure)))
        captions[name] = {key: getattr(picture, key) for key in ("paper", "title", "caption", "alt")}
    write_json(out / "captions.json", captions)


def save(content: bytes, path: Path) -> None:
    path.write_bytes(content)


if __name__ == "__main__":
    run(main, __doc__)
