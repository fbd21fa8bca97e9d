"""Draw the room that was predicted against what it brought (benchmarks/science/calibration.py)."""

from typing import Any

from matplotlib.figure import Figure

from catwise.figures.style import COLOURS, GREY, Picture, styled

__all__ = ["calibration"]

MARKERS = "osD^vP"


@styled
def calibration(benchmark: dict[str, Any], dataset: str) -> Picture:
    """Draw a mark for each epoch that was trained with other weights, by the share of flips."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    rows = benchmark["rows"]
    for number, share in enumerate(sorted({row["share"] for row in rows})):
        group = [row for row in rows if row["share"] == share]
        axes.scatter(
            [100 * row["headroom"] for row in group],
            [row["loss_worst"] for row in group],
            label=f"{100 * share:.0f} % flipped",
            marker=MARKERS[number % len(MARKERS)],
            color=COLOURS[number % len(COLOURS)],
            edgecolor="black",
            linewidth=0.5,
        )
    axes.axhline(0, color=GREY, linewidth=1)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_xlabel("predicted: cross-fitted headroom, % of the influence mass")
    axes.set_ylabel("realised: net gain of the worst class, nats of loss")
    axes.legend(frameon=False)
    rho, low, high = benchmark["correlations"]["headroom, loss_worst"]
    accuracy_rho = benchmark["correlations"]["headroom, accuracy_worst"][0]
    return Picture(
        figure,
        None,
        "Predicted room against what it brought",
        f"Each mark is one epoch of a training on {dataset} with planted flips, taken again with"
        " weights that should raise every class. Horizontal: the headroom that was predicted."
        " Vertical: how much lower the test loss of the worst class then is than after the same"
        " epoch with all-ones weights; above 0, even the worst class gained. If the prediction is"
        f" good, the marks rise from left to right: Spearman's rho is {rho:.2f} (95 % interval"
        f" {low:.2f} to {high:.2f} over the trainings). With the gain in accuracy rho is"
        f" {accuracy_rho:.2f}: influence is about loss.",
        "Scatter plot of predicted headroom against the realised net gain of the worst class.",
    )
