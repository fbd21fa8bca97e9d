"""Make the rows of Table 1, and what it lacks: the effect net of a control, with intervals."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from catwise.core.errors import InputError
from catwise.core.statistics import student_half_width
from catwise.reweighting.fitness import relative_change

__all__ = [
    "ALL_ONES",
    "BEST_SEEDS",
    "ORACLE",
    "REFRESH",
    "Method",
    "Net",
    "Printed",
    "class_rows",
    "net_effect",
    "printed_rows",
    "refresh_rows",
    "summary_row",
    "tradeoff_row",
]


@dataclass(frozen=True)
class Method:
    """Name a method to find weights, by its parts; a part that does not apply is None.

    family      all_ones: the control; refresh: batch norm's statistics taken again, and no step;
                lp_ga: Algorithm 1; direction: the joint direction; oracle: no flipped label;
                best_seeds: the control under the seeds that served it best
    anchor      whether P is taken at the start of the extra epoch, as printed, at the end of the
                plain one, or unrolled through its steps
    rule        of the floors of the linear program: as printed, or beta
    program     linear as printed, or quadratic
    filter      how the curvature acts: damped, horizon for what descent can do within the epoch,
                or exact, as it does in the steps of an unrolled epoch
    query       what of the validation samples the influence is on
    shuffled    1 for the same weights on other samples: a control of the method, not a method
    """

    family: Literal["all_ones", "refresh", "lp_ga", "direction", "oracle", "best_seeds"]
    anchor: Literal["start", "end", "unrolled"] | None = None
    rule: Literal["printed", "beta"] | None = None
    program: Literal["linear", "quadratic"] | None = None
    filter: Literal["damped", "horizon", "exact"] | None = None
    query: Literal["loss", "probability", "margin"] | None = None
    shuffled: int = 0

    @property
    def key(self) -> str:
        """Return the unique name under which results are kept; nobody takes it apart.

        >>> Method("lp_ga", anchor="start", rule="printed", program="linear").key
        'lp_ga.printed.linear.start'
        """
        parts = [self.family, self.rule, self.program, self.query, self.filter, self.anchor]
        key = ".".join(part for part in parts if part)
        return f"shuffled.{key}" if self.shuffled else key

    @property
    def columns(self) -> dict[str, str | int | None]:
        """Return the cells that name the method in every table."""
        return {"method": self.key, **asdict(self)}


ALL_ONES, REFRESH = Method("all_ones"), Method("refresh")
ORACLE, BEST_SEEDS = Method("oracle"), Method("best_seeds")


@dataclass(frozen=True)
class Net:
    """Hold the mean over seeds of treated minus control and its interval, class by class."""

    mean_k: np.ndarray
    low_k: np.ndarray
    high_k: np.ndarray

    @property
    def reading_k(self) -> np.ndarray:
        """Return 1 where the interval lies above 0 (better), -1 where below (worse), else 0."""
        return (self.low_k > 0).astype(int) - (self.high_k < 0).astype(int)


def net_effect(treated_sk: np.ndarray, control_sk: np.ndarray) -> Net:
    """Compute the differences paired by seed s with Student's interval, class by class.

    Larger is better: of losses, hand in the negative. The interval of a single seed is infinite.
    Raises InputError without a seed.

    Differs from the paper: Table 1 has no such control. It compares Direct Improvement with the
    epoch before, and one more epoch moves every class by itself, and Course Correction with the
    original epoch.
    """
    differences_sk = np.asarray(treated_sk, dtype=np.float64) - np.asarray(
        control_sk, dtype=np.float64
    )
    if differences_sk.ndim != 2 or not len(differences_sk):
        raise InputError(f"net effect: expected seeds x classes; got shape {differences_sk.shape}")
    mean_k, half_k = differences_sk.mean(axis=0), student_half_width(differences_sk)
    return Net(mean_k, mean_k - half_k, mean_k + half_k)


def class_rows(
    state: dict[str, Any],
    classes: list[str],
    targets: list[int],
    means: dict[str, np.ndarray | None],
    net: Net,
) -> list[dict[str, Any]]:
    """Make a row for each class: ``state``, ``means`` over the seeds, and the net gain."""
    return [
        {
            **state,
            "class": name,
            "target": int(k in targets),
            **{key: None if values is None else values[k] for key, values in means.items()},
            "gain": net.mean_k[k],
            "low": net.low_k[k],
            "high": net.high_k[k],
            "reading": int(net.reading_k[k]),
        }
        for k, name in enumerate(classes)
    ]


def summary_row(net: Net, targets: list[int]) -> dict[str, Any]:
    """Count the classes that are significantly better and worse, and average the net gains."""
    return {
        "targets_gain": net.mean_k[targets].mean(),
        "worst_gain": net.mean_k.min(),
        "mean_gain": net.mean_k.mean(),
        "better": int((net.reading_k == 1).sum()),
        "worse": int((net.reading_k == -1).sum()),
    }


@dataclass(frozen=True)
class Printed:
    """Hold the accuracies of Table 1, with those of the all-ones epoch that it lacks.

    ``original_k`` is the epoch that a course correction takes again.
    """

    before_k: np.ndarray
    original_k: np.ndarray | None
    all_ones_k: np.ndarray
    after_k: np.ndarray


def printed_rows(classes: list[str], targets: list[int], printed: Printed) -> list[dict[str, Any]]:
    """Make Table 1 as it is printed, a row for each class.

    ``change`` = 100 (after - compared) / compared, in percent, where ``compared`` is the original
    epoch if there is one, else the epoch before.
    """
    before_k, original_k = printed.before_k, printed.original_k
    compared_k = before_k if original_k is None else original_k
    change_k = 100 * relative_change(compared_k, printed.after_k)
    return [
        {
            "class": name,
            "target": int(k in targets),
            "before": before_k[k],
            "original": None if original_k is None else original_k[k],
            "all_ones": printed.all_ones_k[k],
            "after": printed.after_k[k],
            "change": float(change_k[k]),
        }
        for k, name in enumerate(classes)
    ]


def refresh_rows(
    state: dict[str, Any],
    classes: list[str],
    targets: list[int],
    before_k: np.ndarray,
    after_sk: np.ndarray,
    seeds: Sequence[int],
) -> list[dict[str, Any]]:
    """Make a row for each seed and class: the value before, of the epoch compared with, and after.

    Unlike the net gains, these are what Table 1 as printed compares, before any control.
    """
    return [
        {
            **state,
            "seed": seed,
            "class": name,
            "target": int(k in targets),
            "before": before_k[k],
            "after": after_k[k],
        }
        for seed, after_k in zip(seeds, after_sk, strict=True)
        for k, name in enumerate(classes)
    ]


def tradeoff_row(net_sk: np.ndarray, targets: list[int]) -> dict[str, float]:
    """Average the net gains over the seeds: of the targets, and of the worst other class."""
    net_k = net_sk.mean(axis=0)
    others = [k for k in range(len(net_k)) if k not in targets]
    return {"target_gain": float(net_k[targets].mean()), "worst_other": float(net_k[others].min())}
