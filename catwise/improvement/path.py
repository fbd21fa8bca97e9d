"""Retrain to the ceiling: propose, train anew, accept on validation B, and stop.

A round takes P at the model of the current weights, averaged over trainings, and the verdict on it.
At a ceiling the path ends. Else every proposal is trained from the initial weights with the same
seeds, judged on validation B against the current weights, and the best of those that the rule of
``catwise.improvement.acceptance`` takes becomes the current one. The path ends too where none is
taken, and after the last round. What a class may lose is counted from plain weights in every round.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from catwise.ceiling.check import check_ceiling
from catwise.ceiling.decision import uncalibrated_verdict
from catwise.ceiling.verdict import Answer
from catwise.core.errors import InputError
from catwise.core.numbers import require_number
from catwise.core.statistics import require_finite
from catwise.improvement.acceptance import Gain, Rule
from catwise.improvement.proposals import Evidence, Proposal, Region

__all__ = [
    "Judgement",
    "Path",
    "Round",
    "Trial",
    "judge_by_headroom",
    "proposed",
    "retrain_to_the_ceiling",
]

# Weights of several candidates -> what each seed's model answers right on validation B, (s, m).
Train = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]
# Weights -> P by bins, (n, k, bins), of each kind; the first is judged, and predicts.
Influence = Callable[[np.ndarray], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Judgement:
    """Hold the answer of a verdict, and what it says in words."""

    answer: Answer
    words: str

    @property
    def room(self) -> bool:
        """Tell whether room was found."""
        return self.answer == "room"

    @property
    def ceiling(self) -> bool:
        """Tell whether a ceiling was found: there a path ends, and nowhere else."""
        return self.answer == "ceiling"


@dataclass(frozen=True)
class Trial:
    """Hold one proposal of a round: its weights, what they gain on validation B, and its fate.

    ``predicted_k`` is - dL_k by first order of the P that is judged, in nats of summed validation
    loss. ``refusal`` says why it was not taken.
    """

    proposal: str
    weights_n: np.ndarray = field(repr=False)
    gain: Gain
    predicted_k: np.ndarray
    right_sm: np.ndarray = field(repr=False)
    accepted: bool = False
    refusal: str = ""


@dataclass(frozen=True)
class Round:
    """Hold the state before the proposals of a round, its judgement, and its trials.

    ``left_out`` are the proposals that were not tried, and what they propose instead.
    """

    number: int
    evidence: Evidence = field(repr=False)
    right_sm: np.ndarray = field(repr=False)
    judgement: Judgement
    trials: tuple[Trial, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Path:
    """Hold the rounds, the weights at the end, and why the path ended."""

    rounds: tuple[Round, ...]
    weights_n: np.ndarray = field(repr=False)
    end: str  # ceiling, none accepted, last round

    @property
    def trainings(self) -> int:
        """Count the trainings that were judged on validation B."""
        first = len(self.rounds[0].right_sm)
        return first * (1 + sum(len(round_.trials) for round_ in self.rounds))


def judge_by_headroom(p_nkb: np.ndarray) -> Judgement:
    """Judge by the cross-fitted headroom of P by bins, without retrained subsets."""
    verdict = uncalibrated_verdict(check_ceiling(p_nkb))
    return Judgement(verdict.answer, verdict.sentence)


def retrain_to_the_ceiling(
    train: Train,
    influence: Influence,
    proposals: Mapping[str, Proposal],
    labels_n: np.ndarray,
    labels_m: np.ndarray,
    *,
    region: Region,
    rounds: int = 3,
    level: float = 0.05,
    allowed_loss: float = 0.0,
    judge: Callable[[np.ndarray], Judgement] = judge_by_headroom,
    classes: Sequence[str] | None = None,
) -> Path:
    """Improve the weights of the training samples round by round, from ones.

    ``labels_n`` are those of the training samples, ``labels_m`` those of validation B, ``classes``
    the names of the classes. Trials of the same weights as the current ones, or as an earlier
    trial, are left out; ``acceptance.Rule`` decides on the others. ``allowed_loss`` is how many
    points of accuracy a class that loses significantly may lose for the gain of the others; with 0
    none may. It is a question of what the classes are worth to the user, which no statistics can
    answer.

    Differs from the paper: a step is a whole training, not one more epoch of it.
    """
    require_number("rounds", rounds, 1, whole=True)
    require_number("allowed_loss", allowed_loss, 0)
    weights_n = np.ones(len(labels_n))
    plain_sm = right_sm = train([weights_n])[0]
    rule = Rule(labels_m, plain_sm, level, allowed_loss, classes)
    done: list[Round] = []
    end = "last round"
    for number in range(1, rounds + 1):
        by_bins = influence(weights_n)
        for kind, p_nkb in by_bins.items():
            require_finite(p_nkb, f"influence vectors, {kind}", ("sample", "class", "bin"))
        judgement = judge(next(iter(by_bins.values())))
        by_kind = {kind: p_nkb.sum(axis=2) for kind, p_nkb in by_bins.items()}
        evidence = Evidence(next(iter(by_kind.values())), labels_n, weights_n, by_kind)
        trials: tuple[Trial, ...] = ()
        left_out: dict[str, str] = {}
        if not judgement.ceiling:
            weights, left_out = proposed(evidence, proposals, region)
            trials = _trials(evidence, weights, train, right_sm, rule)
        done.append(Round(number, evidence, right_sm, judgement, trials, left_out))
        accepted = [trial for trial in trials if trial.accepted]
        if not accepted:
            end = "ceiling" if judgement.ceiling else "none accepted"
            break
        weights_n, right_sm = accepted[0].weights_n, accepted[0].right_sm
    return Path(tuple(done), weights_n, end)


def proposed(
    evidence: Evidence, proposals: Mapping[str, Proposal], region: Region
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the weights of each proposal that has new ones, and what the others propose instead.

    Raises InputError for a proposal of another shape, and for values that are not finite.
    """
    weights: dict[str, np.ndarray] = {}
    left_out: dict[str, str] = {}
    for name, proposal in proposals.items():
        x_n, where = np.asarray(proposal(_view(evidence)), dtype=float), f"proposal {name!r}"
        if x_n.shape != evidence.weights_n.shape:
            expected = f"a weight for each of the {len(evidence.weights_n)} training samples"
            raise InputError(f"{where}: expected {expected}; got shape {x_n.shape}")
        require_finite(x_n, where, ("sample",))
        new_n = region.nearest(x_n)
        earlier = (other for other, old_n in weights.items() if np.allclose(new_n, old_n))
        if np.allclose(new_n, evidence.weights_n):
            left_out[name] = "changes no weight"
        elif (other := next(earlier, None)) is not None:
            left_out[name] = f"the same weights as {other}"
        else:
            weights[name] = new_n
    return weights, left_out


def _view(evidence: Evidence) -> Evidence:
    """Return the evidence for a proposal, which may edit the weights, and nothing else."""

    def view(array: np.ndarray) -> np.ndarray:
        return np.broadcast_to(array, array.shape)  # read-only

    margin_n, counts_k = evidence.margin_n, evidence.counts_k
    return Evidence(
        view(evidence.p_nk),
        view(evidence.labels_n),
        evidence.weights_n.copy(),
        {name: view(p_nk) for name, p_nk in evidence.by_kind.items()},
        None if counts_k is None else view(counts_k),
        None if margin_n is None else view(margin_n),
    )


def _trials(
    evidence: Evidence,
    weights: Mapping[str, np.ndarray],
    train: Train,
    before_sm: np.ndarray,
    rule: Rule,
) -> tuple[Trial, ...]:
    """Train and judge what is proposed; at most one trial is accepted."""
    answers = list(train(list(weights.values())))
    reasons = rule.refusals(answers, before_sm)
    return tuple(
        Trial(
            name,
            new_n,
            rule.gain(right_sm, before_sm),
            (new_n - evidence.weights_n) @ evidence.p_nk,
            right_sm,
            accepted=not reason,
            refusal=reason,
        )
        for (name, new_n), right_sm, reason in zip(weights.items(), answers, reasons, strict=True)
    )
