"""Hold what a diagnosis found: the fields that its tables, its files and its page are made of."""

from dataclasses import dataclass, field

import numpy as np

from catwise.ceiling.check import CeilingCheck
from catwise.ceiling.verdict import Verdict
from catwise.sharing.questions import Fitted

__all__ = ["Findings"]


@dataclass(frozen=True)
class Findings:
    """Hold the fields of a ``catwise.Diagnosis``, which describes them and adds what it can do."""

    verdict: Verdict
    ceiling: CeilingCheck
    p_nk: np.ndarray = field(repr=False)
    weights_n: np.ndarray = field(repr=False)
    coverage: float
    label_names: tuple[str, ...] = field(repr=False)
    labels_n: np.ndarray = field(repr=False)
    predicted_n: np.ndarray = field(repr=False)
    measure: str = "loss"
    fitted: Fitted | None = field(default=None, repr=False)

    @property
    def detrimental(self) -> np.ndarray:
        """Number the training samples, those that most harm all classes together first."""
        return self.p_nk.sum(axis=1).argsort(kind="stable")
