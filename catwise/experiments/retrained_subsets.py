"""Train on random subsets of the training samples: the truth that influence is scored by."""

import numpy as np

from catwise.config.schema import DataSet, Subsets
from catwise.core.progress import progress
from catwise.experiments.retraining import retrained
from catwise.fidelity import subsets

__all__ = ["no_subsets", "retrained_subsets"]


def retrained_subsets(
    dataset: str, parameters: DataSet, section: Subsets, n: int
) -> dict[str, np.ndarray]:
    """Train on random halves, without random tenths, and on all samples, under the same seeds.

    The arrays are those of subsets.npz:

    kept_hn       which samples each subset keeps
    design_h      how it was drawn: a number of ``subsets.DESIGNS``
    loss_hsk      loss of each class on validation A, by subset, seed and class; ``accuracy_hsk``
    loss_sk       the same of the whole training set; ``accuracy_sk``
    """
    rng = np.random.default_rng
    halves_hn = subsets.random_halves(n, section.halves, rng(section.seed))
    removals_hn = subsets.random_removals(n, section.removals, rng((section.seed, 1)))
    kept_hn = np.concatenate([halves_hn, removals_hn])
    sets = [np.ones(n, dtype=bool), *kept_hn]
    jobs = [(kept_n, seed) for kept_n in sets for seed in range(section.seeds)]
    results = retrained(
        dataset,
        parameters.device,
        parameters.threads,
        parameters.train,
        "validation_a",
        jobs,
        "subsets",
        weighted=section.left_out == "weights",
    )
    shown = progress(results, f"subsets {dataset}", len(jobs))
    accuracy_jk, loss_jk = (np.array(part) for part in zip(*shown, strict=True))
    shape = (len(sets), section.seeds, -1)
    accuracy_hsk, loss_hsk = accuracy_jk.reshape(shape), loss_jk.reshape(shape)
    return {
        "kept_hn": kept_hn,
        "design_h": np.repeat([subsets.HALF, subsets.REMOVAL], [len(halves_hn), len(removals_hn)]),
        "loss_hsk": loss_hsk[1:],
        "accuracy_hsk": accuracy_hsk[1:],
        "loss_sk": loss_hsk[0],
        "accuracy_sk": accuracy_hsk[0],
    }


def no_subsets(n: int, num_classes: int) -> dict[str, np.ndarray]:
    """Return the arrays of subsets.npz where nothing is retrained."""
    return {
        "kept_hn": np.zeros((0, n), dtype=bool),
        "design_h": np.zeros(0, dtype=int),
        **{f"{name}_hsk": np.zeros((0, 0, num_classes)) for name in ("loss", "accuracy")},
        **{f"{name}_sk": np.zeros((0, num_classes)) for name in ("loss", "accuracy")},
    }
