"""Has my classifier reached its performance ceiling, and if not, what in its data holds it back?

One legend of axes for the whole library. The letters are suffixes of arrays, in the order of their
axes: ``scores_nk`` has a row for each training sample and a column for each class. In formulas,
as in the paper, the index i is of a training sample and k of a class.

    n   training samples
    m   validation samples, or other query samples
    k   classes, or other groups of query samples
    b   bins of the query samples of a class, whose spread is the noise of the ceiling's figures
    p   parameters
    o   outputs of a layer
    i   inputs of a layer, the bias counted as one
    t   positions at which a layer is applied to one sample (pixels, tokens)
    c   candidates of a search
    g   genes of a candidate
    f   parts of the fitness, compared one after the other
    h   retrained subsets of the training samples
    s   seeds
    e   epochs

One legend of symbols, as the paper has them:

    g_i = grad l(z_i)               gradient of the loss of training sample i
    q_k = sum_{z in V, class k} grad l(z)       class gradient, a *sum* over validation samples V
    H   = sum_i grad^2 l(z_i)       curvature, a *sum* over training samples (Eq. 1)
    P[i, k] = q_k . H^-1 g_i        influence vector of sample i; positive: removing i raises
                                    the summed validation loss of class k, so i is beneficial to it

The names below are the public ones. Each is imported when it is first used, so that
``import catwise`` is quick. They need torch, numpy and scipy alone, but for the tables, files and
pages of a diagnosis, ``open_workers`` and ``pareto_lp_ga``, which say what they need, and
``sklearn_training``, which needs scikit-learn.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from catwise.ceiling.check import check_ceiling
    from catwise.ceiling.headroom import headroom
    from catwise.ceiling.joint_direction import direction_weights, joint_direction
    from catwise.ceiling.pca_rule import first_component_ratio
    from catwise.core.errors import InputError
    from catwise.diagnosis import Diagnosis, diagnose, load_diagnosis
    from catwise.fidelity.scores import linear_datamodeling_score
    from catwise.improvement.estimators import sklearn_training
    from catwise.improvement.own_training import Improvement, improve
    from catwise.influence.augmented import Augmented
    from catwise.influence.curvature import exact_hessian
    from catwise.influence.factors import fit_factors
    from catwise.influence.last_layer import last_layer_hessian
    from catwise.influence.segments import Segment, influence_by_segments
    from catwise.influence.unrolled import Step, unrolled_influence
    from catwise.influence.vectors import group_gradients, influence_vectors, validation_bins
    from catwise.pipeline.workers import open_workers
    from catwise.reweighting.pareto_lp_ga import pareto_lp_ga

    __version__: str

__all__ = [
    "Augmented",
    "Diagnosis",
    "Improvement",
    "InputError",
    "Segment",
    "Step",
    "__version__",
    "check_ceiling",
    "diagnose",
    "direction_weights",
    "exact_hessian",
    "first_component_ratio",
    "fit_factors",
    "group_gradients",
    "headroom",
    "improve",
    "influence_by_segments",
    "influence_vectors",
    "joint_direction",
    "last_layer_hessian",
    "linear_datamodeling_score",
    "load_diagnosis",
    "open_workers",
    "pareto_lp_ga",
    "sklearn_training",
    "unrolled_influence",
    "validation_bins",
]

_HOMES = {  # public name -> its module
    "Augmented": "catwise.influence.augmented",
    "Diagnosis": "catwise.diagnosis",
    "Improvement": "catwise.improvement.own_training",
    "InputError": "catwise.core.errors",
    "Segment": "catwise.influence.segments",
    "Step": "catwise.influence.unrolled",
    "check_ceiling": "catwise.ceiling.check",
    "diagnose": "catwise.diagnosis",
    "direction_weights": "catwise.ceiling.joint_direction",
    "exact_hessian": "catwise.influence.curvature",
    "first_component_ratio": "catwise.ceiling.pca_rule",
    "fit_factors": "catwise.influence.factors",
    "group_gradients": "catwise.influence.vectors",
    "headroom": "catwise.ceiling.headroom",
    "improve": "catwise.improvement.own_training",
    "influence_by_segments": "catwise.influence.segments",
    "influence_vectors": "catwise.influence.vectors",
    "joint_direction": "catwise.ceiling.joint_direction",
    "last_layer_hessian": "catwise.influence.last_layer",
    "linear_datamodeling_score": "catwise.fidelity.scores",
    "load_diagnosis": "catwise.diagnosis",
    "open_workers": "catwise.pipeline.workers",
    "pareto_lp_ga": "catwise.reweighting.pareto_lp_ga",
    "sklearn_training": "catwise.improvement.estimators",
    "unrolled_influence": "catwise.influence.unrolled",
    "validation_bins": "catwise.influence.vectors",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("catwise")
        except PackageNotFoundError:  # a clone that is not installed
            return "0+unknown"
    if name not in _HOMES:
        raise AttributeError(f"module 'catwise' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
