"""Make the parts of the docs that follow from the results of the pipeline."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from catwise.claims.evidence import HOLDS, NOT, PART
from catwise.config import params
from catwise.core.errors import InputError
from catwise.figures.labels import ANSWERS, case_labels, method_label
from catwise.figures.scatter import draw_samples, logarithmic_plane, shared_legend
from catwise.figures.style import png
from catwise.pipeline.files import read_json
from catwise.pipeline.results import Results, run_and_carried
from catwise.report.cases import case_picture
from catwise.report.removal_tables import removals
from catwise.report.table1 import method_rows
from docs.tables import table

FAMILIES = {  # how the keys of the claims begin: what is claimed, and where
    "noise": ("Wrong labels harm both classes", "Figure 2 B"),
    "line": ("At a ceiling the vectors lie on a line", "Figure 2 E"),
    "rounds": ("Trimming removes wrong labels and raises accuracy", "Figure 5"),
    "diagonal": (
        "Without its most helpful samples a class falls; without its most harmful ones it rises",
        "Figures 3, 4",
    ),
    "spearman": ("Influence ranks the changes of all classes, rho > 0.8", "Figures 3, 4"),
    "counts": ("Helpful samples bear the label of the class, harmful ones another", "Figure 8"),
    "ratio.above": ("The first component's ratio is above 0.2 in Table 1", "section 5.2"),
    "ratio.rule": ("A first component above 0.2 means room", "section 5.2"),
    "direct": ("Direct Improvement: targets gain, others hardly lose", "Table 1"),
    "course": ("Course Correction: targets gain, others hardly lose", "Table 1"),
    "acting": ("Ours: retraining confirms the verdict", "-"),
    "refresh": (
        "Ours: recomputing batch-norm statistics, without training,"
        " gives gains as large as Table 1",
        "Table 1",
    ),
}
SHOWN = [  # the methods of Table 1 that the docs show, of more on the page
    {"family": "lp_ga", "rule": "printed", "program": "linear", "anchor": "start"},
    {"family": "lp_ga", "rule": "beta", "program": "quadratic", "anchor": "end"},
    {"family": "direction", "query": "loss", "filter": "horizon", "anchor": "end"},
    {"family": "direction", "query": "loss", "filter": "exact", "anchor": "unrolled"},
    {"family": "oracle"},
    {"family": "best_seeds"},
]


@cache
def all_results() -> list[Results]:
    """List the results of this run, then those that come with the repository."""
    return run_and_carried(params.load())


def claims_of_run() -> list[dict[str, Any]]:
    """Read the claims of the paper as they were judged."""
    return read_json(Path("reports/claims.json"))["claims"]


def families() -> str:
    """Count how often the claims of each family hold, over data sets and cases.

    Where results are of the same data the last ones count, which are carried, and of more seeds.
    """
    last = {one.card.record["sha256"]: one.dataset for one in all_results()}
    again = {one.dataset for one in all_results()} - {*last.values()}
    counted = [claim for claim in claims_of_run() if claim["dataset"] not in again]
    rows = []
    for family, (says, place) in FAMILIES.items():
        members = [claim for claim in counted if claim["key"].startswith(family)]
        counts = Counter(claim["verdict"] for claim in members)
        rows.append([says, place, *(str(counts[verdict]) for verdict in (HOLDS, PART, NOT))])
    return table(["the paper says", "where", "holds", "in part", "does not"], rows)


def claims() -> str:
    """Tell each claim of the paper, with a table of the main numbers and verdicts here."""
    judged = claims_of_run()
    parts = []
    for key in dict.fromkeys(claim["key"] for claim in judged):
        alike = [claim for claim in judged if claim["key"] == key]
        first = alike[0]
        parts.append(f"**{first['says']}** ({first['place']}; the paper: {first['value']})")
        rows = [claim_row(claim) for claim in alike if claim["head"]]
        if rows:
            parts.append(table(["data set", "here", "verdict"], rows))
        if len(rows) < len(alike):
            parts.append(without_numbers(claim for claim in alike if not claim["head"]))
    return "\n\n".join(parts)


def claim_row(claim: dict[str, Any]) -> list[str]:
    """Tell the numbers of one claim on one data set, and the verdict, maybe with a reason."""
    reduced = " (reduced)" if claim["reduced"] else ""
    verdict = claim["verdict"]
    if verdict not in (HOLDS, NOT) and claim["why"]:
        verdict += f": {claim['why']}"
    return [f"{place_of(claim)}{reduced}", claim["head"], verdict]


def without_numbers(alike: Iterable[dict[str, Any]]) -> str:
    """List where a claim was not judged, by the reason."""
    places = defaultdict(list)
    for claim in alike:
        places[f"{claim['verdict']} ({claim['why']})"].append(place_of(claim))
    return "\n".join(f"- {reason}: {'; '.join(where)}" for reason, where in places.items())


def place_of(claim: dict[str, Any]) -> str:
    """Name the data set of a claim, and its case of Table 1."""
    name = claim["dataset"]
    return f"{name}, {cases_of(name)[claim['case']]}" if claim["case"] else name


def cases_of(dataset: str) -> dict[str, str]:
    """Name the cases of a data set by their keys."""
    (results,) = all_results_of(dataset)
    return case_labels(results.reweight.cases) if results.reweight else {}


def verdicts() -> str:
    """Give a row for each data set: room or ceiling, and the numbers behind it."""
    rows = []
    for results in all_results():
        train, influence = results.metrics("train"), results.metrics("influence")
        auc = influence.get("flipped_label_auc")
        again = "`dvc repro`"
        if results.provenance is not None:
            hours = results.provenance["seconds"] / 3600
            again = f"`make paper DATASET={results.dataset}`, {hours:.1f} hours"
        rows.append(
            [
                results.dataset,
                verdict_of(results),
                f"{results.ceiling.headroom.value:.3f}",
                f"{results.ceiling.first_component_ratio.value:.3f}",
                f"{train['worst_class']}, {train['worst_class_accuracy']:.3f}",
                "-" if auc is None else f"{auc:.3f}",
                again,
            ]
        )
    numbers = ["t*", "paper's ratio", "worst class, accuracy", "AUC of flipped labels"]
    return table(["data set", "verdict", *numbers, "measured by"], rows)


def verdict_of(results: Results) -> str:
    """Say in a sentence whether there is room, and whether new trainings checked it."""
    sentence = results.ceiling.verdict.sentence
    checked = "slope" in results.metrics("ceiling")
    return sentence if checked else f"{sentence}; not checked by new trainings"


def reweighted() -> str:
    """Give the gains of Table 1 beyond the control, for each data set, case and chosen method."""
    shown = [method_label({**method, "shuffled": False}) for method in SHOWN]
    heading, rows = [], []
    for results in all_results():
        if results.reweight is None:
            continue
        for case, label in case_labels(results.reweight.cases).items():
            heading, *methods = method_rows(results.reweight, case)
            name = f"{results.dataset}, {label}"
            rows += [[name, *cells] for cells in methods if cells[0] in shown]
    return table(["data set, case", *heading], rows)


def of_all(rows_of: Callable[[list[Results]], list[list[str]]]) -> str:
    """Make a table of what ``rows_of`` gives of all results, the heading first."""
    heading, *rows = rows_of(all_results())
    return table(heading, rows)


def removed() -> str:
    """Give Spearman's rho between influence and the effect of removal, by data set and group."""
    heading, *rows = removals(
        {results.dataset: results.metrics("removal") for results in all_results()}
    )
    return table(heading, rows)


def case_gains() -> bytes:
    """Draw predicted and realised gains of the classes of all data sets."""
    picture = case_picture(all_results())
    if picture is None:
        raise InputError("reports/improve: expected results of a data set; got none; run dvc repro")
    return png(picture.figure)


def two_planes() -> bytes:
    """Draw the influence planes of the two synthetic sets, a ceiling and room, with verdicts."""
    figure = Figure(figsize=(10, 5.3), layout="constrained")
    shapes = {"nonlinear": "the vectors lie on a line", "linear": "the vectors leave the line"}
    with sns.axes_style("ticks"), sns.plotting_context("paper", font_scale=1.1):
        for axes, results in zip(figure.subplots(1, 2), all_results_of(*shapes), strict=True):
            draw_plane(axes, results)
            state = ANSWERS[results.ceiling.verdict.answer].capitalize()
            axes.set_title(f"{state}: {shapes[results.dataset]}", fontweight="bold")
        shared_legend(figure, *figure.axes)
    return png(figure)


def all_results_of(*datasets: str) -> list[Results]:
    """Return the results of these data sets."""
    by_name = {results.dataset: results for results in all_results()}
    return [by_name[name] for name in datasets]


def draw_plane(axes: Axes, results: Results) -> None:
    """Draw the influence of every training sample on both classes; the scale is symlog."""
    first, second = results.classes
    logarithmic_plane(axes, results.vectors, (first, second))
    labels = (f"label {first}", f"label {second}")
    draw_samples(axes, results.vectors, results.labels_n, results.flipped_n, labels)
    corners = [((0.98, 0.98), "right", "top", "helps both")]
    corners += [((0.02, 0.02), "left", "bottom", "harms both")]
    for point, ha, va, says in corners:
        axes.annotate(says, point, xycoords="axes fraction", ha=ha, va=va, color="dimgrey")
