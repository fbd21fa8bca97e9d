"""Find weights for one more epoch by Algorithm 1, PARETO-LP-GA."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from catwise.reweighting.candidates import (
    CandidateProgram,
    diversity,
    effective_samples,
    share_apart,
)
from catwise.reweighting.fitness import fitness, relative_change
from catwise.reweighting.genetic_search import Genes, GeneticSearch

__all__ = ["ParetoLpGa", "TrainOneEpoch", "pareto_lp_ga"]

ROUNDING = 5e-7  # the least ``merge``: by a smaller share of the weight, rounding alone differs

# Weights (n,) of several candidates -> the accuracy (k,) of every class after an epoch with each.
TrainOneEpoch = Callable[[list[np.ndarray]], list[np.ndarray]]


@dataclass(frozen=True)
class ParetoLpGa:
    """Hold the best few weights with their thresholds, best first, and a row for each generation.

    ``trained`` in the history counts the epochs so far, ``evaluations`` the candidates.
    """

    weights: list[np.ndarray]
    thresholds: list[Genes]
    history: list[dict[str, Any]]


def pareto_lp_ga(
    program: CandidateProgram,
    train_one_epoch: TrainOneEpoch,
    before_k: np.ndarray,
    *,
    generations: int = 20,
    population: int = 24,
    seed: int = 0,
    keep: int = 1,
    merge: float = 0.0,
) -> ParetoLpGa:
    """Search for thresholds and weights that improve the targets and spare the other classes.

    A genetic algorithm breeds thresholds alpha, a linear program turns them into weights, and one
    epoch of training with the weights rates them.

    ``program`` is a ``catwise.reweighting.candidates.CandidateProgram``: the influence vectors, the
    target classes, and how thresholds become floors. ``before_k`` is the accuracy of every class
    that the epoch is compared with: after epoch e, or of the original epoch e + 1 to correct a
    course. The numbers in the comments are the lines of Algorithm 1. Generation 0 is the
    first population, from which ``generations`` more are bred.

    Differs from the paper: fitness has two more keys, which decide where the paper's is equal; and
    the ``keep`` best weights are returned, because the best of many noisy measurements is partly
    the luckiest: the caller measures them anew before it chooses. Candidates that differ by at most
    the share ``merge`` of the weight count as one and are trained once: an epoch moves more by
    chance than by so little weight, so that the search would choose by luck. What the program of
    line 4 does otherwise is said in ``catwise.reweighting.linear_program``.

    >>> p_nk = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0], [-3.0, -3.0]])
    >>> program = CandidateProgram(p_nk, targets=[0], rule="printed")
    >>> def train_one_epoch(weights):  # as if P were right
    ...     return [0.5 + 0.1 * (weights_n - 1) @ p_nk for weights_n in weights]
    >>> search = pareto_lp_ga(program, train_one_epoch, np.array([0.5, 0.5]), population=8)
    >>> search.weights[0]
    array([2., 0., 2., 0.])
    """
    solve_linear_program, train_once = program.solver(), _TrainOnce(train_one_epoch, merge)
    number_of: dict[Genes, int] = {}
    history = []
    # 1: initialize the population alpha^0 randomly
    search = GeneticSearch(len(before_k), population=population, seed=seed)
    # 2: for g in [G] do, after the first population
    for generation in range(generations + 1):
        if generation > 0:
            # 9, of the generation before: apply selection, crossover, and mutation
            search.breed()
        # 3: for each candidate threshold set alpha in the current population do
        candidates = search.unrated()
        # 4: solve the linear program to obtain w
        weights = [solve_linear_program(np.array(alpha_k)) for alpha_k in candidates]
        # 5: theta^(e+1) <- TrainOneEpoch(theta^e, T, w)
        numbers = train_once(weights)
        accuracies = [train_once.accuracies[number] for number in numbers]
        # 6: compute the relative change Delta of every class
        changes = [relative_change(before_k, after_k) for after_k in accuracies]
        # 7: compute the fitness F(alpha), the first of three keys; 8: end for
        search.rate([fitness(change_k, program.targets) for change_k in changes])
        number_of.update(zip(candidates, numbers, strict=True))
        members = [train_once.weights[number_of[alpha_k]] for alpha_k in search.members()]
        history.append(_history_row(search, members, len(train_once.weights)))
    # 10: store the alpha* and w* that maximize the fitness; 11: end for
    best: dict[int, Genes] = {}
    for alpha_k in search.ranked():
        best.setdefault(number_of[alpha_k], alpha_k)
    thresholds = list(best.values())[:keep]
    # 12: return w*, alpha*
    return ParetoLpGa([train_once.weights[number] for number in best][:keep], thresholds, history)


class _TrainOnce:
    """Train an epoch with each of the weights, once for those that are nearly the same.

    Epochs are numbered in the order in which they were trained; ``weights`` and ``accuracies`` hold
    what they were trained with and what came of it, by this number.
    """

    def __init__(self, train_one_epoch: TrainOneEpoch, merge: float) -> None:
        self._train_one_epoch, self._merge = train_one_epoch, max(merge, ROUNDING)
        self.weights: list[np.ndarray] = []
        self.accuracies: list[np.ndarray] = []

    def __call__(self, weights: list[np.ndarray]) -> list[int]:
        """Return the number of each, after those that are new were trained in one call."""
        numbers = [self._number(weights_n) for weights_n in weights]
        self.accuracies += self._train_one_epoch(self.weights[len(self.accuracies) :])
        return numbers

    def _number(self, weights_n: np.ndarray) -> int:
        shares = [share_apart(weights_n, other_n) for other_n in self.weights]
        if min(shares, default=np.inf) <= self._merge:
            return int(np.argmin(shares))
        self.weights.append(weights_n)
        return len(self.weights) - 1


def _history_row(
    search: GeneticSearch, population_cn: list[np.ndarray], trained: int
) -> dict[str, Any]:
    """Describe the population after a generation: its fitness, and how much its weights differ."""
    row: dict[str, Any] = {
        "generation": search.generation,
        "evaluations": search.evaluations,
        "trained": trained,
        "diversity": diversity(population_cn),
        "effective_samples": float(np.mean([effective_samples(w_n) for w_n in population_cn])),
    }
    for key, best, mean, worst in zip(
        ("fitness", "failure", "gain"), *search.spread(), strict=True
    ):
        row |= {f"best_{key}": best, f"mean_{key}": mean, f"worst_{key}": worst}
    return row
