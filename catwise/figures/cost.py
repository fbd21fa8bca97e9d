"""Draw what influence vectors cost beside kronfluence."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.figures.style import BLUE, COLOURS, GREY, ORANGE, Picture, styled

__all__ = ["benchmark"]

HATCHES = ("", "///", "...", "xx")


@styled
def benchmark(bench: dict[str, Any], ranking: dict[str, Any]) -> Picture:
    """Draw seconds of scores and factor fits by method, their growth, and the ranking by pairs."""
    figure = Figure(figsize=(12, 3.9), layout="constrained")
    bars, growth, curve = figure.subplots(1, 3, width_ratios=(1.6, 1, 1))
    _ratios(bars, bench["cases"])
    _growth(growth, bench["growth"])
    _ranking(curve, ranking["rows"])
    machine = bench["machine"]
    return Picture(
        figure,
        None,
        "What influence vectors cost",
        "A: kronfluence's pairwise scores, its call per class, its factor fit, and our factor fit"
        f" on all samples, each in seconds per second of ours ({machine['device']},"
        f" {machine['threads']} threads). B: our pass over the training set. C: a ResNet-9 of width"
        f" 16 on {ranking['n']} {ranking['images']} images (accuracy {ranking['accuracy']:.2f}):"
        f" EKFAC on drawn pairs against {ranking['n']} pairs drawn by importance, with another"
        " seed.",
        "Bar chart of time ratios, line chart of growth, line chart of rank agreement.",
    )


def _ratios(axes: Axes, cases: dict[str, Any]) -> None:
    """Draw the seconds of every other method per second of ours, case by case."""
    rows = [
        {"case": case, "method": f"{part}: {method}", "ratio": value["seconds / ours"]}
        for case, measured in cases.items()
        for part in ("scores", "fits")
        for method, value in measured[part].items()
        if method != "ours"
    ]
    table = pd.DataFrame(rows).pivot(index="case", columns="method", values="ratio")
    table = table.loc[list(cases)]
    for number, (method, hatch) in enumerate(zip(table, HATCHES, strict=False)):
        at = np.arange(len(table)) + 0.2 * (number - 1.5)
        style = {"color": COLOURS[number], "hatch": hatch, "edgecolor": "black", "linewidth": 0.6}
        bars = axes.bar(at, table[method], 0.2, label=method, **style)
        axes.bar_label(bars, [f"{ratio:.1f}" for ratio in table[method]], fontsize=7)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(yscale="log", ylabel="seconds / seconds of ours", title="A  against ours")
    axes.set_xticks(range(len(table)), table.index)
    axes.legend(fontsize="small", frameon=False, loc="upper left", ncols=2)
    axes.set_ylim(top=8 * float(table.to_numpy().max()))


def _growth(axes: Axes, growth: dict[str, Any]) -> None:
    """Draw how the seconds of the training pass grow with each size."""
    marks = zip(growth.items(), (BLUE, ORANGE, GREY), "os^", strict=True)
    for (size, measured), colour, marker in marks:
        rows = measured["rows"]
        label = f"{size}, slope {measured['slope']['train seconds']:.2f}"
        x = [row[size] / rows[0][size] for row in rows]
        y = [row["train seconds"] / rows[0]["train seconds"] for row in rows]
        axes.plot(x, y, f"{marker}-", color=colour, label=label)
    axes.set(xscale="log", yscale="log", xlabel="size / smallest")
    axes.set(ylabel="seconds of the training pass / first", title="B  growth with n, m, k")
    axes.legend(frameon=False)


def _ranking(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Draw how the ranking agrees with the reference, by the number of pairs drawn."""
    means = pd.DataFrame(rows).groupby(["draw", "samples"])[["mean", "worst class"]].mean()
    for draw, colour, marker in (("importance", BLUE, "o"), ("balanced", ORANGE, "s")):
        line = means.loc[draw]
        axes.plot(line["mean"], f"{marker}-", color=colour, label=f"{draw}, mean")
        style = {"color": colour, "markerfacecolor": "white", "label": "worst class"}
        axes.plot(line["worst class"], f"{marker}--", **style)
    axes.set(xscale="log", xlabel="pairs drawn", ylabel="Spearman's $\\rho$")
    axes.set_title("C  ranking of P, narrow ResNet-9")
    sizes = means.index.unique("samples")
    axes.set_xticks(sizes, labels=sizes)
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize="small")
