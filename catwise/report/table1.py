"""Write Table 1 as text: the room of each case, the gain of each method, and the paper's layout.

Each function takes the results and the key of a case, and returns a heading and its rows.
"""

from catwise.figures.labels import method_label
from catwise.pipeline.records import Reweight

__all__ = ["before_rows", "method_rows", "printed_rows", "room_rows"]

ANCHORS = {"start": "before the epoch, as the paper does", "end": "beyond the all-ones epoch"}
UNITS = {"accuracy": ("points", 100, 2), "loss": ("nats", 1, 4)}  # unit, factor and digits


def method_rows(reweight: Reweight, case: str) -> list[list[str]]:
    """Give a row for each method: its gains beyond the control, and how many are significant."""
    heading = ["method"]
    for measure, (unit, _, _) in UNITS.items():
        heading += [f"{measure}, {unit}: targets", "worst class", "all classes", "better, worse"]
    summary = reweight.summary[reweight.summary["case"] == case]
    rows = [heading]
    for method in summary["method"].unique():
        group = summary[summary["method"] == method]
        cells = [method_label(group.iloc[0])]
        for measure, (_, factor, digits) in UNITS.items():
            row = group[group["measure"] == measure].iloc[0]
            gains = row[["targets_gain", "worst_gain", "mean_gain"]]
            cells += [signed(factor * gain, digits) for gain in gains]
            cells.append(f"{row['better']}, {row['worse']}")
        rows.append(cells)
    return rows


def signed(value: float, digits: int) -> str:
    """Write a number with its sign, and so that only 0 looks like 0, rounding errors aside.

    >>> signed(0.25, 2), signed(-3e-5, 4), signed(6e-15, 2)
    ('+0.25', '-3e-05', '+0.00')
    """
    value = value if abs(value) > 1e-12 else 0.0
    if value != 0 and round(value, digits) == 0:
        return f"{value:+.0e}"
    return f"{value:+.{digits}f}"


def before_rows(reweight: Reweight, case: str) -> list[list[str]]:
    """Give a row for each method: its gains over the epoch compared with, before any control."""
    table = reweight.table[reweight.table["case"] == case]
    rows = [["method, over the epoch compared with"]]
    for measure, (unit, _, _) in UNITS.items():
        rows[0] += [f"{measure}, {unit}: targets", "all classes"]
    for method in table["method"].unique():
        group = table[table["method"] == method]
        cells = [method_label(group.iloc[0])]
        for measure, (_, factor, digits) in UNITS.items():
            part = group[group["measure"] == measure]
            gain = factor * (part["after"] - part["before"]) * (1 if measure == "accuracy" else -1)
            cells += [signed(gain[part["target"]].mean(), digits), signed(gain.mean(), digits)]
        rows.append(cells)
    return rows


def printed_rows(reweight: Reweight, case: str) -> list[list[str]]:
    """Give a row for each class as the paper prints it, with the all-ones epoch beside it.

    A change is in percent of the epoch that the paper compares with: of the original one in a
    course correction, else of the one before. Where there is batch norm, two columns more say what
    its refreshed statistics do without a step: the mean over the seeds, and the change in percent
    of the epoch that is compared with, as the training left it.
    """
    printed = reweight.printed[reweight.printed["case"] == case]
    if printed.empty:  # nothing was searched
        return []
    compared = "before" if printed["original"].isna().all() else "original"
    columns = ["before", "after"] if compared == "before" else ["before", "original", "after"]
    refreshed = _refreshed(reweight, case)
    more = ["refreshed", "change, %"] if refreshed else []
    rows = [["class", *columns, "change, %", "all ones", "change, %", *more]]
    for row in printed.to_dict("records"):
        ones = 100 * (row["all_ones"] - row[compared]) / (row[compared] or 1)
        name = f"{row['class']} (target)" if row["target"] else row["class"]
        accuracies = [f"{row[column]:.3f}" for column in columns]
        change = f"{row['change']:+.2f}"
        more = refreshed.get(row["class"], [])
        rows.append([name, *accuracies, change, f"{row['all_ones']:.3f}", f"{ones:+.2f}", *more])
    return rows


def _refreshed(reweight: Reweight, case: str) -> dict[str, list[str]]:
    """Give each class's accuracy with refreshed statistics, and its change in percent."""
    table = reweight.refresh[reweight.refresh["case"] == case]
    table = table[(table["family"] == "refresh") & (table["measure"] == "accuracy")]
    means = table.groupby("class", sort=False)[["before", "after"]].mean()
    return {
        str(name): [f"{after:.3f}", f"{100 * (after - before) / (before or 1):+.2f}"]
        for name, before, after in means.itertuples()
    }


def room_rows(reweight: Reweight, case: str) -> list[list[str]]:
    """Give a row for each anchor: t*, the cross-fitted headroom with its interval, the verdict."""
    heading = ["room", "filter", "t*, %", "cross-fitted, % (95 %)", "sum over mass", "verdict"]
    rows = [heading]
    for row in reweight.room[reweight.room["case"] == case].to_dict("records"):
        top, value, low, high = (
            f"{100 * row[key]:.2f}" for key in ("headroom", "crossfitted", "low", "high")
        )
        verdict = "room" if row["room"] else "ceiling, within noise"
        cells = [ANCHORS[row["anchor"]], row["filter"], top, f"{value} ({low} to {high})"]
        rows.append([*cells, f"{row['sum_over_mass']:.3f}", verdict])
    return rows
