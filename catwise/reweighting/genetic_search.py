"""The genetic search of Algorithm 1 on pygad: which genes have the highest fitness, within an exact budget?"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pygad

from catwise.core.errors import InputError

__all__ = ["Generation", "Search", "search"]

Evaluate = Callable[
    [np.ndarray], np.ndarray
]  # genes of new candidates (c, g) -> their fitness, (c,) or (c, f)

SILENT = logging.Logger(
    "catwise.reweighting.genetic_search"
)  # pygad prints the traceback of what ``evaluate`` raises before it passes on
SILENT.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Generation:
    """The population after a generation: fitness of its best and worst member, and each key's mean where finite."""

    evaluations: int  # of candidates that were not known before
    best: list[float]
    mean: list[float]
    worst: list[float]


@dataclass(frozen=True)
class Search:
    """A search after a generation: its result so far, and all that is needed to go on from here bit for bit.

    population_cg   the members, 0 <= genes <= 1      genes_cg, fitness_cf    every candidate evaluated, in order
    history         of the first population and of each generation since      rng    the generator's state, JSON-able
    """

    population_cg: np.ndarray
    genes_cg: np.ndarray
    fitness_cf: np.ndarray
    history: list[Generation]
    rng: dict[str, Any]

    @property
    def order(self) -> np.ndarray:
        """The candidates from best to worst; of equal ones the first evaluated comes first."""
        return np.argsort(-_places(self.fitness_cf), kind="stable")


def search(
    evaluate: Evaluate,
    num_genes: int,
    *,
    seed: int,
    generations: int = 20,
    population: int = 24,
    mutation_rate: float = 0.25,
    mutation_strength: float = 0.25,
    start: Search | None = None,
    after: Callable[[Search], None] = lambda _: None,
) -> Search:
    """Evolves ``population`` candidates, uniform in [0, 1]^genes at first, as Table 2 of the paper does.

    A quarter of a generation each is: the elite, unchanged; the elite mutated (each gene with probability
    ``mutation_rate`` moved by N(0, ``mutation_strength``^2), clipped); fresh at random; children of two of the elite,
    each gene from either (crossover rate 1). ``evaluate`` receives all of a generation that is not known yet in one
    call, no candidate ever twice: at most population (1 + 3/4 generations) evaluations, 384 of the paper's.

    Fitness may have several keys, compared in order, larger is better, -inf allowed. pygad selects by a member's place
    in that order: new places for all in each generation, as they depend on who is there.

    ``after`` is called with the state after the first population and each generation; given back as ``start``, with
    the same arguments, the search goes on as if it had never stopped. All randomness is one generator's.
    """
    if population < 8 or population % 4:
        raise InputError(f"population: expected a multiple of 4, 8 or more; got {population}")
    run = _Run(evaluate, mutation_rate, mutation_strength, start or _nothing(num_genes, seed))
    if start is None:
        after(run.record(run.rng.random((population, num_genes))))
    left = generations + 1 - len(run.now.history)
    if left > 0:
        pygad.GA(
            num_generations=left,
            initial_population=run.now.population_cg,
            gene_type=float,
            parent_selection_type="sss",
            num_parents_mating=population // 4,
            keep_elitism=population // 4,
            crossover_type=run.offspring,
            mutation_type=run.mutated,
            fitness_func=lambda _ga, genes_cg, _: np.zeros(
                len(genes_cg)
            ),  # stands in until ``on_fitness``
            fitness_batch_size=population,
            on_fitness=lambda ga, _: _places(run.fitness(ga.population)),
            on_generation=lambda ga: after(run.record(ga.population)),
            suppress_warnings=True,
            logger=SILENT,
        ).run()
    return run.now


def _nothing(num_genes: int, seed: int) -> Search:
    none_cg = np.empty((0, num_genes))
    return Search(
        none_cg, none_cg, none_cg, [], dict(np.random.default_rng(seed).bit_generator.state)
    )


class _Run:
    """What is known of the candidates so far, and the operators that draw new ones."""

    def __init__(self, evaluate: Evaluate, rate: float, strength: float, start: Search) -> None:
        self.evaluate, self.rate, self.strength, self.now = evaluate, rate, strength, start
        self.rng = np.random.default_rng()
        self.rng.bit_generator.state = start.rng
        self.known = dict(zip(map(tuple, start.genes_cg.tolist()), start.fitness_cf, strict=True))

    def offspring(self, elite_cg: np.ndarray, _size: tuple[int, int], _ga: pygad.GA) -> np.ndarray:
        """Copies of the elite, fresh candidates, and children of two different members of the elite."""
        count, genes = elite_cg.shape
        pairs = np.array([self.rng.choice(count, 2, replace=False) for _ in range(count)])
        parent_cg = np.take_along_axis(pairs, self.rng.integers(0, 2, (count, genes)), axis=1)
        return np.concatenate(
            [elite_cg, self.rng.random((count, genes)), elite_cg[parent_cg, np.arange(genes)]]
        )

    def mutated(self, offspring_cg: np.ndarray, _ga: pygad.GA) -> np.ndarray:
        """Only the first third, the copies of the elite, is moved."""
        copies_cg, rest_cg = np.split(offspring_cg, [len(offspring_cg) // 3])
        moves_cg = (self.rng.random(copies_cg.shape) < self.rate) * self.rng.normal(
            0, self.strength, copies_cg.shape
        )
        return np.concatenate([np.clip(copies_cg + moves_cg, 0, 1), rest_cg])

    def fitness(self, population_cg: np.ndarray) -> np.ndarray:
        return np.stack([self.known[genes] for genes in map(tuple, population_cg.tolist())])

    def record(self, population_cg: np.ndarray) -> Search:
        """The state with this population, after evaluating those of its members that are not known."""
        new = [
            genes
            for genes in dict.fromkeys(map(tuple, population_cg.tolist()))
            if genes not in self.known
        ]
        if new:
            found = np.asarray(self.evaluate(np.array(new)), dtype=np.float64)
            if len(found) != len(new) or np.isnan(found).any():
                raise InputError(
                    f"fitness: expected {len(new)} values, none of them NaN; got {found.tolist()}"
                )
            self.known |= zip(new, found.reshape(len(new), -1), strict=True)
        fitness_cf = self.fitness(population_cg)
        places = _places(fitness_cf)
        best, worst = fitness_cf[places.argmax()].tolist(), fitness_cf[places.argmin()].tolist()
        mean = np.ma.masked_invalid(fitness_cf).mean(axis=0).filled(-np.inf).tolist()
        self.now = Search(
            population_cg=population_cg.copy(),
            genes_cg=np.array(list(self.known)),
            fitness_cf=np.stack(list(self.known.values())),
            history=[*self.now.history, Generation(len(new), best, mean, worst)],
            rng=dict(self.rng.bit_generator.state),
        )
        return self.now


def _places(fitness_cf: np.ndarray) -> np.ndarray:
    """Place of each row in lexicographic order, 0 the lowest; equal rows share one."""
    return np.unique(fitness_cf, axis=0, return_inverse=True)[1].reshape(-1)
