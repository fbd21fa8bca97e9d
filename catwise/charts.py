"""What is counted and measured: Figure 8, training curves, fidelity, ceiling, benchmark."""

from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from catwise.pictures import BLUE, COLOURS, GREY, ORANGE, Picture, check_vectors, styled

__all__ = ["benchmark", "ceiling", "counts", "fidelity", "top_counts", "training_curves"]


def top_counts(p_nk: np.ndarray, y_n: np.ndarray, share: float) -> np.ndarray:
    """[beneficial, detrimental] x [own, other] x k: whose labels the top ``share`` of samples for class k bear."""
    count = max(1, round(share * len(p_nk)))
    order_nk = np.argsort(p_nk, axis=0, kind="stable")
    own = [(y_n[rows] == np.arange(p_nk.shape[1])).sum(axis=0) for rows in (order_nk[-count:], order_nk[:count])]
    return np.array([[own_k, count - own_k] for own_k in own])


@styled
def counts(p_nk: np.ndarray, y_n: np.ndarray, classes: tuple[str, ...], share: float = 0.1) -> Picture:
    """Figure 8 for the samples that section 5.1 removes: nearly every P[i, k] has a sign, so signs alone say little."""
    check_vectors(p_nk, y_n, classes)
    found = top_counts(p_nk, y_n, share)
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    groups = ("beneficial", "detrimental")
    for axes, group, (own_k, other_k) in zip(figure.subplots(1, 2, sharey=True), groups, found, strict=True):
        style = {"edgecolor": "black", "linewidth": 0.8}
        axes.bar(classes, own_k, color=BLUE, label="own class", **style)
        bars = axes.bar(classes, other_k, bottom=own_k, color="#fbe3b9", hatch="///", label="other class", **style)
        axes.bar_label(bars, own_k, padding=2)
        top = 1.15 * (own_k + other_k).max()
        axes.set(title=f"{group}; number: own class", xlabel="class", ylabel="training samples", ylim=(0, top))
        if max(map(len, classes)) > 4:
            axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    own, _ = 100 * found.sum(axis=2).T / found.sum(axis=(1, 2))
    member_nk = y_n[:, None] == np.arange(len(classes))
    signs = [100 * member_nk[mask].mean() for mask in (p_nk > 0, p_nk < 0)]
    return Picture(
        figure,
        "Figure 8",
        "Where beneficial and detrimental samples come from",
        f"The {100 * share:.0f} % of the training samples with the largest and the smallest influence on each class;"
        f" own: the label given is that class. Of the beneficial {own[0]:.0f} %, of the detrimental {own[1]:.0f} % are"
        " of the own class (paper: beneficial mainly from their category, detrimental from others)."
        f" Counted by sign alone, {signs[0]:.0f} % and {signs[1]:.0f} % are.",
        "Two bar charts over the classes: samples of the own class and of other classes.",
    )


@styled
def training_curves(history: pd.DataFrame, classes: tuple[str, ...]) -> Picture:
    """Accuracy and loss of every class on the test split after each epoch."""
    test = history[history["split"] == "test"]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    lines = COLOURS[:8] + COLOURS[9:]  # without yellow, which is lost on paper
    words = []
    kinds = (("accuracy", 100, "%"), ("loss", 1, "nats"))
    for axes, (measure, factor, unit) in zip(figure.subplots(1, 2), kinds, strict=True):
        curves = factor * test.pivot(index="epoch", columns="class", values=measure)[list(classes)]
        final, mean = curves.iloc[-1], curves.mean(axis=1)
        worst, below = (final.idxmin(), -1) if measure == "accuracy" else (final.idxmax(), 1)
        for name, colour, style in zip(classes, cycle(lines), cycle(("-", "--", ":", "-.")), strict=False):
            axes.plot(curves[name], style, color=colour, linewidth=2.2 if name == worst else 1, label=name)
        axes.plot(mean, color="black", linewidth=3.2, label="mean")
        arrow = {"arrowstyle": "->", "edgecolor": "black", "shrinkB": 4}
        offset = {"xytext": (-60, 45 * below), "textcoords": "offset points"}
        axes.annotate(f"worst: {worst}", (curves.index[-1], final[worst]), arrowprops=arrow, **offset)
        axes.set(xlabel="epoch", ylabel=f"test {measure}, {unit}", title=f"{measure} of every class")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        words.append(f"{measure} {mean.iloc[-1]:.2f} {unit} (worst: class {worst}, {final[worst]:.2f} {unit})")
    figure.legend(*axes.get_legend_handles_labels(), title="class", loc="outside right upper", frameon=False)
    return Picture(
        figure,
        None,
        "Accuracy and loss of every class during training",
        f"Test split, after epoch {curves.index[-1]}, mean over the classes: {'; '.join(words)}.",
        "Two line charts over epochs, accuracy and loss: a line per class and a bold mean.",
    )


@styled
def fidelity(found: dict[str, Any], scores: pd.DataFrame, samples: pd.DataFrame) -> Picture:
    """The linear datamodeling score of each kind of curvature, and how the ranking depends on the factors' samples."""
    panels = 1 if samples.empty else 2
    figure = Figure(figsize=(5 * panels, 3.8), layout="constrained")
    bars, *others = np.atleast_1d(figure.subplots(1, panels))
    kinds = [name for name in found["lds"] if name != "best - next"]
    mean, low, high = np.array([found["lds"][kind] for kind in kinds]).T
    bars.bar(kinds, mean, color="#cfe3f3", edgecolor="black", linewidth=0.8)
    bars.errorbar(kinds, mean, [mean - low, high - mean], fmt="none", color="black", capsize=5)
    for place, kind in enumerate(kinds):
        rho = scores.loc[scores["kind"] == kind, "lds"]
        bars.scatter(np.full(len(rho), place + 0.25), rho, marker="o", s=9, c="white", edgecolor="black", linewidth=0.6)
    bars.set(ylabel="linear datamodeling score", title="A  predicts retraining on halves")
    words = "".join(_agreement(axes, samples) for axes in others)
    best, *_ = sorted(kinds, key=lambda kind: -found["lds"][kind][0])
    auc = "".join(f" {kind} {value:.3f}" for kind, value in found["flipped_label_auc"].items())
    paired = found["lds"].get("best - next")
    ahead = f", ahead of the next by {paired[0]:.3f} (95 % {paired[1]:.3f} to {paired[2]:.3f})" if paired else ""
    return Picture(
        figure,
        None,
        "How well the influence vectors predict retraining, by kind of curvature",
        f"A: Spearman's rho between predicted and actual loss of a class after training on random halves; bars: mean"
        f" over the classes with its 95 % bootstrap interval over the halves, circles: classes. First is {best}{ahead}."
        f"{f' AUC of flipped labels:{auc}.' if auc else ''}{words}",
        f"Bar chart of scores by kind of curvature{', line chart of rank agreement over samples' * len(others)}.",
    )


def _agreement(axes: Axes, samples: pd.DataFrame) -> str:
    """How the ranking depends on the number of pairs drawn, and the words about it."""
    by_class = samples.groupby(["draw", "samples", "class"])["spearman"].mean()
    by_draw = by_class.groupby(["draw", "samples"]).agg(["mean", "min"])
    for draw, colour, marker in (("importance", BLUE, "o"), ("balanced", ORANGE, "s")):
        line = by_draw.loc[draw]
        axes.plot(line["mean"], f"{marker}-", color=colour, label=f"{draw}, mean over classes")
        axes.plot(line["min"], f"{marker}--", color=colour, markerfacecolor="white", label=f"{draw}, worst class")
    axes.set(xscale="log", xlabel="pairs drawn for the factors", ylabel="Spearman's $\\rho$ with every label")
    axes.set(title="B  ranking of P")
    axes.set_xticks(line.index, labels=line.index)
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize="small")
    return (
        " B: EKFAC from drawn pairs of sample and label against every label of every sample; with as many pairs as"
        f" samples (last point) rho is {by_draw.loc['importance', 'mean'].iloc[-1]:.3f} by importance,"
        f" {by_draw.loc['balanced', 'mean'].iloc[-1]:.3f} for one label of each sample."
    )


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
    table = pd.DataFrame(rows).pivot(index="case", columns="method", values="ratio").loc[list(bench["cases"])]
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
    for (axis, found), colour, marker in zip(bench["growth"].items(), (BLUE, ORANGE, GREY), "os^", strict=True):
        rows = found["rows"]
        label = f"{axis}, slope {found['slope']['train seconds']:.2f}"
        scaled = [row["train seconds"] / rows[0]["train seconds"] for row in rows]
        growth.plot([row[axis] / rows[0][axis] for row in rows], scaled, f"{marker}-", color=colour, label=label)
    growth.set(xscale="log", yscale="log", xlabel="size / smallest", ylabel="seconds of the training pass / first")
    growth.set_title("B  growth with n, m, k")
    growth.legend(frameon=False)
    means = pd.DataFrame(ranking["rows"]).groupby(["draw", "samples"])[["mean", "worst class"]].mean()
    for draw, colour, marker in (("importance", BLUE, "o"), ("balanced", ORANGE, "s")):
        curve.plot(means.loc[draw, "mean"], f"{marker}-", color=colour, label=f"{draw}, mean")
        curve.plot(means.loc[draw, "worst class"], f"{marker}--", color=colour, mfc="white", label="worst class")
    curve.set(xscale="log", xlabel="pairs drawn", ylabel="Spearman's $\\rho$", title="C  ranking of P, narrow ResNet-9")
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


@styled
def ceiling(epochs: pd.DataFrame, verdict: str) -> Picture:
    """The four figures of ``catwise.verdict`` at each checkpoint, with 95 % intervals and nulls."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    drawn = (
        (left, "headroom", "t*, on one validation set", ORANGE, "s"),
        (left, "crossfitted", "cross-fitted", BLUE, "o"),
        (right, "first_component_ratio", "first component (paper)", ORANGE, "s"),
        (right, "smallest_share", "last share, uncentred", BLUE, "o"),
    )
    first, last = epochs["epoch"].min(), epochs["epoch"].max()
    wide = max(last - first, 1)
    for axes, name, label, colour, marker in drawn:
        rows = epochs[epochs["figure"] == name]
        at = rows["epoch"] + (0.01 if marker == "o" else -0.01) * wide
        if axes is left:
            ends = (100 * rows["null_low"], 100 * rows["null_high"])
            axes.vlines(at, *ends, color=colour, alpha=0.25, linewidth=7, label=f"{label}: null")
        factor = 100 if axes is left else 1
        value, low, high = (factor * rows[key] for key in ("value", "low", "high"))
        style = {"color": colour, "capsize": 4, "markeredgecolor": "black"}
        axes.errorbar(at, value, [value - low, high - value], fmt=f"{marker}-", label=label, **style)
        axes.set_xticks(rows["epoch"], rows["epoch"])
        axes.set(xlabel="epoch", xlim=(first - 0.08 * wide, last + 0.08 * wide))
    left.axhline(0, color="black", linewidth=0.8)
    left.set(ylabel="% of each class's influence mass", title="A  headroom")
    right.axhline(0.2, color=GREY, linestyle="--", label="the paper's rule: room above")
    right.set(ylabel="share of variance", title="B  spectrum", ylim=(0, None))
    for axes in (left, right):
        axes.legend(frameon=False, fontsize="small")
    return Picture(
        figure,
        None,
        "Is there room to help every class at once?",
        f"At the last checkpoint: {verdict}. A: the best joint improvement, as it looks on the validation samples that"
        " chose it (t*) and on others (cross-fitted); there is room where the interval of the latter lies above 0."
        " Lines on points: 95 % jackknife intervals; pale bars: the middle 95 % when samples are dealt to classes at"
        " random, so that none stands in another's way. B: the ratio that the paper goes by, and the share that is 0 on"
        " a hyperplane through the origin.",
        "Two line charts over epochs: headroom, and shares of the spectrum of the influence vectors.",
    )
