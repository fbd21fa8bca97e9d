"""Show the benchmarks: what each one asks, its numbers as tables of text, and a picture."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from catwise.ceiling.pca_rule import RULE
from catwise.core.statistics import Estimate
from catwise.figures.cost import benchmark as draw_cost
from catwise.figures.labels import ANSWERS
from catwise.figures.style import Picture
from catwise.report.peers import NOTE as PEERS
from catwise.report.peers import advice, peer_rows, size_of

__all__ = [
    "Benchmark",
    "benchmarks",
    "costs",
    "fault_rows",
    "hit_rows",
    "source_rows",
    "speeds",
]

FAILURES = 3  # failures of a fault that are shown in words


@dataclass(frozen=True)
class Benchmark:
    """Hold what the page shows of one benchmark; the first row of the table is its heading."""

    name: str
    question: str
    note: str
    table: list[list[str]]
    picture: Picture | None = None


def benchmarks(results: Mapping[str, Any]) -> list[Benchmark]:
    """Describe each benchmark that has a result; ``results`` holds these by name of file."""
    return [benchmark for describe in DESCRIBED for benchmark in describe(results)]


def _hit_rates(results: Mapping[str, Any]) -> Iterator[Benchmark]:
    if "hit_rates" not in results:
        return
    question = "How often is the verdict right where the truth is known, and the paper's rule?"
    note = (
        "The truth is known for the synthetic data sets and for constructed influence vectors."
        " The calibrated verdict goes by what retraining on 40 halves says of predicted gains;"
        " without retrainings it goes by the cross-fitted headroom. The paper's rule says room"
        f" where the first component explains more than {RULE} of the variance. In brackets: 95 %"
        " intervals over the repetitions."
    )
    yield Benchmark("hit_rates", question, note, hit_rows(results["hit_rates"]))


def _weight_sources(results: Mapping[str, Any]) -> Iterator[Benchmark]:
    for name, case in results.get("weight_sources", {}).items():
        question = f"Which influence vectors should weights be made of? ({name})"
        note = (
            "Each source is P at the end or in the middle of training, damped or with the finite"
            " horizon of the training, by two segments, through every step, or over the last layer"
            f" alone, the mean of {case['runs']} trainings. It gives the joint direction, in two"
            f" sizes; the model is trained anew with its weights under {case['seeds']} fresh seeds."
            " Gains are on the test split, net of plain training; their 95 % intervals are over the"
            " seeds. The AUC says how well low weights tell wrong labels, LDS how well the source"
            " predicts retraining on subsets, in loss. The last rows take the weights of wrong"
            " labels, or of whole classes, from one source and all else from another."
        )
        yield Benchmark(f"weight_sources_{name}", question, note, source_rows(case))


def _peers(results: Mapping[str, Any]) -> Iterator[Benchmark]:
    for name, case in results.get("peers", {"cases": {}})["cases"].items():
        question = f"What does influence give beside other libraries? ({name})"
        note = " ".join([size_of(case), PEERS, *advice(case)])
        yield Benchmark(f"peers_{name}", question, note, peer_rows(case))


def _influence(results: Mapping[str, Any]) -> Iterator[Benchmark]:
    if not {"influence", "ranking"} <= set(results):
        return
    note = (
        "kronfluence fits the paper's EKFAC factors; both give the same scores. Scores: the"
        " pass that computes influence vectors. Fits: the factors of the curvature. Times ours:"
        " seconds over the seconds of our method."
    )
    picture = draw_cost(results["influence"], results["ranking"])
    question = "What do influence vectors cost, beside kronfluence?"
    yield Benchmark("influence", question, note, costs(results["influence"]), picture)


def _training(results: Mapping[str, Any]) -> Iterator[Benchmark]:
    if "training" not in results:
        return
    note = (
        "First: the rate of samples in an epoch of training, as a share of the rate of bare"
        " forward and backward passes on the same tensors; 1 is the best possible. Then:"
        " the time to train several small models one after the other, over the time to train"
        " them all at once (by vmap); above 1, all at once is faster."
    )
    yield Benchmark("training", "How fast is training?", note, speeds(results["training"]))


def _faults(results: Mapping[str, Any]) -> Iterator[Benchmark]:
    if "faults" not in results:
        return
    note = f"Each fault was provoked and the outcome counted. {results['faults']['note']}"
    question = "What survives when something goes wrong?"
    yield Benchmark("faults", question, note, fault_rows(results["faults"]))


DESCRIBED = (
    *(_hit_rates, _weight_sources, _influence),
    *(_peers, _training, _faults),
)  # in the order of the page


def costs(benchmark: Mapping[str, Any]) -> list[list[str]]:
    """Give a row for each case and method: seconds, times ours, and memory."""
    rows = [
        ["case", "samples", "method", "seconds", "times ours", "peak, MB", "query gradients, MB"]
    ]
    for name, case in benchmark["cases"].items():
        sizes = {"scores": f"{case['n']}, {case['m']} queries", "fits": f"{case['fitted']}"}
        for part, size in sizes.items():
            for method, cost in case[part].items():
                queries = case["query gradients, bytes"].get(method) if part == "scores" else None
                cells = [f"{cost['seconds']:.2f}", f"{cost['seconds / ours']:.1f}"]
                cells += [megabytes(cost["peak bytes"], 0), megabytes(queries, 2)]
                rows.append([name, size, f"{part}: {method}", *cells])
    return rows


def megabytes(size: float | None, digits: int) -> str:
    """Write a number of bytes in megabytes, or a dash where there is none."""
    return "-" if size is None else f"{size / 1e6:.{digits}f}"


def speeds(training: Mapping[str, Any]) -> list[list[str]]:
    """Give a row for each case: training against bare passes, one by one against all at once."""
    rows = [["case", "what", "median", "lowest to highest"]]
    for name, case in training["epoch"].items():
        rate = f"{case['samples per second']:,.0f} samples a second"
        ratio = spread(case["of the bare rate"])
        rows.append([name, f"an epoch, {rate}: share of the bare rate", *ratio])
    for name, case in training["together"].items():
        what = "seconds one after the other / seconds all at once"
        rows.append([name, what, *spread(case["loop / vmap"])])
    return rows


def spread(ratio: Mapping[str, float]) -> list[str]:
    """Write a ratio: its median, and its lowest and highest."""
    return [f"{ratio['median']:.2f}", f"{ratio['lowest']:.2f} to {ratio['highest']:.2f}"]


def hit_rows(benchmark: Mapping[str, Any]) -> list[list[str]]:
    """Give a row for each case of known truth: how often each rule was right, with its interval."""
    rules = {
        "verdict": "calibrated verdict",
        "uncalibrated": "without retrainings",
        "paper": "the paper's rule",
        "wrong": "calibrated: room or ceiling, wrongly",
    }
    rows = [["case", "right answers", "repetitions", *rules.values(), "mean t*"]]
    for name, case in benchmark["cases"].items():
        rates = [
            f"{100 * case[rule]['hits'] / case[rule]['of']:.0f} %"
            f" ({100 * case[rule]['low']:.0f} to {100 * case[rule]['high']:.0f})"
            for rule in rules
        ]
        right = " or ".join(dict.fromkeys(ANSWERS[answer] for answer in case["right"]))
        headroom = f"{case['mean']['headroom']:.3f}"
        rows.append([name, right, str(case["verdict"]["of"]), *rates, headroom])
    return rows


def source_rows(case: Mapping[str, Any]) -> list[list[str]]:
    """Give a row for each source and size of weights: what they gain, and what they raise."""
    rows = [
        [
            *("source, size asked for", "mean class, points", "worst class, points"),
            *("AUC of wrong labels", "least and largest mean weight of a class"),
            "mean of |w - 1|",
            *(f"LDS, {design}" for design in case["LDS"]),
        ]
    ]
    for name, row in case["rows"].items():
        ends = [row[measure] for measure in ("mean", "worst")]
        nets = [f"{Estimate(**one):+.1f}" for one in ends]
        auc = row.get("AUC of flipped labels")
        weight_k = row["mean weight by class"]
        weights = f"{min(weight_k):.2f} to {max(weight_k):.2f}"
        source = name.rpartition(", ")[0]
        scores = [scored.get(source) for scored in case["LDS"].values()]
        cells = ["-" if score is None else f"{score:.2f}" for score in scores]
        rows.append(
            [
                name,
                *nets,
                "-" if auc is None else f"{auc:.3f}",
                weights,
                f"{row['size']:.2f}",
                *cells,
            ]
        )
    return rows


def fault_rows(benchmark: Mapping[str, Any]) -> list[list[str]]:
    """Give a row for each fault: how many cases were provoked, and how many passed."""
    heading = ["fault", "what has to happen", "cases", "passed", "95 % interval", "failures"]
    rows = [heading]
    for fault in benchmark["faults"]:
        ends = fault.get("interval")
        interval = f"{100 * ends['low']:.1f} to {100 * ends['high']:.1f} %" if ends else "-"
        failures = fault["failures"][:FAILURES]
        if len(fault["failures"]) > FAILURES:
            failures.append(f"and {len(fault['failures']) - FAILURES} more")
        counts = [str(fault["cases"]), str(fault["passed"]), interval]
        rows.append([fault["fault"], fault["what"], *counts, "; ".join(failures) or "-"])
    return rows
