"""Weights for one more epoch, by PARETO-LP-GA and its rivals; training itself is a function that is handed in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from catwise.reweighting.fitness import fitness, relative_change
from catwise.reweighting.genetic_search import Search, search
from catwise.reweighting.linear_program import Program, Rule, candidate
from catwise.reweighting.weights import diversity, effective_samples, weights_key

__all__ = ["Found", "Linear", "lp_ga", "sweep", "tradeoff"]


Accuracy = Callable[
    [list[np.ndarray]], list[np.ndarray]
]  # weights (n,) of several candidates -> accuracies (k,)


@dataclass(frozen=True)
class Linear:
    """Line 4 of Algorithm 1 for one P: its right-hand side and its objective; ``trust`` None is the linear program."""

    p_nk: np.ndarray
    targets: list[int]
    rule: Rule
    slack: float
    trust: float | None
    w_max: float

    def solver(self) -> Callable[[np.ndarray], np.ndarray]:
        """Genes (k,) to weights (n,); it starts each solve from the last, so the order of the calls belongs to it."""
        program = Program(self.p_nk, self.targets, self.w_max)
        options: dict[str, Any] = {"rule": self.rule, "slack": self.slack, "eps": self.trust}
        return lambda genes_k: candidate(program, self.p_nk, genes_k, **options).weights_n


@dataclass(frozen=True)
class Found:
    """A search's best few weights, the best first, and a row for each generation."""

    best: list[np.ndarray]
    history: list[dict[str, Any]]


def lp_ga(
    line: Linear,
    accuracy: Accuracy,
    before_k: np.ndarray,
    *,
    generations: int,
    population: int,
    seed: int,
    keep: int,
) -> Found:
    """Algorithm 1. Candidates whose weights agree to six decimals are trained once, a generation in one call.

    ``keep`` different weights come back, because the best of many noisy measurements is partly the luckiest: measure
    them anew before choosing. ``trained`` in the history counts the epochs so far, ``evaluations`` the candidates.
    """
    solve = line.solver()
    weights: dict[tuple[float, ...], np.ndarray] = {}
    known: dict[str, np.ndarray] = {}
    history: list[dict[str, Any]] = []

    def evaluate(genes_cg: np.ndarray) -> np.ndarray:
        solved = [solve(genes_k) for genes_k in genes_cg]
        weights.update(zip(map(tuple, genes_cg.tolist()), solved, strict=True))
        new = {key: w_n for w_n in solved if (key := weights_key(w_n)) not in known}
        known.update(zip(new, accuracy(list(new.values())), strict=True))
        changes = (relative_change(before_k, known[weights_key(w_n)]) for w_n in solved)
        return np.stack([fitness(change_k, line.targets) for change_k in changes])

    def after(state: Search) -> None:
        last = state.history[-1]
        population_cn = np.stack([weights[tuple(genes)] for genes in state.population_cg.tolist()])
        history.append(
            {
                "generation": len(state.history) - 1,
                "evaluations": len(state.genes_cg),
                "trained": len(known),
                "diversity": diversity(population_cn),
                "effective_samples": float(
                    np.mean([effective_samples(w_n) for w_n in population_cn])
                ),
            }
            | {
                f"{name}_{key}": values[place]
                for place, key in enumerate(("fitness", "failure", "gain"))
                for name, values in (
                    ("best", last.best),
                    ("mean", last.mean),
                    ("worst", last.worst),
                )
            }
        )

    found = search(
        evaluate,
        len(before_k),
        seed=seed,
        generations=generations,
        population=population,
        after=after,
    )
    ranked = {
        weights_key(w_n): w_n
        for w_n in (weights[tuple(found.genes_cg[c].tolist())] for c in found.order)
    }
    return Found(list(ranked.values())[:keep], history)


def sweep(line: Linear, points: int) -> list[tuple[float, np.ndarray]]:
    """The weights as all thresholds move together: (gene, weights), the gene from 0 to 1."""
    solve = line.solver()
    return [
        (float(gene), solve(np.full(line.p_nk.shape[1], gene)))
        for gene in np.linspace(0, 1, points)
    ]


def tradeoff(net_sk: np.ndarray, targets: list[int]) -> tuple[float, float]:
    """(mean gain of the targets, gain of the worst other class), of the mean over the seeds."""
    net_k = net_sk.mean(axis=0)
    others = [k for k in range(len(net_k)) if k not in targets]
    return float(net_k[targets].mean()), float(net_k[others].min())
