"""Propose weights for a new training from the influence vectors of the last one.

A proposal is a function of the evidence, P (n, k) at a model that was trained with weights w (n,).
To first order the summed validation loss of class k moves by

    dL_k = - sum_i (w'_i - w_i) P[i, k]

if the model is trained with w' in place of w. A proposal may leave the box and have any sum:
``Region.nearest`` puts it where weights are allowed, and that place is measured from *plain*
weights, whatever the weights of the round. So repetition cannot lead away from them step by step.

Steps are relative: w' = w (1 + s d), with d from the joint direction of w_i P[i, k], what sample i
does if its weight is multiplied. With plain weights that is P itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from catwise.ceiling.joint_direction import joint_direction, project
from catwise.core.errors import InputError
from catwise.reweighting.candidates import CandidateProgram

__all__ = [
    "Evidence",
    "Frequency",
    "Proposal",
    "Region",
    "class_weights",
    "direction",
    "direction_within",
    "drop_harmful",
    "drop_mislabelled",
    "mean_direction",
    "named_proposals",
    "of_kinds",
    "targets",
    "without",
]


@dataclass(frozen=True)
class Evidence:
    """Hold what a proposal may look at: nothing of validation B or of the test samples.

    p_nk       influence vectors at the current model, averaged over trainings, in nats
    labels_n   the labels of the training samples as given
    weights_n  the weights that the current model was trained with
    by_kind    P of each kind that was computed, ``p_nk`` among them: see ``made_of``
    counts_k   the query samples of each class, of which P is; None where it is not known
    margin_n   the mean margin of each training label over the models of P, if it is known
    """

    p_nk: np.ndarray
    labels_n: np.ndarray
    weights_n: np.ndarray
    by_kind: Mapping[str, np.ndarray] = field(default_factory=dict)
    counts_k: np.ndarray | None = None
    margin_n: np.ndarray | None = None


Proposal = Callable[[Evidence], np.ndarray]  # any point (n,), which the region then takes in


@dataclass(frozen=True)
class Region:
    """Say which weights are allowed: 0 <= w <= ``w_max``, mean(w) = 1, mean|w - 1| <= ``trust``."""

    w_max: float = 2.0
    trust: float = 1.0

    def __post_init__(self) -> None:
        if not (self.w_max >= 1 and self.trust > 0):
            raise InputError(
                "region: expected w_max of 1 or more and a positive trust;"
                f" got {self.w_max} and {self.trust}"
            )

    def nearest(self, x_n: np.ndarray) -> np.ndarray:
        """Return the point of the box with mean 1 that is nearest to ``x_n``, drawn towards ones.

        It is drawn so far that the trust region holds. Ones stay ones to the last bit.

        >>> Region(w_max=2, trust=0.5).nearest(np.array([5.0, 1.0, -5.0]))
        array([1.75, 1.  , 0.25])
        """
        if (x_n == 1).all():
            return np.ones(len(x_n))
        step_n = project(x_n, self.w_max) - 1
        size = np.abs(step_n).mean()
        return 1 + step_n * min(1.0, self.trust / size) if size > 0 else np.ones(len(x_n))


def direction(size: float, keep_masses: bool = False) -> Proposal:
    """Propose the joint direction, along which every class gains, with mean |d| = ``size``.

    ``keep_masses`` keeps the total weight of each class; the direction is free otherwise.
    """

    def proposal(evidence: Evidence) -> np.ndarray:
        labels_n = evidence.labels_n if keep_masses else None
        delta_n = joint_direction(evidence.weights_n[:, None] * evidence.p_nk, labels_n).delta_n
        moved_n = evidence.weights_n * (1 + _scaled(delta_n, size))
        return _keep_masses(moved_n, evidence) if keep_masses else moved_n

    return proposal


def mean_direction(size: float) -> Proposal:
    """Propose the step that most lowers the summed loss of all classes, whichever of them pays.

    Where a class has few samples, what helps it costs the others a little, and no step helps every
    class at once; this one may.
    """

    def proposal(evidence: Evidence) -> np.ndarray:
        worth_n = evidence.p_nk.sum(axis=1)
        return evidence.weights_n * (1 + _scaled(worth_n - worth_n.mean(), size))

    return proposal


def class_weights(size: float) -> Proposal:
    """Propose one factor for each class: the joint direction of what classes do to each other.

    It is the direction of P with every row replaced by the mean of its class.
    """

    def proposal(evidence: Evidence) -> np.ndarray:
        delta_n = joint_direction(_class_means(evidence)).delta_n
        return evidence.weights_n * (1 + _scaled(delta_n, size))

    return proposal


def direction_within(size: float, class_size: float) -> Proposal:
    """Propose class weights of ``class_size``, and the direction with masses kept within them."""

    def proposal(evidence: Evidence) -> np.ndarray:
        within_n = direction(size, keep_masses=True)(evidence) / np.maximum(
            evidence.weights_n, 1e-12
        )
        return within_n * class_weights(class_size)(evidence)

    return proposal


def drop_harmful(evidence: Evidence) -> np.ndarray:
    """Propose to leave out the samples that harm every class (Figure 5), whose P are all below 0.

    Differs from the paper: the others take up their weight, as the mean stays 1.
    """
    return without(evidence.weights_n, evidence.p_nk.max(axis=1) < 0)


def drop_mislabelled(evidence: Evidence) -> np.ndarray:
    """Propose to leave out the samples that harm and look wrong: their label, or their harm.

    The worth of a sample is its P summed over the classes, by the query sample where their number
    is known, so that classes weigh alike. A sample of negative worth is left out if the models
    contradict its label, that is with a negative margin. Models that have learnt their labels by
    heart contradict none, so it is left out too if it harms more than any other helps.
    """
    counts_k = 1 if evidence.counts_k is None else evidence.counts_k
    worth_n = (evidence.p_nk / counts_k).sum(axis=1)
    out_n = worth_n < -worth_n.max()
    if evidence.margin_n is not None:
        out_n |= evidence.margin_n < 0
    return without(evidence.weights_n, out_n & (worth_n < 0))


def without(weights_n: np.ndarray, out_n: np.ndarray) -> np.ndarray:
    """Leave samples out, ``out_n`` and those of weight 0, and scale the other weights to mean 1.

    What is left out goes far below 0, so that the region cannot lift it where ``w_max`` cuts other
    weights. Without a sample that is kept the weights stay as they are.

    >>> Region().nearest(without(np.array([0.0, 0.9, 1.1, 2.0]), np.array([0, 1, 0, 0]) > 0))
    array([0., 0., 2., 2.])
    """
    kept_n = ~out_n & (weights_n > 0)
    if not kept_n.any():
        return weights_n
    return np.where(kept_n, weights_n / weights_n[kept_n].sum(), -1.0) * len(weights_n)


def targets(classes: Sequence[int], size: float, slack: float = 0.0) -> Proposal:
    """Propose what most helps ``classes``, while no class loses more than the share ``slack``.

    It is Algorithm 1's program, line 4, with a quadratic trust region and with the same floor for
    every class; its step is scaled to mean |d| = ``size``. Differs from the paper: the weights are
    for a whole training.
    """

    def proposal(evidence: Evidence) -> np.ndarray:
        p_nk = evidence.weights_n[:, None] * evidence.p_nk
        program = CandidateProgram(p_nk, list(classes), "beta", max(slack, 1e-9), trust=1.0)
        step_n = program.solver()(np.zeros(p_nk.shape[1])) - 1
        return evidence.weights_n * (1 + _scaled(step_n, size))

    return proposal


@dataclass(frozen=True)
class Frequency:
    """Propose weights by the frequency of the class, w_i ~ n_k^-power, whatever P and last weights.

    1 is inverse frequency, 0.5 its square root.
    """

    power: float

    def __call__(self, evidence: Evidence) -> np.ndarray:
        counts_k = np.bincount(evidence.labels_n)
        weights_n = counts_k[evidence.labels_n] ** -float(self.power)
        return weights_n / weights_n.mean()


def of_kinds(proposals: Mapping[str, Proposal], kinds: Sequence[str]) -> dict[str, Proposal]:
    """Return each proposal again for each kind of P, made of that in place of the one judged.

    Proposals by ``Frequency``, in which P has no part, are left out.

    >>> list(of_kinds({"direction": direction(0.5), "root": Frequency(0.5)}, ["middle"]))
    ['direction, middle']
    """

    def made_of(kind: str, proposal: Proposal) -> Proposal:
        return lambda evidence: proposal(replace(evidence, p_nk=evidence.by_kind[kind]))

    return {
        f"{name}, {kind}": made_of(kind, proposal)
        for kind in kinds
        for name, proposal in proposals.items()
        if not isinstance(proposal, Frequency)
    }


def _scaled(step_n: np.ndarray, size: float) -> np.ndarray:
    """Scale a step to mean |d| = size; one that is zero but for rounding stays none."""
    mean = np.abs(step_n).mean()
    return step_n * (size / mean) if mean > 1e-9 else np.zeros_like(step_n)


def _class_means(evidence: Evidence) -> np.ndarray:
    """Replace each row of P by the weighted mean of its class."""
    labels_n, weights_n = evidence.labels_n, evidence.weights_n
    k = evidence.p_nk.shape[1]
    sums_kk = np.zeros((k, k))
    np.add.at(sums_kk, labels_n, weights_n[:, None] * evidence.p_nk)
    mass_k = np.bincount(labels_n, weights_n, minlength=k)
    return (sums_kk / np.maximum(mass_k, 1e-12)[:, None])[labels_n]


def _keep_masses(x_n: np.ndarray, evidence: Evidence) -> np.ndarray:
    """Cut at 0, and give each class the total weight that it had."""
    x_n, labels_n = np.maximum(x_n, 0), evidence.labels_n
    mass_k = np.bincount(labels_n, evidence.weights_n)
    return x_n * (mass_k / np.maximum(np.bincount(labels_n, x_n), 1e-12))[labels_n]


SIZED: dict[str, Callable[[float], Proposal]] = {
    "direction": direction,
    "direction_kept": lambda size: direction(size, keep_masses=True),
    "mean_direction": mean_direction,
    "class_weights": class_weights,
    "within_classes": lambda size: direction_within(size, size / 2),
}
UNSIZED: dict[str, Proposal] = {
    "drop_harmful": drop_harmful,
    "inverse_frequency": Frequency(1.0),
    "square_root": Frequency(0.5),
}


def named_proposals(
    names: Sequence[str], sizes: Sequence[float], others: Sequence[str] = ()
) -> dict[str, Proposal]:
    """Return the proposals of these names; those with a size once for each of ``sizes``.

    Those that are made of P come again ``of_kinds``, of the ``others`` beside the one that is
    judged.

    >>> list(named_proposals(["direction", "drop_harmful"], [0.5, 0.75]))
    ['direction 0.5', 'direction 0.75', 'drop_harmful']
    >>> list(named_proposals(["direction"], [0.5], ["segments"]))
    ['direction 0.5', 'direction 0.5, segments']
    """
    proposals: dict[str, Proposal] = {}
    for name in names:
        if name in UNSIZED:
            proposals[name] = UNSIZED[name]
        else:
            proposals |= {f"{name} {size:g}": SIZED[name](size) for size in sizes}
    return proposals | of_kinds(proposals, others)
