"""Count what influence vectors cost, in trainings of the model."""

from dataclasses import dataclass

__all__ = ["COUNTED", "Sizes", "trainings"]

COUNTED = "label_counts"  # the kind of P that needs no influence
FITS = {"ekfac": 2, "kfac": 1, "diagonal": 1, "identity": 0}  # passes over pairs


@dataclass(frozen=True)
class Sizes:
    """Hold the sizes on which the cost depends.

    n and m count training and validation samples, ``pairs`` those of sample and label from which
    the factors are fitted, ``runs`` and ``segments`` are those of P, and ``draws`` those of
    crops and flips over which gradients of training samples are averaged, or 1.
    """

    n: int
    m: int
    num_classes: int
    epochs: int
    pairs: int
    segments: int
    runs: int
    draws: int = 1


def trainings(kind: str, sizes: Sizes) -> float:
    """Count the passes forward and backward over a sample that P of a kind needs, in trainings.

    A training makes ``epochs`` of them for each sample, and is counted too, as often as it is run.
    The reverse mode of exact_runs takes about as long as a training for each class, beside the one
    that it goes through. The last layer needs forward passes alone, a third of a pass each, one for
    its curvature and one for P. Eigenvectors and products are left out, so that the number is the
    same on every machine. Counting labels costs nothing.

    >>> sizes = Sizes(n=100, m=50, num_classes=3, epochs=10, pairs=100, segments=2, runs=4)
    >>> [trainings(kind, sizes) for kind in ("identity", "ekfac", "last_layer", "segments_runs")]
    [1.15, 1.35, 1.0833333333333333, 6.6]
    """
    one, gradients = sizes.n * sizes.epochs, sizes.n * sizes.draws
    vectors, fit = gradients + sizes.m, FITS["ekfac"] * sizes.pairs
    if kind == COUNTED:
        passes = 0.0
    elif kind == "tracin":
        passes = one + sizes.epochs * vectors
    elif kind == "exact_runs":
        passes = sizes.runs * one * (1 + sizes.num_classes)
    elif kind.startswith("segments"):
        passes = one + sizes.segments * (fit + gradients) + sizes.m
    elif kind.startswith("last_layer"):
        passes = one + (2 * gradients + sizes.m) / 3
    else:
        passes = one + FITS[kind.partition("_")[0]] * sizes.pairs + vectors
    several = kind.endswith("_runs") and kind != "exact_runs"
    return (sizes.runs if several else 1) * passes / one
