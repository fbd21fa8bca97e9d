"""Table 1 as text for the report: net of the control, and as the paper prints it."""

from collections.abc import Sequence
from statistics import fmean

__all__ = ["digest", "layout", "rooms"]


def digest(rows: Sequence[dict[str, str]]) -> dict[str, list[list[str]]]:
    """Rows of ``catwise.reweighting.table1.long`` as text, by case: a heading, each method's net gains and how many are sure."""
    found: dict[str, list[list[str]]] = {}
    heading = ["method"]
    for unit in ("points of accuracy", "nats of loss"):
        heading += [f"targets, {unit}", "worst class", "mean", "better, worse"]
    for case in dict.fromkeys(row["case"] for row in rows):
        found[case] = [heading]
        mine = [row for row in rows if row["case"] == case]
        for method in dict.fromkeys(row["method"] for row in mine):
            cells = [method]
            for measure, factor, digits in (("accuracy", 100, 2), ("loss", 1, 4)):
                some = [
                    row for row in mine if row["method"] == method and row["measure"] == measure
                ]
                gains = [factor * float(row["gain"]) for row in some]
                targets = [
                    gain for gain, row in zip(gains, some, strict=True) if row["target"] == "True"
                ]
                values = fmean(targets), min(gains), fmean(gains)
                readings = [row["reading"] for row in some]
                cells += [f"{value:+.{digits}f}" for value in values]
                cells += [f"{readings.count('better')}, {readings.count('worse')}"]
            found[case].append(cells)
    return found


def layout(rows: Sequence[dict[str, str]]) -> dict[str, list[list[str]]]:
    """Table 1 as the paper prints it, by case, targets marked, with the all-ones epoch that it leaves out."""
    found: dict[str, list[list[str]]] = {}
    for row in rows:
        keys = ["before", *(["original"] if row["original"] else []), "after"]
        compared, ones = float(row[keys[-2]]), float(row["all_ones"])
        heading = ["class", *keys, "change, %", "all ones", "change, %"]
        values = [f"{float(row[key]):.3f}" for key in keys]
        change = [
            f"{float(row['change']):+.2f}",
            f"{ones:.3f}",
            f"{100 * (ones - compared) / (compared or 1):+.2f}",
        ]
        mark = " (target)" if row["target"] == "True" else ""
        found.setdefault(row["case"], [heading]).append([row["class"] + mark, *values, *change])
    return found


def rooms(rows: Sequence[dict[str, str]]) -> dict[str, list[list[str]]]:
    """By case a heading and a row per anchor: t*, the cross-fitted headroom with its interval, and the verdict."""
    where = {"start": "before the epoch, as printed", "end": "beyond plain training"}
    heading = ["room", "filter", "t*, %", "cross-fitted, % (95 %)", "sum over mass", "verdict"]
    found: dict[str, list[list[str]]] = {}
    for row in rows:
        top, value, low, high = (
            f"{100 * float(row[key]):.2f}" for key in ("headroom", "crossfitted", "low", "high")
        )
        cells = [where[row["anchor"]], row["filter"], top, f"{value} ({low} to {high})"]
        cells += [
            f"{float(row['sum_over_mass']):.3f}",
            "room" if float(row["low"]) > 0 else "ceiling, within noise",
        ]
        found.setdefault(row["case"], [heading]).append(cells)
    return found
