"""Find weights for one more epoch by Algorithm 1, PARETO-LP-GA."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from catwise.reweighting.candidates import (
    CandidateProgram,
    diversity,
    effective_samples,
    weights_key,
)
from catwise.reweighting.fitness import fitness, relative_change
from catwise.reweighting.genetic_search import Genes, GeneticSearch

__all__ = ["ParetoLpGa", "TrainOneEpoch", "pareto_lp_ga"]

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
) -> ParetoLpGa:
    """Search for thresholds and weights that improve the targets and spare the other classes.

    A genetic algorithm breeds thresholds alpha, a linear program turns them into weights, and one
    epoch of training with the weights rates them.

    ``program`` holds the influence vectors and the target classes, ``before_k`` the accuracy of
    every class that the epoch is compared with: after epoch e, or of the original epoch e + 1 to
    correct a course. The numbers in the comments are the lines of Algorithm 1. Generation 0 is the
    first population, from which ``generations`` more are bred.

    Differs from the paper: fitness has two more keys, which decide where the paper's is equal;
    candidates whose weights agree to six decimals are trained once; and ``keep`` different weights
    are returned, because the best of many noisy measurements is partly the luckiest: measure them
    anew before one is chosen.
    """
    solve_linear_program, train_once = program.solver(), _TrainOnce(train_one_epoch)
    weights_of: dict[Genes, np.ndarray] = {}
    history = []
    # 1: initialize the population alpha^0 randomly
    search = GeneticSearch(len(before_k), population=population, seed=seed)
    # 2: for g in [G] do
    for generation in range(generations + 1):
        if generation > 0:
            # 9: apply selection, crossover, and mutation operations on the population
            search.breed()
        # 3: for each candidate threshold set alpha in the current population do
        candidates = search.unrated()
        # 4: solve the linear program to obtain w
        weights = [solve_linear_program(np.array(alpha_k)) for alpha_k in candidates]
        # 5: theta^(e+1) <- TrainOneEpoch(theta^e, T, w)
        accuracies = train_once(weights)
        # 6: compute the relative change Delta of every class
        changes = [relative_change(before_k, after_k) for after_k in accuracies]
        # 7: compute the fitness F(alpha); 8: end for
        search.rate([fitness(change_k, program.targets) for change_k in changes])
        weights_of.update(zip(candidates, weights, strict=True))
        history.append(_history_row(search, weights_of, train_once.epochs))
    # 10: store the alpha* and w* that maximize the fitness; 11: end for
    best = {weights_key(weights_of[alpha_k]): alpha_k for alpha_k in search.ranked()}
    thresholds = list(best.values())[:keep]
    # 12: return w*, alpha*
    return ParetoLpGa([weights_of[alpha_k] for alpha_k in thresholds], thresholds, history)


class _TrainOnce:
    """Train an epoch with each of the weights, once for weights that agree to six decimals."""

    def __init__(self, train_one_epoch: TrainOneEpoch) -> None:
        self._train_one_epoch = train_one_epoch
        self._accuracy_of: dict[str, np.ndarray] = {}

    @property
    def epochs(self) -> int:
        return len(self._accuracy_of)

    def __call__(self, weights: list[np.ndarray]) -> list[np.ndarray]:
        keys = [weights_key(weights_n) for weights_n in weights]
        new = {
            key: weights_n
            for key, weights_n in zip(keys, weights, strict=True)
            if key not in self._accuracy_of
        }
        accuracies = self._train_one_epoch(list(new.values()))
        self._accuracy_of.update(zip(new, accuracies, strict=True))
        return [self._accuracy_of[key] for key in keys]


def _history_row(
    search: GeneticSearch, weights_of: dict[Genes, np.ndarray], trained: int
) -> dict[str, Any]:
    """Describe the population after a generation: its fitness, and how much its weights differ."""
    population_cn = [weights_of[alpha_k] for alpha_k in search.members()]
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
