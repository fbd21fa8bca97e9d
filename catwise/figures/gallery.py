"""Draw all pictures of one data set, by the name of the file that each is written to."""

from typing import TYPE_CHECKING

import numpy as np

from catwise.figures.calibration import retrained_gains
from catwise.figures.ceiling import ceiling
from catwise.figures.class_matrix import class_matrix
from catwise.figures.counts import counts
from catwise.figures.fidelity import fidelity, fidelity_cost, fidelity_samples
from catwise.figures.improvement import (
    improvement_path,
    improvement_table,
    predicted_gains,
)
from catwise.figures.influence_plane import influence_plane
from catwise.figures.price_of_gains import price_of_gains
from catwise.figures.refresh import refresh
from catwise.figures.removal import removal
from catwise.figures.searches import searches
from catwise.figures.style import Picture
from catwise.figures.synthetic import synthetic
from catwise.figures.table1 import table_one
from catwise.figures.tradeoff import METHODS, tradeoff
from catwise.figures.training_curves import training_curves
from catwise.figures.trimming import trimming, trimming_control

if TYPE_CHECKING:
    from catwise.pipeline.results import Results

__all__ = ["draw"]

PAPER = {"cifar10": "Figure 3", "emotion": "Figure 4", "stl10": "Figure 6", "ag_news": "Figure 7"}


def draw(results: "Results") -> dict[str, Picture]:
    """Draw what the results of a data set hold, as its parameters say."""
    p_nk, labels_n, flipped_n = results.vectors, results.labels_n, results.flipped_n
    classes, pair = results.classes, tuple(results.parameters["figures"]["classes"])
    pictures = {
        "influence_plane.png": influence_plane(p_nk, labels_n, flipped_n, classes, pair),
        "counts.png": counts(p_nk, labels_n, classes),
        "class_matrix.png": class_matrix(p_nk, labels_n, classes, classes),
        "ceiling.png": ceiling(
            results.epochs,
            results.ceiling.verdict.sentence,
            results.gains,
            results.ceiling.verdict.small_gain,
        ),
    }
    subsets = results.subsets
    if results.ceiling.verdict.calibrated and subsets is not None:
        counts_k = np.array(results.card.counts["validation_a"])
        pictures["calibration.png"] = retrained_gains(p_nk, labels_n, counts_k, subsets, classes)
    if results.history["epoch"].max() > 1:
        pictures["training_curves.png"] = training_curves(results.history, classes)
    scored = results.fidelity
    if scored is not None:
        pictures["fidelity.png"] = fidelity(
            scored.summary, scored.scores, scored.differences, scored.flipped_label_auc
        )
        if scored.summary["cost"].notna().any():
            pictures["fidelity_cost.png"] = fidelity_cost(scored.summary)
        if not scored.samples.empty:
            pictures["fidelity_samples.png"] = fidelity_samples(scored.samples)
    if results.ran("removal"):
        trims = results.parameters["removal"]["method"] == "trimming"
        pictures |= _trimming(results) if trims else _top_share(results)
    tables = results.reweight
    if tables is not None and len(tables.cases):
        cases = tables.cases
        pictures["reweight_table.png"] = table_one(cases, tables.table, tables.summary)
        if tables.tradeoff["family"].isin(METHODS).any():
            pictures["reweight_tradeoff.png"] = tradeoff(cases, tables.tradeoff)
        if len(tables.history):
            pictures["reweight_search.png"] = searches(cases, tables.history)
        if len(tables.refresh):
            pictures["reweight_refresh.png"] = refresh(cases, tables.refresh)
    improved = results.improve
    if improved is not None and len(improved.table):
        pictures["improve_table.png"] = improvement_table(improved.table)
        pictures["improve_price.png"] = price_of_gains(improved.table, improved.classes)
        pictures["improve_path.png"] = improvement_path(improved.steps, classes)
        if (improved.classes["predicted"].abs() > 0).any():  # not where no step was tried
            pictures["improve_gains.png"] = predicted_gains(improved.classes)
    return pictures


def _trimming(results: "Results") -> dict[str, Picture]:
    """Draw a synthetic data set, and its rounds of trimming."""
    classes, states = results.classes, results.trimming.states
    samples = (results.points, results.labels_n, results.flipped_n)
    paper = "Figure 2 A-C" if results.flipped_n.any() else "Figure 2 D-F"
    pictures = {
        "synthetic.png": synthetic(*samples, results.vectors, states[0], classes, paper),
        "trimming.png": trimming(*samples, states, classes),
    }
    if len(states) > 1:
        pictures["trimming_control.png"] = trimming_control(results.trimming.rounds, classes)
    return pictures


def _top_share(results: "Results") -> dict[str, Picture]:
    """Draw what removing the top share of each class did, to accuracy and to loss."""
    experiment = results.top_share
    tables = (experiment.changes, experiment.correlations, experiment.rankings)
    parts = (*tables, results.metrics("removal"), results.classes)
    paper = PAPER.get(results.card.source, "Figures 3 and 4")
    return {
        "removal.png": removal(*parts, "accuracy", paper),
        "removal_loss.png": removal(*parts, "loss", None),
    }
