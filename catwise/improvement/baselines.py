"""Make the weights that a path to the ceiling is compared with.

Each function returns weights (n,) with mean 1, or the mask of what is kept, for ``kept_weights``.
Two are no weighting: focal loss (``catwise.core.losses.focal_loss``), and ``logit_adjustment``,
which needs no training of its own.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np

from catwise.core.errors import InputError
from catwise.improvement.proposals import Evidence, Frequency
from catwise.reweighting.candidates import CandidateProgram
from catwise.reweighting.genetic_search import GeneticSearch

__all__ = [
    "CLEANLAB",
    "cleanlab_kept",
    "effective_number",
    "estimated_flips",
    "inverse_frequency",
    "logit_adjustment",
    "lowest_margins_kept",
    "program_at_random",
    "searched_class_weights",
]

CLEANLAB = find_spec("cleanlab") is not None  # an optional package


def inverse_frequency(labels_n: np.ndarray, power: float = 1.0) -> np.ndarray:
    """Compute w_i ~ n_k^-power, with n_k the samples of the class of i.

    >>> inverse_frequency(np.array([0, 0, 0, 1])).round(3).tolist()
    [0.667, 0.667, 0.667, 2.0]
    """
    ones_n = np.ones(len(labels_n))
    return Frequency(power)(Evidence(np.empty((len(labels_n), 0)), labels_n, ones_n))


def effective_number(labels_n: np.ndarray, beta: float = 0.999) -> np.ndarray:
    """Compute w_i ~ (1 - beta) / (1 - beta^n_k), by the effective number of samples of a class.

    Source: Cui et al. 2019, arXiv 1901.05555, whose beta are 0.9 to 0.9999.

    >>> effective_number(np.array([0, 0, 0, 1]), beta=0.5).round(3).tolist()
    [0.842, 0.842, 0.842, 1.474]
    """
    counts_k = np.bincount(labels_n)
    weights_n = ((1 - beta) / (1 - beta ** np.maximum(counts_k, 1)))[labels_n]
    return weights_n / weights_n.mean()


def logit_adjustment(labels_n: np.ndarray) -> np.ndarray:
    """Compute what to add to the logits of plain training, - log(n_k / n): (k,).

    The model then answers as if all classes were equally frequent. A class without a sample counts
    as one sample. Source: Menon et al. 2021, arXiv 2007.07314, equation 9 with tau = 1.

    >>> logit_adjustment(np.array([0, 0, 0, 1])).round(3).tolist()
    [0.288, 1.386]
    """
    return -np.log(np.maximum(np.bincount(labels_n), 1) / len(labels_n))


def estimated_flips(probability_nk: np.ndarray, labels_n: np.ndarray) -> int:
    """Count the samples that confident learning takes for wrong labels, without cleanlab.

    A sample is counted if its probability of another class j is at least the mean probability of j
    over the samples labelled j, and if that class is its most probable one. The probabilities must
    be of models that were not trained on the sample. Source: Northcutt et al. 2021, arXiv
    1911.00068, the off-diagonal of its confident joint, without its calibration.
    """
    threshold_k = np.array(
        [probability_nk[labels_n == k, k].mean() for k in range(probability_nk.shape[1])]
    )
    above_nk = probability_nk >= threshold_k
    likely_n = np.where(above_nk, probability_nk, -1).argmax(axis=1)
    return int((above_nk.any(axis=1) & (likely_n != labels_n)).sum())


def lowest_margins_kept(margin_n: np.ndarray, count: int) -> np.ndarray:
    """Leave out the ``count`` samples of lowest margin, z_y - max of the other logits.

    >>> lowest_margins_kept(np.array([3.0, -1.0, 2.0]), 1).tolist()
    [True, False, True]
    """
    kept_n = np.ones(len(margin_n), dtype=bool)
    kept_n[np.argsort(margin_n, kind="stable")[:count]] = False
    return kept_n


def cleanlab_kept(probability_nk: np.ndarray, labels_n: np.ndarray) -> np.ndarray:
    """Leave out what cleanlab's ``find_label_issues`` takes for wrong labels, by its own defaults.

    Raises InputError where the package cleanlab is not installed.
    """
    if not CLEANLAB:
        raise InputError("cleanlab: expected this package; got none; pip install cleanlab")
    from cleanlab.filter import find_label_issues

    # its default forks this process, threads and all, for what takes a tenth of a second
    return np.logical_not(find_label_issues(labels_n, probability_nk, n_jobs=1))


def program_at_random(
    p_nk: np.ndarray, targets: Sequence[int], rng: np.random.Generator, w_max: float = 2.0
) -> np.ndarray:
    """Solve Algorithm 1, line 4, once, with thresholds drawn at random: the program without a GA.

    The thresholds are uniform in [0, 1], as in the first population of ``GeneticSearch``. Differs
    from the paper: the floors are ``beta_floors``, because at the end of a training, where P is
    taken here, the printed ones hardly act.
    """
    program = CandidateProgram(p_nk, list(targets), "beta", w_max=w_max)
    return program.solver()(rng.random(size=p_nk.shape[1:]))


def searched_class_weights(
    labels_n: np.ndarray,
    rate: Callable[[list[np.ndarray]], list[float]],
    *,
    generations: int,
    population: int,
    seed: int,
    w_max: float = 2.0,
) -> np.ndarray:
    """Search one weight for each class by the genetic algorithm: the GA without a program.

    ``rate`` trains with each of the weights and returns a fitness, larger being better. A gene g
    gives its class w_max g, before the mean of the weights is made 1.
    """
    search = GeneticSearch(int(labels_n.max()) + 1, population=population, seed=seed)

    def weights(genes: Sequence[float]) -> np.ndarray:
        weights_n = w_max * np.maximum(np.asarray(genes), 1e-3)[labels_n]
        return weights_n / weights_n.mean()

    for generation in range(generations + 1):
        if generation:
            search.breed()
        search.rate(rate([weights(genes) for genes in search.unrated()]))
    return weights(search.ranked()[0])
