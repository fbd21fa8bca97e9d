"""Write small reports as the stages write them, for the tests of those who read them."""

from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from catwise.ceiling.verdict import Answer, Verdict
from catwise.core.statistics import Estimate
from catwise.pipeline.files import write_csv, write_json, write_npz
from catwise.pipeline.results import Place, Results
from catwise.pipeline.tables import TABLES
from catwise.removal import effects
from catwise.reweighting.table1 import (
    ALL_ONES,
    ORACLE,
    REFRESH,
    Method,
    class_rows,
    net_effect,
    refresh_rows,
    summary_row,
)

CASE = {
    **{"case": "direct_improvement", "kind": "direct_improvement", "epoch": 3},
    **{"compared_with": 3, "learning_rate": None, "seeds": 2},
}
SEARCH = Method("lp_ga", anchor="start", rule="printed", program="linear")
SHUFFLED = Method("lp_ga", anchor="start", rule="printed", program="linear", shuffled=1)
DIRECTION = Method("direction", anchor="end", filter="horizon", query="loss")
REFRESHED = {REFRESH: 0.1, ALL_ONES: 0.1, SEARCH: 0.1, SHUFFLED: 0.1}  # over the epoch before
GAINS = {ALL_ONES: 0.0, SEARCH: -0.1, SHUFFLED: 0.3, DIRECTION: 0.05, ORACLE: 0.2}  # nats
PROVENANCE = {
    "seconds": 600.0,
    "runs": [
        {
            **{"date": "2025-01-31", "processor": "a processor", "cores": 2, "gpu": None},
            **{"versions": {"torch": "2.0"}, "commit": "abc1234def", "clean": True},
            **{"code_sha256": "5" * 64, "seconds": {"prepare": 30.0, "train": 570.0}},
        }
    ],
    "data": {"origin": "a mirror", "notes": ["the mirror's images are JPEG re-encodings"]},
}


def write_results(
    folder: Path | Place,
    classes: tuple[str, ...] = ("a", "b"),
    *,
    dataset: str = "toy",
    looks: str = "images",
    flips: int = 2,
    room: bool = True,
    trimmed: bool = False,
    cases: bool = True,
    carried: bool = False,
) -> Results:
    """Write all that is read of one data set with 10 samples per class, and return its results.

    ``looks`` says what the samples are: images, points, or nothing that can be seen. ``flips``
    labels are flipped, those of the most detrimental samples. ``trimmed``: removal by rounds.
    ``carried`` results have a verdict that no retraining calibrated.
    """
    place = partial(Path, folder) if isinstance(folder, Path) else folder
    _write_data(place, classes, looks, flips)
    _write_training(place, classes, looks)
    _write_ceiling(place, classes, room, calibrated=not carried)
    _write_removal(place, classes, trimmed)
    _write_reweight(place, classes, cases)
    _write_improve(place, classes, cases)
    write_json(made(place("fidelity")) / "metrics.json", {"lds_ekfac": 0.9})
    write_npz(
        made(place("subsets")) / "subsets.npz", kept_hn=np.zeros((0, 10 * len(classes)), bool)
    )
    parameters: dict[str, Any] = {
        "train": {"model": "cnn", "epochs": 3},
        "removal": {"method": "trimming"} if trimmed else {"method": "top_share", "share": 0.1},
        "reweight": None,
        "figures": {"classes": list(classes[:2])},
    }
    return Results(dataset, place, parameters, PROVENANCE if carried else None)


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_table(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Write a table of ``TABLES`` with all its columns; a column that no row has is empty."""
    write_csv(made(folder) / f"{name.partition('/')[2]}.csv", rows, list(TABLES[name]))


def _write_data(place: Place, classes: tuple[str, ...], looks: str, flips: int) -> None:
    k, n = len(classes), 10 * len(classes)
    card = {
        **{"name": "toy", "source": "digits", "licence": "none", "sha256": "7" * 64},
        **{"classes": list(classes), "shape": [1, 8, 8], "flipped_training_labels": flips},
        "counts": {"train": [10] * k, "test": [2] * k},
    }
    write_json(made(place("data")) / "card.json", card)
    arrays = {"train/y": np.arange(n) % k, "flipped": np.arange(n) < flips}
    if looks == "images":
        arrays["train/x"] = (np.arange(n * 64) % 255).astype(np.uint8).reshape(n, 1, 8, 8)
    elif looks == "points":
        arrays["train/x"] = np.linspace(-1, 1, 2 * n).reshape(n, 2)
    write_npz(place("data") / "arrays.npz", **arrays)
    rng = np.random.default_rng(0)
    p_nk = rng.normal(size=(n, k)) + np.eye(k)[arrays["train/y"]]
    p_nk[:flips] = -10 - np.arange(flips)[:, None]
    write_npz(made(place("influence")) / "vectors.npz", P=p_nk)
    metrics = {"coverage": 0.98, "joint_negative_share": 0.125}
    metrics |= {"flipped_label_auc": 0.9} if flips else {}
    write_json(place("influence") / "metrics.json", metrics)


def _write_training(place: Place, classes: tuple[str, ...], looks: str) -> None:
    rows = [
        {"epoch": epoch, "split": "test", "class": name, "accuracy": epoch / 10, "loss": 1.5}
        for epoch in (1, 2)
        for name in classes
    ]
    write_table(place("train"), "train/history", rows)
    write_table(place("train"), "train/raw", rows)
    metrics = {"worst_class": classes[-1], "worst_class_accuracy": 0.5, "mean_class_accuracy": 0.75}
    write_json(place("train") / "metrics.json", metrics)
    n = 10 * len(classes)
    if looks != "nothing":
        predicted = {"label": np.arange(n) % len(classes), "probability": np.full(n, 0.75)}
        write_npz(place("train") / "predicted.npz", **predicted)


def _write_ceiling(place: Place, classes: tuple[str, ...], room: bool, calibrated: bool) -> None:
    low = 0.03 if room else -0.03
    figures = {
        "first_component_ratio": {"value": 0.2, "low": 0.1, "high": 0.3},
        "smallest_share": {"value": 0.01, "low": 0.0, "high": 0.02},
        "headroom": {"value": 0.1, "low": 0.05, "high": 0.15},
        "crossfitted": {"value": 0.05, "low": low, "high": 0.07},
    }
    rates = {name: 1 / len(classes) for name in classes}
    record = {"room": int(room), "blocking": list(classes[:2]), "exchange_rate": 0.6}
    written = {**figures, **record, "exchange": rates, "gap": 0.0}
    answer: Answer = "room" if room else "ceiling" if calibrated else "too_few_samples"
    blocking = (classes[0], classes[1])
    found = Verdict(answer, Estimate(**figures["crossfitted"]), blocking, exchange_rate=0.6)
    gains: list[dict[str, Any]] = []
    if calibrated:
        gain, slope = Estimate(0.05, low, 0.07), Estimate(0.1, 0.08, 0.12)
        measured = {"loss": gain, "points": gain, "slope": slope, "rank_score": slope}
        found = replace(found, worst=classes[0], small_gain=0.5, **measured)
        gains = [
            {"class": name, "quantity": "accuracy", "value": 0.05, "low": low, "high": 0.07}
            for name in classes
        ]
    written["verdict"] = asdict(found)
    write_table(place("ceiling"), "ceiling/gains", gains)
    write_json(made(place("ceiling")) / "ceiling.json", written)
    summary = {name: figure["value"] for name, figure in figures.items()}
    write_json(place("ceiling") / "metrics.json", {**summary, "room": int(room)})
    rows = [
        {"epoch": epoch, "figure": name, **figure}
        for epoch in (1, 2)
        for name, figure in figures.items()
    ]
    write_table(place("ceiling"), "ceiling/epochs", rows)


def _write_removal(place: Place, classes: tuple[str, ...], trimmed: bool) -> None:
    folder = place("removal") / "experiment"
    if trimmed:
        rows = [
            {"arm": "influence", "seed": 0, "round": number, "removed": 7 * number}
            | {"flipped_removed": 5 * number, "class": name, "accuracy": accuracy, "loss": 0.1}
            for number, accuracy in ((0, 0.9), (1, 1.0))
            for name in classes
        ]
        write_table(folder, "removal/rounds", rows)
        arrays = {
            f"{number}/{name}": np.zeros(2)
            for number in (0, 1)
            for name in ("kept", "P", "removed", "boundary")
        }
        write_npz(folder / "rounds.npz", **arrays)
        write_json(place("removal") / "metrics.json", {"rounds": 1})
        return
    tables = removal_tables(classes)
    for name, table in tables.items():
        write_table(folder, f"removal/{name}", table.to_dict("records"))
    metrics = effects.summary(tables["correlations"], tables["diagonal"])
    write_json(place("removal") / "metrics.json", metrics)


@cache
def removal_tables(classes: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """Return what the stage computes from ``changed``, which takes it a thousand draws."""
    changes = changed(classes)
    correlations, diagonal = effects.correlations(changes), effects.diagonal(changes)
    rankings = correlations.assign(vectors="endpoint")
    tables = {"changes": changes, "correlations": correlations, "diagonal": diagonal}
    return tables | {"rankings": rankings}


def changed(classes: tuple[str, ...]) -> pd.DataFrame:
    """Do what the paper says to the first class, significantly; the others hardly change."""
    rows = []
    for group, sign in (("beneficial", -1), ("detrimental", 1), ("random", 0)):
        for number, target in enumerate(classes):
            for seed in range(3):
                for k, name in enumerate(classes):
                    aimed = sign != 0 and target == name
                    change = sign * (0.1 if k == 0 else 0.001) if aimed else 0.0
                    noise = (0.01 if sign else -0.01) * (seed - 1)
                    state = {"target": target if sign else "", "draw": None if sign else number + 1}
                    values = {"accuracy_change": change + noise, "loss_change": noise - change}
                    row = {"group": group, **state, "seed": seed, "class": name}
                    rows.append({**row, "influence": -change, "labelled": k, **values})
    return pd.DataFrame(rows).astype({"draw": "Int64"})


def _write_reweight(place: Place, classes: tuple[str, ...], cases: bool) -> None:
    k, case = len(classes), CASE["case"]
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES if "reweight/" in name}
    for method, gain in GAINS.items() if cases else ():
        name = {"case": case, **method.columns}
        means = {"before": np.full(k, 0.5)}
        for measure in ("accuracy", "loss"):
            net = net_effect(gain + np.array([[0.001], [0.0]]) * np.ones(k), np.zeros((2, k)))
            state = {**name, "measure": measure}
            rows["reweight/table"] += class_rows(state, list(classes), [0], means, net)
            rows["reweight/summary"].append({**state, **summary_row(net, [0])})
            point = {**state, "gene": None, "target_gain": gain, "worst_other": gain}
            rows["reweight/tradeoff"].append(point)
    for method, gain in REFRESHED.items() if cases else ():
        state = {"case": case, **method.columns, "measure": "accuracy"}
        after_sk = 0.5 + gain + np.array([[0.001], [0.0]]) * np.ones(k)
        known = (list(classes), [0], np.full(k, 0.5), after_sk, [1, 2])
        rows["reweight/refresh"] += refresh_rows(state, *known)
    if cases:
        rows["reweight/cases"] = [CASE]
        rows["reweight/printed"] = [
            {"case": case, "class": name, "target": int(name == classes[0]), "before": 0.5}
            | {"original": None, "all_ones": 0.55, "after": 0.6, "change": 20.0}
            for name in classes
        ]
        interval = {"crossfitted": 0.1, "low": 0.05, "high": 0.2, "sum_over_mass": 0.1, "room": 1}
        rows["reweight/room"] = [
            {"case": case, "anchor": anchor, "filter": name, "headroom": 0.3, **interval}
            for anchor, name in (("start", "damped"), ("end", "horizon"))
        ]
        rows["reweight/history"] = [
            {"case": case, **SEARCH.columns, "split": split, "generation": generation}
            | {"evaluations": 8, "trained": 8, "diversity": 0.1, "best_fitness": -np.inf}
            | {"best_gain": 0.1 * (generation + 1), "mean_gain": 0.1}
            for split in ("validation_b", "test")
            for generation in (0, 1)
        ]
    for name, table in rows.items():
        write_table(place("reweight"), name, table)
    weights_n = np.linspace(0, 2, 10 * k, dtype=np.float32)
    weights = {
        f"{case}/{method.key}": weights_n
        if method.family != "all_ones"
        else np.ones_like(weights_n)
        for method in (GAINS if cases else ())
    }
    write_npz(place("reweight") / "weights.npz", **weights)
    metrics = {case: {"search": {"loss.worst": -1.0}}} if cases else {}
    write_json(place("reweight") / "metrics.json", metrics)


def _write_improve(place: Place, classes: tuple[str, ...], cases: bool) -> None:
    """Write a path of one accepted round, which gains two points in every class."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES if "improve/" in name}
    methods = {
        "plain": (0, 0.0),
        "ceiling_path": (0, 2.0),
        "direction 0.5": (1, 2.0),
        "focal": (0, -1.0),
    }
    if cases:
        gain = {"mean": 2.0, "mean_low": 1.0, "mean_high": 3.0, "worst": 2.0, "worst_low": 0.5}
        state = {"round": 1, "room": 1, "verdict": "room", "proposal": "direction 0.5"}
        more = {"accepted": 1, "worst_high": 3.5, "better": 1, "worse": 0}
        rows["improve/path"] = [{**state, **gain, **more}]
        rows["improve/steps"] = [
            {"round": number, "class": name, "accuracy": 80 + 2 * number, "low": 79, "high": 83}
            for number in (0, 1)
            for name in classes
        ]
    for method, (proposed, net) in methods.items() if cases else ():
        state = {"method": method, "proposed": proposed, "net": net}
        state |= {"low": net - 0.5, "high": net + 0.5} if net else {"low": 0.0, "high": 0.0}
        for measure in ("mean", "worst", "loss"):
            counts = {"value": 80 + net, "up": 0, "down": 0, "seeds": 2}
            rows["improve/table"].append({**state, "measure": measure, **counts})
        for name in classes:
            told = {"class": name, "accuracy": 80 + net, "predicted": 0.9 * net}
            rows["improve/classes"].append({**state, **told, "reading": int(net > 0)})
    for name, table in rows.items():
        write_table(place("improve"), name, table)
    weights = {name: np.ones(10 * len(classes), np.float32) for name in (methods if cases else ())}
    if cases:
        weights["ceiling_path"][0] = 0
    write_npz(place("improve") / "weights.npz", **weights)
    before = {
        "worst_before": 80.0,
        "worst_after": 82.0,
        "classes_down": 0,
        "classes_fall": 0,
        "answer": "room",
    }
    after = {
        "mean_net_low": 1.5,
        "worst_net_low": 1.5,
        "others_gain": 0,
        "false_room": 0,
        "false_ceiling": 0,
    }
    beyond = {"beyond_best": 3.0, "beyond_best_low": 2.0, "beyond_best_high": 4.0}
    metrics = {**before, **after, **beyond, "accepted": 1} if cases else {}
    write_json(place("improve") / "metrics.json", metrics)
