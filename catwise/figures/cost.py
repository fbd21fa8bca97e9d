"""Draw what influence vectors cost beside kronfluence."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from catwise.figures.style import BLUE, COLOURS, GREY, ORANGE, Picture, styled

__all__ = ["benchmark"]


@styled
def benchmark(bench: dict[str, Any], ranking: dict[str, Any]) -> Picture:
    """Seconds of scores and factor fits by method, their growth, and the ranking by number of drawn pairs."""
    figure = Figure(figsize=(12, 3.9), layout="constrained")
    bars, growth, curve = figure.subplots(1, 3, width_ratios=(1.6, 1, 1))
    rows = [
        {"case": case, "method": f"{part}: {method}", "ratio": value["seconds / ours"]}
        for case, found in bench["cases"].items()
        for part in ("scores", "fits")
        for method, value in found[part].items()
        if method != "ours"
    ]
    table = (
        pd.DataFrame(rows)
        .pivot(index="case", columns="method", values="ratio")
        .loc[list(bench["cases"])]
    )
    for place, (method, hatch) in enumerate(zip(table, ("", "///", "...", "xx"), strict=False)):
        at = np.arange(len(table)) + 0.2 * (place - 1.5)
        style = {"color": COLOURS[place], "hatch": hatch, "edgecolor": "black", "linewidth": 0.6}
        drawn = bars.bar(at, table[method], 0.2, label=method, **style)
        bars.bar_label(drawn, [f"{ratio:.1f}" for ratio in table[method]], fontsize=7)
    bars.axhline(1, color="black", linewidth=0.8)
    bars.set(yscale="log", ylabel="seconds / seconds of ours", title="A  against ours")
    bars.set_xticks(range(len(table)), table.index)
    bars.legend(fontsize="small", frameon=False, loc="upper left", ncols=2)
    bars.set_ylim(top=8 * float(table.to_numpy().max()))
    for (axis, found), colour, marker in zip(
        bench["growth"].items(), (BLUE, ORANGE, GREY), "os^", strict=True
    ):
        rows = found["rows"]
        label = f"{axis}, slope {found['slope']['train seconds']:.2f}"
        scaled = [row["train seconds"] / rows[0]["train seconds"] for row in rows]
        growth.plot(
            [row[axis] / rows[0][axis] for row in rows],
            scaled,
            f"{marker}-",
            color=colour,
            label=label,
        )
    growth.set(
        xscale="log",
        yscale="log",
        xlabel="size / smallest",
        ylabel="seconds of the training pass / first",
    )
    growth.set_title("B  growth with n, m, k")
    growth.legend(frameon=False)
    means = (
        pd.DataFrame(ranking["rows"]).groupby(["draw", "samples"])[["mean", "worst class"]].mean()
    )
    for draw, colour, marker in (("importance", BLUE, "o"), ("balanced", ORANGE, "s")):
        curve.plot(means.loc[draw, "mean"], f"{marker}-", color=colour, label=f"{draw}, mean")
        curve.plot(
            means.loc[draw, "worst class"],
            f"{marker}--",
            color=colour,
            mfc="white",
            label="worst class",
        )
    curve.set(
        xscale="log",
        xlabel="pairs drawn",
        ylabel="Spearman's $\\rho$",
        title="C  ranking of P, narrow ResNet-9",
    )
    sizes = means.index.unique("samples")
    curve.set_xticks(sizes, labels=sizes)
    curve.minorticks_off()
    curve.legend(frameon=False, fontsize="small")
    return Picture(
        figure,
        None,
        "What influence vectors cost",
        f"A: kronfluence's pairwise scores, its call per class, its factor fit, and our factor fit on all samples, each"
        f" in seconds per second of ours ({bench['machine']['device']}, {bench['machine']['threads']} threads). B: our"
        f" pass over the training set. C: a ResNet-9 of width 16 on {ranking['n']} {ranking['images']} images (accuracy"
        f" {ranking['accuracy']:.2f}): EKFAC on drawn pairs against {ranking['n']} pairs by importance, another seed.",
        "Bar chart of time ratios, line chart of growth, line chart of rank agreement.",
    )
