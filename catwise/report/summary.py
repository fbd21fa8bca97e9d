"""The answer for one data set, in words and numbers: is it at its ceiling, what blocks, and what would help."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

__all__ = ["Answer", "Rows", "answer"]

Rows = Sequence[dict[str, str]]
CONTROLS = ("all ones", "shuffled", "oracle")  # how the methods of Table 1 that are none begin


@dataclass(frozen=True)
class Answer:
    """``state``: room, ceiling or unknown."""

    state: str
    headline: str
    blocks: str
    helps: list[str]


def answer(
    metrics: dict[str, dict[str, Any]],
    ceiling: dict[str, Any],
    noise: tuple[int, int, int] | None,
    diagonal: Rows,
    rounds: Rows,
    table: Rows,
    room: Rows,
) -> Answer:
    """``noise``: of the tenth with the lowest influence, how many; flipped among them; flipped in all; None: no flips.

    The others are the rows of the reports' tables as text, empty where a data set has none.
    """
    state, headline = _ceiling(metrics["ceiling"])
    rates = sorted(ceiling["exchange"].items(), key=lambda item: -item[1])
    (first, most), (second, next_) = rates[:2]
    unchanged = ", the others unchanged" if len(rates) > 2 else ""
    blocks = (
        f"Classes {first} and {second} stand in each other's way most: what raises class {second} by 1 % of its"
        f" influence mass costs class {first} at least {next_ / most:.2g} %{unchanged}."
    )
    helps = [
        *_labels(metrics["influence"], noise),
        *_removal(diagonal),
        *_trimming(rounds),
        *_room(room),
    ]
    return Answer(state, headline, blocks, [*helps, *_weights(table)])


def _ceiling(found: dict[str, Any]) -> tuple[str, str]:
    if "verdict" not in found:
        return "unknown", "No verdict: measured before there was a cross-fitted headroom."
    gain, low, high = (
        f"{100 * found[key]:.2g}" for key in ("crossfitted", "crossfitted_low", "crossfitted_high")
    )
    if found["room"]:
        return "room", (
            f"Not at its ceiling: some reweighting of the training samples helps every class at once, by {gain} % of"
            f" its influence mass (95 % {low} to {high}), on validation samples that did not choose it."
        )
    return "ceiling", (
        "At its ceiling within noise: no reweighting of the training samples helps every class at once for sure"
        f" (cross-fitted headroom {gain} % of the influence mass, 95 % {low} to {high})."
    )


def _labels(found: dict[str, Any], noise: tuple[int, int, int] | None) -> list[str]:
    if noise is not None:
        looked, hits, flips = noise
        return [
            f"Check labels: of the {looked} samples with the lowest influence {hits} bear a flipped label, of {flips}"
            f" flipped in all (AUC {found['flipped_label_auc']:.3f}). Relabel or remove these first."
        ]
    share = found["joint_negative_share"]
    if share == 0:
        return ["No sample harms every class: removing single samples is no free gain."]
    return [f"Look first at the {100 * share:.2g} % of the samples that harm every class."]


def _removal(diagonal: Rows) -> list[str]:
    own = [row for row in diagonal if (row["measure"], row["group"]) == ("accuracy", "detrimental")]
    if not own:
        return []
    sure = [row for row in own if row["net_reading"] == "as the paper says"]
    if not sure:
        return [
            "Removing the tenth that most harms a class raised no class significantly, net of random removals."
        ]
    best = max(sure, key=lambda row: float(row["net_mean"]))
    mean, low, high = (100 * float(best[f"net_{key}"]) for key in ("mean", "low", "high"))
    return [
        f"Removing the tenth that most harms class {best['class']} raises its accuracy by {mean:.1f} points (95 %"
        f" {low:.1f} to {high:.1f}), net of removing as many at random; this works significantly for"
        f" {len(sure)} of {len(own)} classes, each for itself: what it costs the others is in the heat map."
    ]


def _trimming(rounds: Rows) -> list[str]:
    ours = [row for row in rounds if row["arm"] == "influence"]
    if not ours:
        return []
    first, last = (
        [row for row in ours if row["round"] == end]
        for end in (ours[0]["round"], ours[-1]["round"])
    )
    before, after = (100 * fmean(float(row["accuracy"]) for row in some) for some in (first, last))
    if first[0]["round"] == last[0]["round"]:
        return []
    end = last[0]
    return [
        f"Removing what harms both classes, {end['round']} times, takes {end['removed']} samples away,"
        f" {end['flipped_removed']} of them flipped, and the accuracy goes from {before:.2f} to {after:.2f} %."
    ]


def _room(room: Rows) -> list[str]:
    said = []
    for case in dict.fromkeys(row["case"] for row in room):
        found = {row["anchor"]: row for row in room if row["case"] == case}
        start, end = (
            f"{100 * float(found[anchor]['crossfitted']):.2g} % (95 % {100 * float(found[anchor]['low']):.2g} to"
            f" {100 * float(found[anchor]['high']):.2g})"
            for anchor in ("start", "end")
        )
        said.append(
            f"Room in one epoch ({case}): {start} before it; beyond what plain training brings, {end}."
        )
    return said


def _weights(table: Rows) -> list[str]:
    """Of each case the method with the largest mean gain in loss, net of the same epoch with all-ones weights."""
    said = []
    for case in dict.fromkeys(row["case"] for row in table):
        mine = [row for row in table if row["case"] == case and row["measure"] == "loss"]
        methods = {row["method"] for row in mine if not row["method"].startswith(CONTROLS)}
        gains = {
            name: fmean(float(row["gain"]) for row in mine if row["method"] == name)
            for name in sorted(methods)
        }
        best = max(gains, key=gains.__getitem__)
        readings = [row["reading"] for row in mine if row["method"] == best]
        better, worse, of = readings.count("better"), readings.count("worse"), len(readings)
        change = f"{gains[best]:+.4f} nats mean, {better} of {of} classes better and {worse} worse"
        advice = (
            "Train the epoch with these weights"
            if better > worse and gains[best] > 0
            else "No weights helped for sure"
        )
        said.append(
            f"{advice} ({case}); best: {best}, net of plain training on the test split, {change}."
        )
    return said
