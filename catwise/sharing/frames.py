"""Write a diagnosis as tables: a row for each training sample."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from catwise.core.errors import InputError, optional_packages
from catwise.sharing.findings import Findings

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["INFLUENCE", "label_issues", "not_judged", "to_frame"]

INFLUENCE = "influence on "  # and the name of a class: a column


def to_frame(diagnosis: Findings, running_margin: ArrayLike | None) -> "pd.DataFrame":
    """Make the table that ``Diagnosis.to_frame`` describes."""
    with optional_packages("to_frame"):
        import pandas as pd
    names = np.array(diagnosis.label_names, dtype=object)
    columns = {"sample": np.arange(len(diagnosis.p_nk)), "label": names[diagnosis.labels_n]}
    columns |= {"predicted": names[diagnosis.predicted_n]}
    columns |= {
        f"{INFLUENCE}{name}": influence_n
        for name, influence_n in zip(diagnosis.ceiling.classes, diagnosis.p_nk.T, strict=True)
    }
    columns["weight"] = diagnosis.weights_n
    if running_margin is not None:
        columns["running_margin"] = _as_margin(running_margin, len(diagnosis.p_nk))
    return pd.DataFrame(columns)


def label_issues(diagnosis: Findings, running_margin: ArrayLike | None) -> "pd.DataFrame":
    """Make the table that ``Diagnosis.label_issues`` describes."""
    with optional_packages("label_issues"):
        import pandas as pd
    n, labels_n = len(diagnosis.p_nk), diagnosis.labels_n
    if running_margin is None:  # many good samples harm a little: the model must disagree as well
        score_n = diagnosis.p_nk.sum(axis=1)
        is_issue_n = (score_n < 0) & (diagnosis.predicted_n != labels_n)
    else:
        score_n = _as_margin(running_margin, n)
        is_issue_n = (score_n < 0) & ~np.isin(labels_n, _unlearnt(score_n, labels_n))
        if words := not_judged(score_n, labels_n, diagnosis.label_names):
            warnings.warn(words, stacklevel=3)
    names = np.array(diagnosis.label_names, dtype=object)
    return pd.DataFrame(
        {
            "is_label_issue": is_issue_n,
            "label_quality": np.searchsorted(np.sort(score_n), score_n) / max(n - 1, 1),
            "given_label": names[labels_n],
            "predicted_label": names[diagnosis.predicted_n],
        }
    )


def not_judged(margin_n: np.ndarray, labels_n: np.ndarray, names: Sequence[str]) -> str:
    """Say which classes the model has not learnt, so that a low margin tells nothing there.

    >>> not_judged(np.array([-1.0, -2.0, 3.0]), np.array([0, 0, 1]), ["rare", "frequent"])
    'not learnt, so that its labels cannot be judged: rare'
    """
    unlearnt = [names[label] for label in _unlearnt(margin_n, labels_n)]
    if not unlearnt:
        return ""
    its = "its" if len(unlearnt) == 1 else "their"
    return f"not learnt, so that {its} labels cannot be judged: {', '.join(unlearnt)}"


def _unlearnt(margin_n: np.ndarray, labels_n: np.ndarray) -> list[int]:
    """Return the labels of which half the samples or more are taken for another."""
    return [
        label
        for label in np.unique(labels_n).tolist()
        if np.median(margin_n[labels_n == label]) <= 0
    ]


def _as_margin(running_margin: ArrayLike, n: int) -> np.ndarray:
    margin_n = np.asarray(running_margin, dtype=np.float64)
    if margin_n.shape != (n,) or not np.isfinite(margin_n).all():
        raise InputError(
            f"running_margin: expected a finite number for each of {n} training samples; "
            f"got shape {margin_n.shape} with {int((~np.isfinite(margin_n)).sum())} not finite"
        )
    return margin_n
