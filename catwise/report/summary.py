"""Sum up one data set in words: is it at its ceiling, what blocks, and what helps?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from catwise.ceiling.verdict import Answer, Verdict
from catwise.figures.labels import case_labels, method_label
from catwise.pipeline.records import Reweight, TopShare, Trimming
from catwise.pipeline.results import Results

__all__ = ["METHODS", "Summary", "summarize"]

METHODS = ("lp_ga", "direction")  # families that are methods; the others of Table 1 are controls
SAME = ["case", "method", "shuffled", "measure"]  # what tells a method's rows from all others


@dataclass(frozen=True)
class Summary:
    """Hold the verdict and the sentences about one data set; ``advice`` says what would help."""

    answer: Answer
    headline: str
    blocking: str
    advice: list[str]


def summarize(results: Results) -> Summary:
    """Write the sentences from the results."""
    advice = [
        label_advice(results),
        *removal_advice(results),
        *epoch_advice(results),
        *kind_advice(results.ceiling.verdict),
    ]
    verdict = results.ceiling.verdict
    return Summary(verdict.answer, verdict.text, blocking(results), advice)


def blocking(results: Results) -> str:
    """Name the two classes that block each other most."""
    first, second = results.ceiling.blocking
    others = " and the other classes stay as they are" if len(results.classes) > 2 else ""
    return (
        f"Classes {first} and {second} block each other most. If class {second} is to gain 1 % of"
        f" its influence mass{others}, class {first} loses at least"
        f" {results.ceiling.exchange_rate:.2g} % of its own."
    )


def label_advice(results: Results) -> str:
    """Say which samples to look at first."""
    share = results.metrics("influence")["joint_negative_share"]
    if results.flipped_n.any():
        flipped_n = results.flipped_n.astype(bool)
        order = np.argsort(results.vectors.sum(axis=1), kind="stable")
        lowest = order[: max(1, len(order) // 10)]
        auc = results.metrics("influence")["flipped_label_auc"]
        return (
            f"Check the labels, those of the least helpful samples first. Among the {len(lowest)}"
            f" training samples whose influences have the lowest sum,"
            f" {int(flipped_n[lowest].sum())} bear a flipped label; {int(flipped_n.sum())} labels"
            f" are flipped in all. A flipped sample ranks below another one with probability"
            f" {auc:.3f} (AUC)."
        )
    if share == 0:
        return "No training sample harms every class: by P, removing any costs some class."
    part = f"{100 * share:.2g} % of the training samples"
    if results.ceiling.verdict.answer == "ceiling":
        return f"By P {part} harm every class, but at a ceiling that is little or noise."
    return f"Look first at the {part} that harm every class."


def removal_advice(results: Results) -> list[str]:
    """Say what removing harmful samples did."""
    if isinstance(results.removal, Trimming):
        return trimming_advice(results.removal)
    if isinstance(results.removal, TopShare):
        return [top_share_advice(results, results.removal)]
    return []


def top_share_advice(results: Results, removal: TopShare) -> str:
    """Name the class that gains most from the removal of what harms it, if any gains."""
    share = 100 * results.parameters["removal"]["share"]
    removed = f"Removing the {share:.3g} % of the training samples that most harm a class"
    table = removal.diagonal
    own = table[(table["measure"] == "accuracy") & (table["group"] == "detrimental")]
    gained = own[own["net_reading"] == 1]
    if gained.empty:
        return f"{removed} made no class significantly better than removing as many at random."
    best = gained.loc[gained["net_mean"].idxmax()]
    mean, low, high = (100 * best[f"net_{end}"] for end in ("mean", "low", "high"))
    interval = f"95 % interval {low:.1f} to {high:.1f}" if low < high else "the same in all seeds"
    count = results.metrics("removal")["net_significant_accuracy_detrimental"]
    return (
        f"{removed} raises its accuracy significantly more than removing as many at random for"
        f" {count} of {len(results.classes)} classes. Class {best['class']} gains most:"
        f" {mean:.1f} points ({interval}). The heat map shows what the other classes lose by it."
    )


def trimming_advice(removal: Trimming) -> list[str]:
    """Say what all rounds of trimming removed, and the accuracy before and after."""
    ours = removal.rounds[removal.rounds["arm"] == "influence"]
    last = ours["round"].max()
    if last == ours["round"].min():
        return []
    before, after = 100 * ours.groupby("round")["accuracy"].mean().iloc[[0, -1]]
    end = ours[ours["round"] == last].iloc[0]
    advice = "Remove the samples that harm both classes and train again, round after round."
    if after <= before:
        advice = "Removing the samples that harm both classes does not help here."
    return [
        f"{advice} After round"
        f" {last}, {end['removed']} samples are gone, {end['flipped_removed']} of them with a"
        " flipped label, and the mean test accuracy of the classes has gone from"
        f" {before:.2f} to {after:.2f} %."
    ]


def epoch_advice(results: Results) -> list[str]:
    """Say for each case of Table 1 how much room one more epoch has, and what weights gained.

    The best method is the one with the largest mean gain in test loss beyond the control. It is
    said to help where that is significantly above 0, corrected for the number of methods. The half
    width is the mean of those of the classes, as if their noise were one.
    """
    if results.reweight is None:
        return []
    rooms = results.reweight.room.set_index(["case", "anchor"])
    summary, sentences = results.reweight.summary, []
    methods = summary[
        (summary["measure"] == "loss") & summary["family"].isin(METHODS) & ~summary["shuffled"]
    ]
    for case, label in case_labels(results.reweight.cases).items():
        before, beyond = (
            "{:.2g} % (95 % interval {:.2g} to {:.2g})".format(
                *(100 * rooms.loc[(case, anchor), ["crossfitted", "low", "high"]])
            )
            for anchor in ("start", "end")
        )
        group = methods[methods["case"] == case]
        if group.empty:
            continue
        best = group.loc[group["mean_gain"].idxmax()]
        gain = best["mean_gain"]
        helps = gain > _mean_half_width(results.reweight, best, len(group))
        sentences.append(
            f"One more epoch ({label}): the cross-fitted headroom is {before} before it, and"
            f" {beyond} beyond what all-ones weights bring."
            f" {'Other weights help' if helps else 'No weights help for certain'}: with the best"
            f" method, {method_label(best)}, the mean test loss of the classes is"
            f" {'lower' if gain > 0 else 'higher'} by {abs(gain):.2g} nats than with all-ones"
            f" weights; {best['better']} of {len(results.classes)} classes are significantly"
            f" better and {best['worse']} worse."
        )
    return sentences


def kind_advice(verdict: Verdict) -> list[str]:
    """Name other kinds of influence where that at the end of the training predicts nothing."""
    if verdict.answer != "not_predictive" or verdict.predicts_each:
        return []
    return [
        "Influence of another kind may predict retraining better: averaged over trainings, or taken"
        " along the training. The scores of the kinds are among the figures."
    ]


def _mean_half_width(reweight: Reweight, best: pd.Series, methods: int) -> float:
    """Return the mean half width over the classes at the level of 5 % shared by the methods."""
    table, cases = reweight.table, reweight.cases
    rows = table[(table[SAME] == best[SAME]).all(axis=1)]
    degrees = cases.loc[cases["case"] == best["case"], "seeds"].item() - 1
    wider = stdtrit(degrees, 1 - 0.025 / methods) / stdtrit(degrees, 0.975)
    return float(wider * ((rows["high"] - rows["low"]) / 2).mean())
