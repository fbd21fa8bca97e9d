"""The benchmarks as tables of text and pictures: seconds and memory, hit rates, predicted against realised, faults."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from catwise.figures import cost
from catwise.figures.style import COLOURS, GREY, Picture, styled

__all__ = ["Bench", "benches", "calibration", "costs", "faults", "hits", "speeds"]

SHOWN = 3  # failures of a fault in words


@dataclass(frozen=True)
class Bench:
    """One benchmark on the page: what it asks, how, tables (rows of text, the first the heading), and a picture."""

    name: str
    asks: str
    note: str
    tables: list[list[list[str]]]
    picture: Picture | None = None


def benches(found: Mapping[str, Any]) -> list[Bench]:
    """Of each benchmark whose result is there, by the name of its file."""
    shown = []
    if "hit_rates" in found:
        asks = "How often is the verdict right where the truth is known, and how often the paper's rule?"
        note = "Logistic regression on the synthetic sets and constructed vectors; 95 % intervals over the repetitions."
        shown.append(Bench("hit_rates", asks, note, [hits(found["hit_rates"])]))
    for name in (name for name in found if name.startswith("calibration")):
        dataset = name.removeprefix("calibration").strip("_") or "digits"
        asks = f"Does predicted room come true? ({dataset})"
        note = "Each point is an epoch of a training taken again, with weights that raise every class and with ones."
        shown.append(
            Bench(name, asks, note, [rhos(found[name])], calibration(found[name], dataset))
        )
    if {"influence", "ranking"} <= set(found):
        asks = "What do influence vectors cost?"
        note = "Beside kronfluence, which fits the paper's EKFAC factors; the same scores."
        drawn = cost.benchmark(found["influence"], found["ranking"])
        shown.append(Bench("influence", asks, note, [costs(found["influence"])], drawn))
    if "training" in found:
        note = (
            "An epoch with all it does besides, against bare forward and backward passes on the same tensors; and"
            " several small models at once (by vmap) against one after the other, where above 1 at once is faster."
        )
        shown.append(Bench("training", "How fast is training?", note, [speeds(found["training"])]))
    if "faults" in found:
        note = f"Each fault was provoked and the outcome counted. {found['faults'].get('note', '')}"
        shown.append(
            Bench(
                "faults",
                "What survives when something goes wrong?",
                note,
                [faults(found["faults"])],
            )
        )
    return shown


def costs(bench: dict[str, Any]) -> list[list[str]]:
    """A heading and a row per case and method: seconds, times ours, peak memory, memory of the query gradients."""
    rows = [["case", "n, m", "method", "seconds", "times ours", "peak, MB", "query gradients, MB"]]
    for case, found in bench["cases"].items():
        for part, size in (
            ("scores", f"{found['n']}, {found['m']}"),
            ("fits", f"{found['fitted']}"),
        ):
            for method, value in found[part].items():
                memory = found["query gradients, bytes"].get(method) if part == "scores" else None
                seconds, ratio = f"{value['seconds']:.2f}", f"{value['seconds / ours']:.1f}"
                peak, held = (
                    f"{value['peak bytes'] / 1e6:.0f}",
                    "-" if memory is None else f"{memory / 1e6:.2f}",
                )
                rows.append([case, size, f"{part}: {method}", seconds, ratio, peak, held])
    return rows


def speeds(training: dict[str, Any]) -> list[list[str]]:
    """A heading and a row per case: training against a bare forward and backward, several models at once or in turn."""
    rows = [["case", "what", "median", "lowest to highest"]]
    for case, found in training["epoch"].items():
        what = f"epoch, {found['samples per second']:,.0f} samples a second: share of the bare rate"
        rows.append([case, what, *_spread(found["of the bare rate"])])
    for case, found in training["together"].items():
        rows.append(
            [case, "seconds one after the other, over at once", *_spread(found["loop / vmap"])]
        )
    return rows


def _spread(ratio: dict[str, float]) -> list[str]:
    return [f"{ratio['median']:.2f}", f"{ratio['lowest']:.2f} to {ratio['highest']:.2f}"]


def hits(found: dict[str, Any]) -> list[list[str]]:
    """A heading and a row per case of known truth: how often each rule was right, with its 95 % interval."""
    rows = [
        [
            "case",
            "truth",
            "repetitions",
            "our verdict is right",
            "the paper's rule is right",
            "mean t*",
        ]
    ]
    for name, case in found["cases"].items():
        right = [
            f"{100 * case[rule]['hits'] / case[rule]['of']:.0f} %"
            f" ({100 * case[rule]['low']:.0f} to {100 * case[rule]['high']:.0f})"
            for rule in ("verdict", "paper")
        ]
        truth = "room" if case["room"] else "ceiling"
        rows.append(
            [name, truth, str(case["verdict"]["of"]), *right, f"{case['mean']['headroom']:.3f}"]
        )
    return rows


def rhos(found: dict[str, Any]) -> list[list[str]]:
    """Spearman's rho of what was predicted and what came, with its interval over the trainings."""
    rows = [["predicted", "realised", "rho (95 %)"]]
    for name, (rho, low, high) in found["correlations"].items():
        before, after = name.split(", ")
        rows.append([before, after.replace("_", ", "), f"{rho:.2f} ({low:.2f} to {high:.2f})"])
    return rows


@styled
def calibration(found: dict[str, Any], dataset: str) -> Picture:
    """Predicted headroom against the realised net gain of the worst class, a mark per share of flipped labels."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    shares = sorted({row["share"] for row in found["rows"]})
    for number, share in enumerate(shares):
        mine = [row for row in found["rows"] if row["share"] == share]
        at = np.array([[row["headroom"], row["loss_worst"]] for row in mine])
        style = {
            "marker": "osD^vP"[number % 6],
            "color": COLOURS[number % 10],
            "edgecolor": "black",
            "linewidth": 0.5,
        }
        axes.scatter(100 * at[:, 0], at[:, 1], label=f"{100 * share:.0f} % flipped", **style)
    axes.axhline(0, color=GREY, linewidth=1)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set(xlabel="predicted headroom, cross-fitted, % of the influence mass")
    axes.set(ylabel="realised gain of the worst class, nats of loss")
    axes.legend(frameon=False)
    (rho, low, high), (other, *_) = (
        found["correlations"][f"headroom, {what}_worst"] for what in ("loss", "accuracy")
    )
    return Picture(
        figure,
        None,
        "Predicted room against what it brought",
        f"{len(found['rows'])} epochs of {dataset} with planted noise. Up: the weights that raise every class at once"
        " helped even the worst class, beyond plain training. Were the prediction perfect, the points would rise, and"
        f" ceilings lie at 0. Spearman's rho {rho:.2f} (95 % {low:.2f} to {high:.2f}, over trainings); with the gain in"
        f" accuracy {other:.2f}: influence speaks of loss.",
        "Scatter plot of predicted headroom against the realised net gain of the worst class.",
    )


def faults(found: dict[str, Any]) -> list[list[str]]:
    """A heading and a row per fault: how many cases were provoked, and how many passed."""
    rows = [["fault", "what has to happen", "cases", "passed", "95 % interval", "failures"]]
    for row in found["faults"]:
        ends = row.get("interval")
        passed = f"{100 * ends['low']:.1f} to {100 * ends['high']:.1f} %" if ends else "-"
        wrong = row["failures"]
        shown = (
            "; ".join(
                [
                    *wrong[:SHOWN],
                    *([f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []),
                ]
            )
            or "-"
        )
        rows.append(
            [row["fault"], row["what"], str(row["cases"]), str(row["passed"]), passed, shown]
        )
    return rows
