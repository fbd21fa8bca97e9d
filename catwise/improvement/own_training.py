"""Improve a classifier of your own: any function that trains with one weight per sample."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import nn

from catwise.core.errors import InputError
from catwise.core.losses import Logits, logits_of, per_sample_loss
from catwise.core.numbers import require_number
from catwise.core.progress import Progress
from catwise.improvement.acceptance import Gain, gain
from catwise.improvement.own_models import CheckedTraining, TrainFunction, outputs, right
from catwise.improvement.own_samples import checked_sets
from catwise.improvement.path import Path, retrain_to_the_ceiling
from catwise.improvement.proposals import (
    Frequency,
    Proposal,
    Region,
    class_weights,
    direction,
    drop_harmful,
    drop_mislabelled,
    of_kinds,
)
from catwise.influence.factors import fit_factors
from catwise.influence.samples import Data, Samples
from catwise.influence.vectors import influence_vectors, validation_bins
from catwise.training.evaluate import margins

__all__ = [
    "PROPOSALS",
    "Improvement",
    "TrainFunction",
    "averaged_influence",
    "improve",
]

ENDPOINT, MIDDLE = "endpoint", "middle"  # kinds of P, as in the stage ``improve``
PROPOSALS: dict[str, Proposal] = {
    "direction 0.5": direction(0.5),
    "direction 0.75": direction(0.75),
    "direction 0.75, class masses kept": direction(0.75, keep_masses=True),
    "class weights 0.5": class_weights(0.5),
    "square root of the frequency": Frequency(0.5),
    "drop what harms every class": drop_harmful,
    "drop what looks mislabelled": drop_mislabelled,
}


@dataclass(frozen=True)
class Improvement:
    """Hold the weights at the end of the path, and what they gain on the test samples.

    weights_n  of the training samples, with mean 1; ones where nothing was to be gained
    path       the rounds with their verdicts and trials, and why it ended
    net        the gain over plain training of the same fresh seeds on the test samples, which no
               choice has seen; None where the weights are ones
    """

    weights_n: np.ndarray = field(repr=False)
    path: Path
    net: Gain | None

    def __str__(self) -> str:
        lines = []
        for round_ in self.path.rounds:
            lines.append(f"round {round_.number}: {round_.judgement.words}")
            for trial in round_.trials:
                fate = "accepted" if trial.accepted else f"not accepted: {trial.refusal}"
                lines.append(f"  {trial.proposal}: {trial.gain} on validation; {fate}")
            lines += [f"  {name}: not tried, {why}" for name, why in round_.left_out.items()]
        return "\n".join([*lines, f"end ({self.path.end}): {self.sentence}"])

    @property
    def sentence(self) -> str:
        """Say what the weights gain in a new training, or why none were taken."""
        if self.net is not None:
            result = f"gains {self.net} on test samples no choice has seen"
            return f"a new training with these weights {result}"
        trials = [trial for round_ in self.path.rounds for trial in round_.trials]
        if not trials:
            why = "at a ceiling" if self.path.end == "ceiling" else "as no proposal changes any"
            return f"no other weights were tried, {why}"
        best = max(trials, key=lambda trial: trial.gain.mean.value + trial.gain.worst.value)
        return (
            f"no other weights were accepted; the best, {best.proposal}, gained {best.gain} on"
            f" validation, and was refused: {best.refusal}"
        )


def improve(
    train_function: TrainFunction,
    train: Data,
    validation: Data,
    test: Data,
    classes: Sequence[str],
    *,
    half_trained: TrainFunction | None = None,
    proposals: Mapping[str, Proposal] = PROPOSALS,
    region: Region = Region(),  # noqa: B008  (frozen)
    rounds: int = 2,
    allowed_loss: float = 0.0,
    runs: int = 4,
    seeds: int = 8,
    bins: int = 8,
    seed: int = 0,
    progress: Progress = iter,
    **options: Any,
) -> Improvement:
    """Find sample weights with which ``train_function`` makes a better model, if there are any.

    ``train_function(weights_n, seed)`` trains a torch classifier anew, on ``train`` and with the
    loss of sample i multiplied by w_i; the seed decides its initial weights and the order. One that
    ignores the seed is allowed. For scikit-learn see ``catwise.improvement.estimators``. The three
    sets are what ``diagnose`` takes, with labels 0 to k - 1: tuples of tensors, a Dataset or a
    DataLoader, and for ``train`` also ``Augmented``. ``validation`` is dealt into two halves:
    influence is of the first, and the second judges. On the test samples models are judged once,
    when the path has ended.

    P is averaged over ``runs`` trainings, a trial is judged over ``seeds`` others, and the gain at
    the end over as many that are fresh. ``options`` are those of ``fit_factors``, ``logits`` among
    them, by which the model is called everywhere; the path's are described at
    ``retrain_to_the_ceiling``.

    ``half_trained`` is a function like ``train_function`` that stops half way through the same
    training, at the rate that it has there. Where it is given, what is made of P is proposed of P
    at its models too: on two of three sets of digits that gained more.

    ``allowed_loss`` is how many points of accuracy a class may lose for the gain of the others.

    The price is runs + seeds trainings, seeds for each trial, runs for each further round, and
    twice seeds for the gain. ``half_trained`` adds runs halves to each round, and at most as many
    trials again.

    Before the first training it raises InputError for what ``as_samples`` refuses, for a label that
    is no class, for samples that are in two of the sets, for a class without a training sample or
    with fewer than six validation samples or two test samples, and for fewer than 1 run, 2 seeds or
    3 bins. Later it does for a ``train_function`` or ``half_trained`` that returns no torch module,
    or one that does not take the samples, or is diverged with plain weights, trains the one before
    on, or returns the same model whatever the weights. Dictionaries are compared among the sets,
    and looked through for NaN and inf, after the first training, which shows the columns that the
    model takes.

    >>> x = torch.from_numpy(np.random.default_rng(0).normal(size=(300, 2)))
    >>> train, validation, test = ((part, (part[:, 0] > 0).long()) for part in x.split(100))
    >>> def by_least_squares(weights_n, seed):
    ...     (x, y), w = train, torch.from_numpy(weights_n)[:, None]
    ...     model = nn.Linear(2, 2, bias=False).double()
    ...     fit = torch.linalg.solve((w * x).T @ x, (w * x).T @ (2.0 * y - 1).double())
    ...     model.weight.data = torch.stack([-fit, fit])
    ...     return model
    >>> improve(by_least_squares, train, validation, test, "ab", runs=1, seeds=2).weights_n.shape
    (100,)
    """
    sets = checked_sets(train, validation, test, classes)
    train, validation, test = sets.values()
    numbers = {"runs": (runs, 1), "seeds": (seeds, 2), "bins": (bins, 3), "seed": (seed, 0)}
    _require_sense(numbers | {"rounds": (rounds, 1)}, allowed_loss, proposals, options)
    part_a, part_b, groups_m, count = _halves(validation, bins, np.random.default_rng(seed))
    given = train, part_a, groups_m, len(classes), count
    known: dict[str, np.ndarray] = {"counts_k": np.bincount(part_a.labels.cpu().numpy())}
    about = sets, len(classes), options.get("logits", logits_of)
    trainer = CheckedTraining(train_function, *about)
    trainers = {ENDPOINT: trainer}
    if half_trained is not None:
        trainers[MIDDLE] = CheckedTraining(half_trained, *about, name="half_trained")
        proposals = {**proposals, **of_kinds(proposals, [MIDDLE])}
    proposals = {name: _informed(known, proposal) for name, proposal in proposals.items()}

    def influence(weights_n: np.ndarray) -> dict[str, np.ndarray]:
        by_kind, known["margin_n"] = _influence(
            trainers, weights_n, lambda: progress(range(seed, seed + runs)), given, options
        )
        return by_kind

    def answers(weights_n: np.ndarray, start: int, samples: Samples) -> np.ndarray:
        models = (trainer(weights_n, seed + start + one) for one in progress(range(seeds)))
        return np.stack([right(model, samples, trainer.logits) for model in models])

    def train_all(candidates: Sequence[np.ndarray]) -> list[np.ndarray]:
        right_csm = [answers(weights_n, runs, part_b) for weights_n in candidates]
        trainer.require_other_models()
        return right_csm

    labels = [samples.labels.cpu().numpy() for samples in (train, part_b)]
    path = retrain_to_the_ceiling(
        train_all,
        influence,
        proposals,
        *labels,
        region=region,
        rounds=rounds,
        allowed_loss=allowed_loss,
        classes=[str(name) for name in classes],
    )
    if (path.weights_n == 1).all():
        return Improvement(path.weights_n, path, None)
    compared = path.weights_n, np.ones(len(path.weights_n))
    after, before = (answers(weights_n, runs + seeds, test) for weights_n in compared)
    return Improvement(path.weights_n, path, gain(after, before, test.labels.cpu().numpy()))


def _require_sense(
    numbers: Mapping[str, tuple[Any, int]],
    allowed_loss: float,
    proposals: Mapping[str, Proposal],
    options: Mapping[str, Any],
) -> None:
    """Raise InputError for numbers below their least, and for what is no proposal or no option."""
    for name, (value, least) in numbers.items():
        require_number(name, value, least, whole=True)
    require_number("allowed_loss", allowed_loss, 0)
    if not isinstance(proposals, Mapping):
        raise InputError(f"proposals: expected names and functions; got {type(proposals).__name__}")
    for name, proposal in proposals.items():
        if not callable(proposal):
            expected = "a function of the evidence"
            raise InputError(f"proposal {name!r}: expected {expected}; got {proposal!r}")
    parameters = signature(fit_factors).parameters.values()
    known = {one.name for one in parameters if one.kind is one.KEYWORD_ONLY} - {"layers"}
    if unknown := [name for name in options if name not in known]:
        raise InputError(f"improve: expected options of fit_factors; got {', '.join(unknown)}")


def _informed(known: Mapping[str, Any], proposal: Proposal) -> Proposal:
    """Return a proposal whose evidence also holds what else is known when it is made."""
    return lambda evidence: proposal(replace(evidence, **known))


def _influence(
    trainers: Mapping[str, CheckedTraining],
    weights_n: np.ndarray,
    seeds: Callable[[], Iterable[int]],
    given: tuple[Any, ...],
    options: Mapping[str, Any],
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return P by bins of each kind, and the margin of each training label over all models."""
    by_kind, margins_n = {}, list[np.ndarray]()
    for kind, trained in trainers.items():
        models = (trained(weights_n, one) for one in seeds())
        seen = _noting_margins(models, given[0], trained.logits, margins_n)
        by_kind[kind] = averaged_influence(seen, *given, **options)
        trained.require_other_models()
    return by_kind, np.mean(margins_n, axis=0)


def _noting_margins(
    models: Iterable[nn.Module], train: Samples, call: Logits, margins_n: list[np.ndarray]
) -> Iterator[nn.Module]:
    """Pass the models on, and note the margin of each training label at each of them."""
    for model in models:
        logits_nk = outputs(model, train, call)
        margin_n = margins(logits_nk, train.labels.to(logits_nk.device))
        margins_n.append(margin_n.double().cpu().numpy())
        yield model


def _halves(
    validation: Samples, bins: int, rng: np.random.Generator
) -> tuple[Samples, Samples, np.ndarray, int]:
    """Deal the validation samples into two halves, and the first of them into bins.

    Return both halves, class and bin of each sample of the first, and how many bins there are.
    """
    labels_m = validation.labels.cpu().numpy()
    first_m = validation_bins(labels_m, 2, rng) % 2 == 0
    part_a, part_b = (
        validation.only(torch.from_numpy(mask.nonzero()[0]).to(validation.labels.device))
        for mask in (first_m, ~first_m)
    )
    count = min(bins, int(np.bincount(labels_m[first_m]).min()))
    return part_a, part_b, validation_bins(labels_m[first_m], count, rng), count


def averaged_influence(
    models: Iterable[nn.Module],
    train: Data,
    query: Data,
    groups_m: np.ndarray,
    num_classes: int,
    bins: int,
    *,
    batch_size: int = 256,
    **options: Any,
) -> np.ndarray:
    """Compute P by bins, (n, k, bins), as the mean over models of different seeds.

    ``groups_m`` numbers class and bin of each query sample as ``validation_bins`` does.
    ``options`` are those of ``fit_factors``. The curvature is that of all samples with weight 1.
    The statistics of batch norm are held fixed: with moving ones P predicts trainings better, but
    weights made of it gain less (docs/results.md).
    """
    defaults: dict[str, Any] = {"kind": "ekfac", "damping": 0.1, "seed": 0}
    options = defaults | {"batch_size": batch_size} | options
    loss = partial(per_sample_loss, logits=options.get("logits", logits_of))
    passes: dict[str, Any] = {"loss": loss, "query_loss": loss, "batch_size": batch_size}
    vectors: list[np.ndarray] = []
    for model in models:
        factors = fit_factors(model, train, **options)
        p = influence_vectors(
            model,
            factors,
            train,
            query,
            groups_m,
            num_classes * bins,
            statistics="fixed",
            **passes,
        )
        vectors.append(p.double().cpu().numpy())
    return np.mean(vectors, axis=0).reshape(-1, num_classes, bins)
