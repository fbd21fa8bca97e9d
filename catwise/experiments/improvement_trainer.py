"""Turn weights into what the path and the baselines of ``improve`` ask for, by jobs that are kept.

Seeds are apart: P is averaged over the first ``runs``, the next ``seeds`` are judged on validation
B, and the ``fresh`` ones of the table are the only ones whose models see the test split.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import get_args

import numpy as np
import torch
from scipy.special import softmax

from catwise.config.schema import Baseline, Improve
from catwise.experiments.weighted_training import INFLUENCE, Run, WeightedJob
from catwise.improvement import baselines
from catwise.improvement.proposals import Evidence, Proposal, named_proposals, without
from catwise.influence.trajectory import average
from catwise.reweighting.controls import kept_weights
from catwise.training.evaluate import margins

__all__ = ["FOCAL", "PRUNINGS", "Trainer", "by_class"]

FRESH = 1000  # the first seed of the table
SEARCH = 2000  # the seed of every candidate of a search
FOCAL = "focal"  # a loss
PRUNINGS = ("lowest_margins", "cleanlab")  # proposals that leave out what looks like a wrong label


class Trainer:
    """Turn weights into what the path and the baselines ask for, by jobs that are kept."""

    def __init__(
        self,
        run: Run,
        section: Improve,
        labels: dict[str, np.ndarray],
        has_epochs: bool = True,
    ) -> None:
        self.run, self.section, self.labels = run, section, labels
        self.has_epochs = has_epochs
        self.round = 0

    def right(self, candidates: Sequence[np.ndarray], seeds: range, label: str) -> list[np.ndarray]:
        """Tell what is right on validation B, (s, m) for each candidate."""
        jobs = [WeightedJob("validation_b", w_n, seed) for w_n in candidates for seed in seeds]
        answers = [outputs.logits_mk.argmax(1) for outputs in self.run(jobs, label)]
        right = np.array(answers).reshape(len(candidates), len(seeds), -1)
        return list(right == self.labels["validation_b"])

    def answers(self, candidates: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Tell what is right on validation B under the seeds that judge, (s, m) for each."""
        runs, seeds = self.section.runs, self.section.seeds
        return self.right(candidates, range(runs, runs + seeds), f"round {self.round}")

    def influence(self, weights_n: np.ndarray) -> dict[str, np.ndarray]:
        """Average P by bins over the runs, for each kind."""
        self.round += 1
        outputs = self.run(self._influence_jobs(weights_n), f"influence {self.round}")
        kinds = self.section.influence
        return {kind: average([one.by_kind[kind] for one in outputs]) for kind in kinds}

    def test(self, weights_n: np.ndarray, loss: str = "cross_entropy") -> list[WeightedJob]:
        fresh = range(FRESH, FRESH + self.section.fresh)
        return [WeightedJob("test", weights_n, seed, loss) for seed in fresh]

    def class_accuracy(self, candidates: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Measure the classes on validation B after one training of each candidate, (k,)."""
        if not len(candidates):
            return []
        right = self.right(candidates, range(SEARCH, SEARCH + 1), "search")
        return [by_class(right_sm, self.labels["validation_b"])[0] for right_sm in right]

    @property
    def search_budget(self) -> dict[str, int]:
        """Return the size and the seed of a genetic search, as its arguments."""
        return {
            "generations": self.section.generations,
            "population": self.section.population,
            "seed": 0,
        }

    def proposals(self) -> dict[str, Proposal]:
        """Return the proposals that the section names; a pruning goes by the estimated flips."""
        names, sizes = self.section.proposals, self.section.sizes
        others = self.section.influence[1:]
        named = [name for name in names if name not in PRUNINGS]
        proposals = named_proposals(named, sizes, others)
        return proposals | {
            name: _pruned(self.pruning_weights(name)) for name in names if name in PRUNINGS
        }

    def baseline_names(self) -> list[str]:
        """Name the baselines that the section asks for, and that can be had here.

        A loss of one's own needs a model with epochs, and cleanlab its package.
        """
        names = get_args(Baseline) if self.section.baselines == "all" else self.section.baselines
        missing = {"cleanlab": not baselines.CLEANLAB, FOCAL: not self.has_epochs}
        return [name for name in names if not missing.get(name)]

    def pruning_weights(self, name: str, flips: int = 0) -> np.ndarray:
        """Return weights without the samples whose labels look wrong: (n,).

        As many of the lowest margins are left out as there are ``flips``, or are estimated where it
        is 0. Raises InputError for cleanlab without its package.
        """
        labels_n = self.labels["train"]
        if name == "cleanlab":
            kept_n = baselines.cleanlab_kept(self.held_out_nk, labels_n)
        else:
            count = flips or baselines.estimated_flips(self.held_out_nk, labels_n)
            kept_n = baselines.lowest_margins_kept(self.margin_n, count)
        return kept_weights(kept_n)

    @cached_property
    def margin_n(self) -> np.ndarray:
        """Return the mean margin of each training sample over the plain trainings of P: (n,)."""
        labels = torch.tensor(self.labels["train"])
        outputs = self.run(self._influence_jobs(np.ones(len(labels))), "margins")
        logits = [torch.tensor(one.logits_mk, dtype=torch.float64) for one in outputs]
        return np.mean([margins(logits_nk, labels).numpy() for logits_nk in logits], axis=0)

    @cached_property
    def held_out_nk(self) -> np.ndarray:
        """Predict every training sample by a model that did not see it: probabilities (n, k)."""
        labels_n, folds = self.labels["train"], self.section.folds
        fold_n = np.random.default_rng(0).permutation(len(labels_n)) % folds
        parts = [kept_weights(fold_n != fold) for fold in range(folds)]
        outputs = self.run([WeightedJob("train", weights_n, 0) for weights_n in parts], "folds")
        probability_fnk = softmax(
            np.stack([one.logits_mk for one in outputs]).astype(float), axis=-1
        )
        return probability_fnk[fold_n, np.arange(len(labels_n))]

    def _influence_jobs(self, weights_n: np.ndarray) -> list[WeightedJob]:
        return [WeightedJob(INFLUENCE, weights_n, seed) for seed in range(self.section.runs)]


def _pruned(pruning_n: np.ndarray) -> Proposal:
    """Propose the weights of the round, without what has no weight in this pruning."""

    def proposal(evidence: Evidence) -> np.ndarray:
        return without(evidence.weights_n, pruning_n == 0)

    return proposal


def by_class(values_sm: np.ndarray, labels_m: np.ndarray) -> np.ndarray:
    """Average over the samples of each class: (s, k)."""
    classes = range(int(labels_m.max()) + 1)
    return np.stack([values_sm[:, labels_m == k].mean(axis=1) for k in classes], axis=1)
