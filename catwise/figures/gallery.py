"""Draw all pictures of one data set."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from catwise.figures import (
    ceiling,
    counts,
    fidelity,
    influence_plane,
    scatter,
    searches,
    synthetic,
    table1,
    tradeoff,
    training_curves,
    trimming,
)
from catwise.figures import removal as removal_
from catwise.figures.style import Picture, png
from catwise.pipeline.files import read_csv, read_json, read_npz, write_json, write_whole
from catwise.pipeline.results import Place, made

PAPER = {"cifar10": "Figure 3", "emotion": "Figure 4", "stl10": "Figure 6", "ag_news": "Figure 7"}


def draw(place: Place, pair: tuple[str, ...], method: str) -> dict[str, Picture]:
    """The pictures of one data set by file name; ``pair``: the classes of the plane, ``method``: of removal."""
    experiment = place("removal") / "experiment"
    arrays = read_npz(made(place("data") / "arrays.npz"))
    y, flipped = arrays["train/y"], arrays["flipped"]
    card = read_json(made(place("data") / "card.json"))
    classes = tuple(card["classes"])
    p_nk = read_npz(made(place("influence") / "vectors.npz"))["P"].astype(np.float64)
    pictures = draw_vectors(place, pair)
    pictures["fidelity.png"] = fidelity.fidelity(*read_fidelity(place("fidelity")))
    if method == "trimming":
        rounds = read_csv(experiment / "rounds.csv")
        states = read_states(made(experiment / "rounds.npz"), rounds, classes)
        samples = (arrays["train/x"], y, flipped)
        paper = "Figure 2 A-C" if flipped.any() else "Figure 2 D-F"
        pictures["synthetic.png"] = synthetic.synthetic(*samples, p_nk, states[0], classes, paper)
        pictures["trimming.png"] = trimming.trimming(*samples, states, classes)
        if len(states) > 1:
            pictures["trimming_control.png"] = trimming.trimming_control(rounds, classes)
    else:
        tables = [
            read_csv(experiment / f"{name}.csv") for name in ("changes", "correlations", "diagonal")
        ]
        paper = PAPER.get(card["source"], "Figures 3 and 4")
        pictures["removal.png"] = removal_.removal(*tables, classes, "accuracy", paper)
        pictures["removal_loss.png"] = removal_.removal(*tables, classes, "loss", None)
    reweight = place("reweight")
    if (reweight / "table.csv").exists() and not (table := read_csv(reweight / "table.csv")).empty:
        pictures["reweight_table.png"] = table1.table_one(table)
        pictures["reweight_tradeoff.png"] = tradeoff.tradeoff(read_csv(reweight / "tradeoff.csv"))
        pictures["reweight_search.png"] = searches.searches(read_csv(reweight / "history.csv"))
    return pictures


def draw_vectors(place: Place, pair: tuple[str, ...]) -> dict[str, Picture]:
    """Those pictures for which nothing was retrained."""
    history = read_csv(place("train") / "history.csv")
    arrays = read_npz(made(place("data") / "arrays.npz"))
    y, flipped = arrays["train/y"], arrays["flipped"]
    classes = tuple(read_json(made(place("data") / "card.json"))["classes"])
    p_nk = read_npz(made(place("influence") / "vectors.npz"))["P"].astype(np.float64)
    pictures = {
        "influence_plane.png": influence_plane.influence_plane(p_nk, y, flipped, classes, pair),
        "counts.png": counts.counts(p_nk, y, classes),
    }
    checked = place("ceiling") / "epochs.csv"
    if checked.exists():  # not beside what was measured before there was one
        said = read_json(place("ceiling") / "ceiling.json")["verdict"]
        pictures["ceiling.png"] = ceiling.ceiling(read_csv(checked), said)
    if history["epoch"].max() > 1:
        pictures["training_curves.png"] = training_curves.training_curves(history, classes)
    return pictures


def read_fidelity(folder: Path) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    return (
        read_json(made(folder / "fidelity.json")),
        read_csv(folder / "scores.csv"),
        read_csv(folder / "samples.csv"),
    )


def read_states(path: Path, rounds: pd.DataFrame, classes: tuple[str, ...]) -> list[scatter.State]:
    arrays = read_npz(path)
    accuracy = rounds[rounds["arm"] == "influence"].pivot(
        index="round", columns="class", values="accuracy"
    )
    return [
        scatter.State(
            arrays[f"{number}/kept"],
            arrays[f"{number}/P"],
            arrays[f"{number}/removed"],
            arrays[f"{number}/boundary"],
            accuracy.loc[number, list(classes)].to_numpy(),
        )
        for number in accuracy.index
        if f"{number}/kept" in arrays  # not for a last fit after `max_rounds`
    ]


def write(out: Path, pictures: dict[str, Picture]) -> None:
    captions: dict[str, Any] = {}
    for name, picture in pictures.items():
        write_whole(out / name, partial(save, png(picture.figure)))
        captions[name] = {
            key: getattr(picture, key) for key in ("paper", "title", "caption", "alt")
        }
    write_json(out / "captions.json", captions)


def save(content: bytes, path: Path) -> None:
    path.write_bytes(content)
