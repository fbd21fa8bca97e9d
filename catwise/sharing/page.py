"""Render a diagnosis as one self-contained page, in words that need no other page."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import torch

from catwise.core.errors import InputError
from catwise.figures.class_matrix import class_matrix, class_shares
from catwise.figures.influence_plane import influence_plane
from catwise.figures.labels import ANSWERS
from catwise.sharing import html
from catwise.sharing.findings import HALVES, Findings
from catwise.sharing.looks import Look, image_looks, looks

__all__ = ["render"]

LISTED = 12  # most harmful samples, and as many most helpful ones
UNITS = {
    "loss": "nats of loss, summed over the query samples",
    "probability": "probability of the label, summed over the query samples",
    "margin": "logits of margin, summed over the query samples",
}
SHORT_UNITS = {"loss": "nats", "probability": "probability", "margin": "logits"}
MOST_CELLS = 10_000_000  # of features that are read for a page
MASS = (
    "x % of the influence mass of a class is x % of all that the training samples do to its loss,"
    " help and harm added up"
)
CAVEAT = (
    "labels of held-out samples count as true: where some are wrong too, as in a random split of"
    " the same source, right labels stand in this list"
)
SUBSETS = {False: HALVES, True: "retrained halves (--halves)"}  # by whether the command is read
PAIRS = 6  # of classes, of which one gains or loses most by the other


@dataclass(frozen=True)
class Sample:
    """Describe a training sample on the page."""

    name: str
    label: str
    predicted: str
    total: float
    most: str  # the class that it harms or helps most
    weight: float
    look: Look


def render(
    diagnosis: Findings,
    title: str,
    inputs: Any = None,
    texts: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    notes: Sequence[str] = (),
    summary: Sequence[str] = (),
    improved: bool = False,
) -> str:
    """Return the page that ``Diagnosis.report`` describes as HTML.

    ``summary`` are the first lines of the page of the command ``catwise diagnose``: its reader has
    files and options in place of functions. ``improved`` says that it ran with ``--improve``, and
    that the last of the ``notes`` tells what came of it.
    """
    if names is not None and len(names) != len(diagnosis.labels_n):
        raise InputError(
            f"names: expected one for each of {len(diagnosis.labels_n)} training samples; "
            f"got {len(names)}"
        )
    names = names if names is None else list(names)  # a Series is indexed by its labels
    count = min(LISTED, len(diagnosis.labels_n) // 2)
    rows = np.concatenate([diagnosis.detrimental[:count], diagnosis.detrimental[::-1][:count]])
    shown = looks(inputs, texts, diagnosis.labels_n, rows) or _own_looks(diagnosis, rows)
    shown = shown or [Look()] * len(rows)
    samples = [
        _sample(diagnosis, row, names, look) for row, look in zip(rows.tolist(), shown, strict=True)
    ]
    check, labels = diagnosis.ceiling, diagnosis.label_names
    template = files("catwise.sharing").joinpath("page.html").read_text()
    return (
        html.environment()
        .from_string(template)
        .render(
            title=title,
            style=html.style(),
            diagnosis=diagnosis,
            check=check,
            answers=ANSWERS,
            summary=[f"{line[0].upper()}{line[1:]}." for line in summary],
            verdict=diagnosis.verdict.text_with(SUBSETS[bool(summary)]),
            mass=MASS,
            caveat=CAVEAT,
            trust=[*trust(diagnosis, bool(summary)), *notes],
            unit=UNITS.get(
                diagnosis.measure, f"units of {diagnosis.measure}, summed over the query"
            ),
            advice=advice(diagnosis, bool(summary), improved),
            by_class=check.classes == labels,
            matrix=class_matrix(diagnosis.p_nk, diagnosis.labels_n, labels, check.classes),
            pairs=pairs(diagnosis),
            plane=plane(diagnosis),
            harmful=samples[:count],
            helpful=samples[count:],
        )
    )


def trust(diagnosis: Findings, of_command: bool = False) -> list[str]:
    """Say what the verdict rests on and how far it carries, to a reader of the command or not."""
    verdict = diagnosis.verdict
    if verdict.calibrated:
        rests = (
            "The verdict is about what a new training with the weights would bring every class. It"
            " rests on the gain that influence predicts on query samples that had no part in"
            " choosing the weights, times the slope of realised on predicted gains over models"
            " that were trained again on random halves."
        )
    else:
        gain = verdict.crossfitted
        value, low, high = (f"{100 * share:.3g}" for share in (gain.value, gain.low, gain.high))
        check = "`--improve`" if of_command else "A function that trains (`retrain=`)"
        rests = (
            "The verdict goes by the cross-fitted headroom, the gain of the class that gains least"
            " on query samples that had no part in choosing the weights, in % of its influence"
            f" mass. It is {value} %, and its 95 % interval is {low} to {high}. {check} lets"
            " `diagnose` check it."
        )
    return [
        rests,
        f"The influence speaks of {100 * diagnosis.coverage:.3g} % of the model's parameters; the"
        " others are taken as fixed.",
        "Influence is a first-order prediction of what training again would bring. It ranks samples"
        " and classes better than it measures sizes: take a percentage as an order, not as a"
        " promise.",
    ]


def advice(diagnosis: Findings, of_command: bool = False, improved: bool = False) -> list[str]:
    """Say what to do next, the cheapest first, to a reader of the command or not."""
    total_n = diagnosis.p_nk.sum(axis=1)
    contradicted_n = (total_n < 0) & (diagnosis.predicted_n != diagnosis.labels_n)
    joint = int((diagnosis.p_nk < 0).all(axis=1).sum())
    number = int(contradicted_n.sum())
    harm = (
        f"{joint} of {len(total_n)} training samples harm every class, and {number} harm the"
        " classes together while the model takes them for something else than their label."
    )
    if of_command:
        return [
            "Look at the labels in `label_issues.csv`, the worst first: it goes by the margin in"
            " the training, which finds wrong labels better than influence does. By influence,"
            f" {harm}",
            *_acting(diagnosis, of_command, improved),
            "Ask about a classifier of your own, or about subpopulations in place of classes: call"
            " `catwise.diagnose` in Python.",
        ]
    return [
        f"Look at the labels of the most harmful samples. {harm} `diagnosis.label_issues()` lists"
        " them; give it the running margin of the training if you have it, because that finds wrong"
        " labels better.",
        *_acting(diagnosis, of_command, improved),
        "Ask again without a new fit: `diagnosis.ask(query, groups)` answers for subpopulations in"
        ' place of classes, and `diagnosis.ask(query, measure="probability")` for another measure.',
    ]


def _acting(diagnosis: Findings, of_command: bool, improved: bool) -> list[str]:
    """Say whether to train with other weights, and how to find those that gain."""
    answer = diagnosis.verdict.answer
    lines = []
    if answer == "ceiling":
        first, second = diagnosis.ceiling.blocking
        lines.append(
            "Do not train with the weights of the diagnosis: at a ceiling they are noise."
            f" Reweighting these samples moves loss between {first} and {second}, so decide which"
            " of them matters more, or change what the ceiling depends on: more or better samples"
            " of these two, features that tell them apart, or another model."
        )
    elif answer != "room":
        remedy = diagnosis.verdict.remedy_with(SUBSETS[of_command])
        lines.append(f"Do not trust the weights of the diagnosis yet. {remedy}")
    if improved:
        lines.append(
            "Train with `improved_weights.csv` only if the last line above, on what `--improve`"
            " found, says that these weights gain."
        )
    elif answer == "room" and of_command:
        lines.append(
            "Train anew with other weights. `catwise diagnose --improve` does, and says what they"
            " gain on samples that played no part in choosing them."
        )
    elif answer == "room":
        lines.append(
            "Train anew with other weights. `catwise.improve` trains with weights of this kind and"
            " others, and keeps what held-out samples confirm. With `diagnosis.weights_n` by hand,"
            " train several times with different seeds, and keep the weights only if they win over"
            " plain training on samples that played no part so far."
        )
    elif answer != "ceiling":
        command = "catwise diagnose --improve" if of_command else "catwise.improve"
        lines.append(
            f"`{command}` may still gain: it also tries class weights and leaving out samples whose"
            " label looks wrong, and keeps only what held-out samples confirm."
        )
    return lines


def pairs(diagnosis: Findings) -> list[tuple[str, str, float]]:
    """Return (label, class, % of its influence mass) where label and class differ.

    The pairs are those with the largest losses and gains, the largest first.
    """
    labels, classes = diagnosis.label_names, diagnosis.ceiling.classes
    percent = 100 * class_shares(diagnosis.p_nk, diagnosis.labels_n, len(labels))
    shares = [
        (label, name, float(percent[j, k]))
        for j, label in enumerate(labels)
        for k, name in enumerate(classes)
        if label != name
    ]
    return sorted(shares, key=lambda pair: -abs(pair[2]))[:PAIRS]


def plane(diagnosis: Findings) -> Any:
    """Draw the influence plane of the two classes that block each other most."""
    classes, labels_n = diagnosis.ceiling.classes, diagnosis.labels_n
    if classes != diagnosis.label_names:  # the groups of the query are not labels
        labels_n = np.full(len(labels_n), -1)
    wrong_n = np.zeros(len(labels_n), dtype=bool)  # nobody knows which labels are
    unit = SHORT_UNITS.get(diagnosis.measure, f"units of {diagnosis.measure}")
    pair = diagnosis.ceiling.blocking
    return influence_plane(diagnosis.p_nk, labels_n, wrong_n, classes, pair, unit)


def _own_looks(diagnosis: Findings, rows: np.ndarray) -> list[Look]:
    """Show the inputs of the model, if these are there and images or features."""
    if diagnosis.fitted is None:
        return []
    samples = diagnosis.fitted.train
    first = samples.rows(torch.from_numpy(rows.copy()))[0]
    if not isinstance(first, torch.Tensor) or not first.is_floating_point():
        return []
    if first.dim() == 4 and first.shape[1] in (1, 3):
        return image_looks(first.cpu().numpy())
    if first.dim() == 2 and len(samples) * first.shape[1] <= MOST_CELLS:  # their means need all
        return looks(samples.rows(slice(None))[0], None, diagnosis.labels_n, rows)
    return []


def _sample(diagnosis: Findings, row: int, names: Sequence[str] | None, look: Look) -> Sample:
    vector_k = diagnosis.p_nk[row]
    total = float(vector_k.sum())
    most = int(vector_k.argmin() if total < 0 else vector_k.argmax())
    return Sample(
        f"sample {row}" if names is None else str(names[row]),
        diagnosis.label_names[diagnosis.labels_n[row]],
        diagnosis.label_names[diagnosis.predicted_n[row]],
        total,
        diagnosis.ceiling.classes[most],
        float(diagnosis.weights_n[row]),
        look,
    )
