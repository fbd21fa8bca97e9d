"""Make the tables of the docs that show benchmarks."""

from pathlib import Path
from typing import Any

import numpy as np

from catwise.core.statistics import Estimate, spearman
from catwise.pipeline.files import read_json
from catwise.report.peers import advice, peer_rows, size_of
from docs.tables import table

BENCHMARKS = Path("reports/benchmarks")
PLAIN = "ones"  # the weights of twenty_epochs that the others are compared with
SHOWN_SIZE = ", 0.75"  # of the rows of weight_sources
ASIDE = {"LDS, loss, labels counted", "LDS, accuracy, labels counted", "mean loss", "seconds"}
ALIKE = 0.9  # the cosine from which two gradients point the same way


def cost() -> str:
    """Compare the time of influence vectors with kronfluence's, from the last ``make bench``."""
    bench = read_json(BENCHMARKS / "influence.json")
    heading = ["data, model", "training, query samples", "pairwise and sum", "a call per class"]
    rows = []
    for name, case in bench["cases"].items():
        scores, fits = case["scores"], case["fits"]
        fit = fits["kronfluence"]["seconds / ours"]
        ratios = [scores[way]["seconds / ours"] for way in ("pairwise", "aggregated")]
        ratios += [fit / fits["ours, all"]["seconds / ours"], fit]
        cells = [f"{ratio:.1f}" for ratio in ratios]
        rows.append([name, f"{case['n']:,}, {case['m']:,}", *cells])
    machine = bench["machine"]
    where = f"{machine['device']}, {machine['threads']} threads"
    text = table([*heading, "fit, all samples", "fit, a quarter of them"], rows)
    return f"{text}\n\n({where}, kronfluence {machine['kronfluence']})"


def program() -> str:
    """Compare the linear program of the search with scipy's, from the last ``make bench``."""
    rows = []
    for row in read_json(BENCHMARKS / "linear_program.json")["rows"]:
        compared = ["-", "-"]
        if row["linprog_s"]:
            compared = [f"{row['ratio']:.1f}", f"{row['same_objective']:.0e}"]
        size = f"{row['n']:,}, {row['k']}"
        rows.append([size, f"{row['warm_s']:.4f}", *compared, f"{row['worst_gap']:.0e}"])
    heading = ["samples, classes", "seconds a candidate", "linprog's time over ours"]
    return table([*heading, "difference of the optimum", "largest gap"], rows)


def headrooms() -> str:
    """Give the time of the headroom, and of all that the stage ``ceiling`` does at a checkpoint."""
    rows = []
    for row in read_json(BENCHMARKS / "linear_program.json")["headrooms"]:
        check = "-" if row["check_s"] is None else f"{row['check_s']:.1f}"
        times = [f"{row['headroom_s']:.3f}", check, f"{row['gap']:.0e}"]
        rows.append([row["vectors"], f"{row['n']:,}, {row['k']}", *times])
    heading = ["vectors", "samples, classes", "headroom, s", "whole check, s", "gap"]
    return table(heading, rows)


def budget() -> str:
    """Count the operations of each stage at the paper's size, and what they ask of a GPU."""
    budget = read_json(BENCHMARKS / "budget.json")
    rows = []
    for name, stage in budget["stages"].items():
        wanted = ["-", "-"]
        if "wanted seconds" in stage:
            parts = f" a {stage['per']}, {stage['parts']} of them" if stage["parts"] > 1 else ""
            share = f"{100 * stage['share of peak']:.1f} %"
            wanted = [f"{stage['wanted seconds']} s{parts}", share]
        rows.append([name, f"{stage['TFLOP']:,.0f}", *wanted])
    peak = f"{budget['peak'] / 1e12:.0f} TFLOP/s"
    return table(["stage", "TFLOP", "wanted time", f"share of {peak} that this needs"], rows)


def formats() -> str:
    """Say what bfloat16 gains and what it changes, at each width of a ResNet-9."""
    result = read_json(BENCHMARKS / "number_format.json")
    heading = [
        "width",
        "training, times faster",
        "factors and P, times faster",
        "Spearman of P, mean and worst class",
        "mean accuracy: float32, bfloat16, another seed",
        "mean change of a class: bfloat16, another seed",
    ]
    rows = []
    for width, row in result["widths"].items():
        faster, rho, accuracy = row["times faster"], row["spearman of P"], row["accuracy"]
        changes = [
            f"{100 * accuracy[name]['mean absolute change of a class']:.1f}"
            for name in ("bfloat16", "another seed")
        ]
        means = [f"{100 * values['mean']:.1f}" for values in accuracy.values()]
        rows.append(
            [
                width,
                f"{faster['training']:.1f}",
                f"{faster['factors and P']:.1f}",
                f"{rho['mean']:.4f}, {rho['worst class']:.4f}",
                ", ".join(means),
                ", ".join(changes),
            ]
        )
    imitated = "; it imitates bfloat16" if result["imitated"] else ""
    where = result["machine"]
    return table(heading, rows) + f"\n\n({where['device']}, {where['threads']} threads{imitated})"


def allocation() -> str:
    """Say what keeping freed memory saves, and what it costs."""
    result = read_json(BENCHMARKS / "allocation.json")
    heading = ["model", "part", "times less processor time", "share of the system", "peak, MB"]
    rows = []
    for name, parts in result["cases"].items():
        for part, row in parts.items():
            less, modes = row["times less"], (row["given back"], row["kept"])
            rows.append(
                [
                    name,
                    part,
                    f"{less['median']:.2f} ({less['lowest']:.2f} to {less['highest']:.2f})",
                    " to ".join(f"{mode['system'] / mode['seconds']:.0%}" for mode in modes),
                    " to ".join(f"{mode['peak'] / 1e6:,.0f}" for mode in modes),
                ]
            )
    where = result["machine"]
    return table(heading, rows) + f"\n\n({where['device']}, {where['threads']} threads)"


def compatibility() -> str:
    """Say for each model whether influence goes through it, and at what price."""
    rows = []
    for name, row in read_json(BENCHMARKS / "compatibility.json")["models"].items():
        if not row["works"]:
            rows.append([name, f"no: {row.get('reason', 'its vectors are not finite')}", *[""] * 6])
            continue
        lost = row["left out"].rpartition("; ")[0]
        rows.append(
            [
                name,
                "yes",
                row["kind"],
                f"{row['parameters'] / 1e6:.2f}",
                f"{100 * row['coverage']:.4g} %",
                f"{row['seconds']:.1f}",
                f"{row['peak bytes'] / 1e6:.0f} / {row['planned bytes'] / 1e6:.0f}",
                lost or "-",
            ]
        )
    heading = ["model", "works", "kind", "parameters, millions", "covered", "seconds"]
    return table([*heading, "peak / planned, MB", "left out"], rows)


def peers() -> str:
    """Show influence beside other libraries, a section for each case."""
    parts = []
    for name, case in read_json(BENCHMARKS / "peers.json")["cases"].items():
        heading, *rows = peer_rows(case)
        says = "\n".join(f"- {sentence}" for sentence in advice(case))
        parts.append(f"## {name}\n\n{size_of(case)}\n\n{says}\n\n{table(heading, rows)}")
    return "\n\n".join(parts)


def twenty_epochs() -> str:
    """Set the gains after one and after twenty epochs with the weights side by side, in points."""
    heading = ["data set", "weights", "epochs", "targets", "worst other", "all classes"]
    rows = []
    for name, case in read_json(BENCHMARKS / "twenty_epochs.json").items():
        targets, after = case["targets"], case["after"]
        for epochs in after[PLAIN][0]:
            by_method = {m: np.array([one[epochs] for one in seeds]) for m, seeds in after.items()}
            for method, accuracy_sk in by_method.items():
                before = case["before"] if method == PLAIN else by_method[PLAIN]
                gain_sk = 100 * (accuracy_sk - before)
                others_sk = np.delete(gain_sk, targets, axis=1)
                worst = int(others_sk.mean(axis=0).argmin())
                columns = (
                    gain_sk[:, targets].mean(axis=1),
                    others_sk[:, worst],
                    gain_sk.mean(axis=1),
                )
                says = f"{method}, over before" if method == PLAIN else method
                rows.append([name, says, epochs, *map(_ends, columns)])
    return table(heading, rows)


def _ends(values_s: np.ndarray) -> str:
    return f"{Estimate(values_s.mean(), values_s.min(), values_s.max()):+.2f}"


def by_row(benchmark: str, part: str, what: str) -> str:
    """Set the numbers of a benchmark side by side: a row for each data set and each of its rows."""
    heading, rows = [], []
    for name, case in read_json(BENCHMARKS / f"{benchmark}.json").items():
        for row, numbers in case[part].items():
            heading = ["data set", what, *numbers]
            rows.append([name, row, *(_cell(value) for value in numbers.values())])
    return table(heading, rows)


def batch_norm() -> str:
    """Set what P predicts, and its weights gain, with moving statistics beside fixed ones."""
    heading, rows, lines = [], [], []
    for name, case in read_json(BENCHMARKS / "batch_norm.json").items():
        for way, numbers in case["ways"].items():
            shown = {key: value for key, value in numbers.items() if key not in ASIDE}
            heading = ["data set", "statistics", *shown, "weights gain, points", "worst class"]
            gained = case["gains"][way]
            cells = [*shown.values(), gained["mean"], gained["worst"]]
            rows.append([name, way, *map(_cell, cells)])
        layers = [one for layer, one in case["layers"].items() if one["cosine"] < ALIKE]
        lengths, cosines = ([one[key] for one in layers] for key in ("length", "cosine"))
        lines.append(
            f"On `{name}` the class gradients of {len(layers)} of {len(case['layers'])} layers are"
            f" {min(lengths):.2f} to {max(lengths):.2f} times as long with moving statistics as"
            f" with fixed ones, and the cosine of the two is {min(cosines):.2f} to"
            f" {max(cosines):.2f}. Paired over {case['new seeds']} seeds, the weights of moving"
            f" ones gain {_cell(case['gains']['moving']['beyond fixed'])} points more in the mean."
        )
    return "\n\n".join([table(heading, rows), *lines])


def _cell(value: float | dict[str, float]) -> str:
    if isinstance(value, dict):
        return f"{Estimate(**value):.2g}"
    return f"{value:.2f}"


def sources() -> str:
    """Set the gain of weights made of each kind of P beside how well it predicts retraining.

    There is a table for each data set. Its last row is Spearman's rho between the gain in the mean
    and what stands in the column, over the kinds; swaps of two of them have no score.
    """
    return "\n\n".join(
        f"`{name}`:\n\n{_sources_of(case)}"
        for name, case in read_json(BENCHMARKS / "weight_sources.json").items()
    )


def _sources_of(case: dict[str, Any]) -> str:
    rows = {
        row.removesuffix(SHOWN_SIZE): one
        for row, one in case["rows"].items()
        if row.endswith(SHOWN_SIZE) or "rest of" in row
    }
    lines = []
    for row, one in rows.items():
        beyond = one["beyond the first"]
        cells = [_interval(one["mean"]), _interval(beyond) if any(beyond.values()) else "-"]
        scores = [scored.get(row) for scored in case["LDS"].values()]
        cells += [_interval(one["worst"]), f"{one['size']:.2f}"]
        cells += ["-" if score is None else f"{score:.2f}" for score in scores]
        lines.append([row, *cells])
    rhos = []
    for scored in case["LDS"].values():
        gains = [rows[source]["mean"]["value"] for source in scored]
        rhos.append(f"{spearman(list(scored.values()), gains):.2f}")
    lines.append(["rho with the mean", *["-"] * 4, *rhos])
    heading = [
        "weights of",
        "mean class, points",
        "beyond the first, paired",
        "worst class, points",
    ]
    heading += ["mean of |w - 1|", *(f"LDS, {design}" for design in case["LDS"])]
    reach = case["reach"].values()
    return (
        f"{table(heading, lines)}\n\nAlong a direction without curvature the damped inverse is"
        f" {min(reach):.0f} to {max(reach):.0f} times the horizon of the training, by layer."
    )


def _interval(estimate: dict[str, float]) -> str:
    return f"{Estimate(**estimate):+.2f}"
