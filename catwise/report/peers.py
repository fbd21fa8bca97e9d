"""Show influence beside other libraries: a row for each method, and what to use for what."""

from collections.abc import Mapping
from typing import Any

from catwise.core.statistics import Estimate

__all__ = ["NOTE", "advice", "peer_rows", "size_of"]

NOTE = (
    "The same trained network, the same samples, some labels flipped. Times a training:"
    " the seconds of a method beyond the trained network and its checkpoints, over those of one"
    " plain training that was timed just before it, because other work on the machine slows both."
    " LDS: Spearman's rho between what P predicts and the losses, or accuracies, of networks that"
    " were trained on random halves, the mean over the classes. AUC: how well a low sum over the"
    " classes, or a low score of a label, tells flipped labels from others. Peak: the memory beyond"
    " packages and samples. In brackets: 95 % intervals, over the halves and over the samples."
    " Runs: the mean over several trainings, whose seconds count."
)
HEADING = ["method", "version", "times a training", "peak, MB", "LDS, loss", "LDS, accuracy", "AUC"]


def peer_rows(case: Mapping[str, Any]) -> list[list[str]]:
    """Give a row for each method: the best predictors, then scores of labels, then failures."""
    methods: Mapping[str, Any] = case["methods"]
    return [HEADING, *(_row(name, methods[name]) for name in sorted(methods, key=_order(methods)))]


def _order(methods: Mapping[str, Any]) -> Any:
    def key(name: str) -> tuple[int, float]:
        row = methods[name]
        if "reason" in row:
            return 2, 0
        if "LDS" in row:
            return 0, -row["LDS"]["loss"][0]
        return 1, -row["flipped label AUC"][0]

    return key


def _row(name: str, row: Mapping[str, Any]) -> list[str]:
    if "reason" in row:
        return [name, row["version"], f"no: {row['reason']}", *["-"] * 4]
    lds = [
        f"{Estimate(*row['LDS'][what]):.2f}" if "LDS" in row else "-"
        for what in ("loss", "accuracy")
    ]
    price = [f"{row['times a training']:.2f}", f"{row['peak bytes'] / 1e6:.0f}"]
    return [name, row["version"], *price, *lds, f"{Estimate(*row['flipped label AUC']):.2f}"]


def size_of(case: Mapping[str, Any]) -> str:
    """Say how large a case is."""
    return (
        f"{case['model']}, {case['parameters']:,} parameters; {case['training samples']} training"
        f" samples with {case['flipped']} flipped labels, {case['query samples']} query samples;"
        f" {case['halves']} halves, seeds of each: {case['seeds']}; {case['runs']} runs,"
        f" {case['segments']} segments. {case['machine']['device']}."
    )


def advice(case: Mapping[str, Any]) -> list[str]:
    """Say what to use for what, by the numbers of a case.

    A method is as good as the best if its score lies within the interval of the best; the cheapest
    of these is named.
    """
    methods = {name: row for name, row in case["methods"].items() if "reason" not in row}
    vectors = {name: row for name, row in methods.items() if "LDS" in row}
    by_loss = {name: row["LDS"]["loss"] for name, row in vectors.items()}
    by_flips = {name: row["flipped label AUC"] for name, row in methods.items()}
    own = {name: by_flips[name] for name in vectors}
    return [
        f"To predict what training again does: {_choice(by_loss, methods, 'LDS')}.",
        f"To find wrong labels: {_choice(by_flips, methods, 'AUC')}.",
        f"To find them by influence alone: {_choice(own, methods, 'AUC')}.",
    ]


def _choice(scores: Mapping[str, Any], methods: Mapping[str, Any], what: str) -> str:
    """Name the best, and the cheapest that is as good."""
    best = max(scores, key=lambda name: scores[name][0])
    equal = [name for name in scores if scores[name][0] >= scores[best][1]]
    cheapest = min(equal, key=lambda name: methods[name]["times a training"])
    text = f"{best}, {what} {Estimate(*scores[best]):.2f}, at {_price(methods[best])}"
    if cheapest == best:
        return text
    value = f"{scores[cheapest][0]:.2f} at {_price(methods[cheapest])}"
    return f"{text}; the cheapest within its interval is {cheapest}, {value}"


def _price(row: Mapping[str, Any]) -> str:
    return f"{row['times a training']:.2f} trainings"
