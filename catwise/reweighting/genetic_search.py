"""Breed candidates by the genetic algorithm of Algorithm 1, lines 1 and 9, on pygad."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from catwise.core.errors import InputError, optional_packages

if TYPE_CHECKING:
    import pygad

__all__ = ["Genes", "GeneticSearch", "most_evaluations"]

Genes = tuple[float, ...]  # of one candidate, each from 0 to 1

MUTATION_RATE = MUTATION_STRENGTH = 0.25  # Table 2 of the paper

# pygad prints the traceback of what a callback raises before it passes it on.
SILENT = logging.Logger("catwise.reweighting.genetic_search")
SILENT.addHandler(logging.NullHandler())


def most_evaluations(generations: int, population: int) -> int:
    """Count the candidates of a search in which none is bred twice: 384 with the paper's Table 2.

    Differs from the paper: Algorithm 1 rates G populations, the first among them, and here the
    first is rated too and G are bred from it.

    >>> most_evaluations(generations=20, population=24)
    384
    """
    return population + generations * (population * 3 // 4)


class GeneticSearch:
    """Hold a population of candidates with their ratings, and breed the next generation.

    The first population is uniform in [0, 1]^genes; the paper says "randomly". By its Table 2, a
    quarter of each later generation is

    - the elite, unchanged;
    - the elite mutated: each gene with probability 0.25 moved by N(0, 0.25^2), clipped;
    - fresh at random;
    - children of two different members of the elite, each gene from either (crossover rate 1).

    Use: ``rate(fitness of unrated())``, then ``breed()``, and so on. No candidate is unrated twice.

    A rating is one number or several keys, compared in order; larger is better, and -inf is
    allowed. pygad selects by a member's rank in that order, which is new in each generation, as it
    depends on who is there. All randomness is one generator's, so the same seed and ratings give
    the same candidates.
    """

    def __init__(self, genes: int, *, population: int = 24, seed: int = 0) -> None:
        if population < 8 or population % 4:
            raise InputError(f"population: expected a multiple of 4, 8 or more; got {population}")
        self.rng = np.random.default_rng(seed)
        self.population_cg = self.rng.random((population, genes))
        self.ratings: dict[Genes, np.ndarray] = {}
        self.generation = 0

    @property
    def evaluations(self) -> int:
        """Return the number of candidates that were rated so far."""
        return len(self.ratings)

    def members(self) -> list[Genes]:
        """Return the genes of each member of the population."""
        return list(map(tuple, self.population_cg.tolist()))

    def unrated(self) -> list[Genes]:
        """Return the members that have no rating yet, each once."""
        return [genes for genes in dict.fromkeys(self.members()) if genes not in self.ratings]

    def rate(self, fitness_c: Sequence[ArrayLike]) -> None:
        """Give the members that were ``unrated`` their fitness, in that order."""
        unrated = self.unrated()
        if len(fitness_c) != len(unrated) or any(np.isnan(keys).any() for keys in fitness_c):
            raise InputError(
                f"fitness: expected {len(unrated)} values, none of them NaN; got {list(fitness_c)}"
            )
        for genes, keys in zip(unrated, fitness_c, strict=True):
            self.ratings[genes] = np.atleast_1d(np.asarray(keys, dtype=np.float64))

    def ranked(self) -> list[Genes]:
        """Return all candidates from best to worst; of equal ones the first rated comes first."""
        ranks = _ranks(np.stack(list(self.ratings.values())))
        candidates = list(self.ratings)
        return [candidates[c] for c in np.argsort(-ranks, kind="stable")]

    def spread(self) -> tuple[list[float], list[float], list[float]]:
        """Return the keys of the population's best member, each key's mean, and the worst's keys.

        The mean is over the members for which the key is finite.
        """
        fitness_cf = self._fitness()
        ranks = _ranks(fitness_cf)
        mean_f = np.ma.masked_invalid(fitness_cf).mean(axis=0).filled(-np.inf)
        best_f, worst_f = fitness_cf[ranks.argmax()], fitness_cf[ranks.argmin()]
        return best_f.tolist(), mean_f.tolist(), worst_f.tolist()

    def breed(self) -> None:
        """Replace the population, all of it rated, by the next generation."""
        with optional_packages("pareto_lp_ga", "pipeline"):
            import pygad

        quarter, ranks = len(self.population_cg) // 4, _ranks(self._fitness())
        algorithm = pygad.GA(
            num_generations=1,
            initial_population=self.population_cg,
            gene_type=float,
            parent_selection_type="sss",
            num_parents_mating=quarter,
            keep_elitism=quarter,
            crossover_type=self._offspring,
            mutation_type=self._mutated,
            # pygad is given ranks for the fitness, and nothing of the next generation, which is not
            # rated yet.
            fitness_func=lambda _algorithm, genes_cg, _: np.zeros(len(genes_cg)),
            fitness_batch_size=len(self.population_cg),
            on_fitness=lambda _algorithm, _: ranks,
            suppress_warnings=True,
            logger=SILENT,
        )
        algorithm.run()
        self.population_cg = algorithm.population
        self.generation += 1

    def _fitness(self) -> np.ndarray:
        return np.stack([self.ratings[genes] for genes in self.members()])

    def _offspring(self, elite_cg: np.ndarray, _size: tuple[int, int], _: "pygad.GA") -> np.ndarray:
        """Return copies of the elite, fresh candidates, and children of two of the elite."""
        count, genes = elite_cg.shape
        pairs = np.array([self.rng.choice(count, 2, replace=False) for _ in range(count)])
        parent_cg = np.take_along_axis(pairs, self.rng.integers(0, 2, (count, genes)), axis=1)
        fresh_cg = self.rng.random((count, genes))
        return np.concatenate([elite_cg, fresh_cg, elite_cg[parent_cg, np.arange(genes)]])

    def _mutated(self, offspring_cg: np.ndarray, _: "pygad.GA") -> np.ndarray:
        """Move the first third of the offspring alone, the copies of the elite."""
        copies_cg, rest_cg = np.split(offspring_cg, [len(offspring_cg) // 3])
        moved_cg = self.rng.random(copies_cg.shape) < MUTATION_RATE
        moves_cg = moved_cg * self.rng.normal(0, MUTATION_STRENGTH, copies_cg.shape)
        return np.concatenate([np.clip(copies_cg + moves_cg, 0, 1), rest_cg])


def _ranks(fitness_cf: np.ndarray) -> np.ndarray:
    """Return the rank of each row in lexicographic order, 0 the lowest; equal rows share one."""
    return np.unique(fitness_cf, axis=0, return_inverse=True)[1].reshape(-1)
