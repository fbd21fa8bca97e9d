"""Hold what a diagnosis found: the fields that its tables, its files and its page are made of."""

from dataclasses import dataclass, field

import numpy as np

from catwise.ceiling.check import CeilingCheck
from catwise.ceiling.verdict import Verdict
from catwise.sharing.questions import Fitted

__all__ = ["HALVES", "Findings"]

HALVES = "retrained halves (halves=)"  # what a reader of a diagnosis can have more of


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
    accuracy_k: np.ndarray | None = field(default=None, repr=False)

    def __str__(self) -> str:
        lines = [f"verdict: {self.verdict}"]
        lines.append(f"{self.verdict.scope} {self.verdict.remedy_with(HALVES)}")
        if self.verdict.answer == "room":  # at a ceiling the verdict names them
            lines.append(f"most in each other's way: {' and '.join(self.ceiling.blocking)}")
            if self.alike > self.ceiling.headroom.value / 2:
                lines.append(
                    f"{100 * self.alike:.3g} % of the influence mass comes from more weight on all"
                    " samples alike: first train longer, or regularise less"
                )
        if self.accuracy_k is not None:
            mean, worst = self.accuracy_k.mean(), int(self.accuracy_k.argmin())
            name, least = self.ceiling.classes[worst], self.accuracy_k[worst]
            lines.append(f"query accuracy: mean {mean:.3f}, worst on {name} {least:.3f}")
        lines.append(f"covered by the influence: {100 * self.coverage:.3g} % of the parameters")
        names = self.label_names
        samples = [
            f"{i} ({names[self.labels_n[i]]}, predicted {names[self.predicted_n[i]]})"
            for i in self.detrimental[:5].tolist()
        ]
        lines.append(f"most detrimental training samples: {', '.join(samples)}")
        return "\n".join(lines)

    @property
    def alike(self) -> float:
        """Compute what all classes gain by more weight on all samples alike, as a headroom.

        It is min_k sum_n P[n, k] / sum_n |P[n, k]|, and about 0 where training has converged.
        """
        return float((self.p_nk.sum(axis=0) / np.abs(self.p_nk).sum(axis=0)).min())

    @property
    def detrimental(self) -> np.ndarray:
        """Number the training samples, those that most harm all classes together first."""
        return self.p_nk.sum(axis=1).argsort(kind="stable")
