"""Retrain to the ceiling, and train what the path is compared with under the same seeds.

The seeds are those of ``catwise.experiments.improvement_trainer``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path as File

import numpy as np
import torch
from scipy.special import log_softmax

from catwise.ceiling.calibration import Calibration, calibrate_from
from catwise.ceiling.check import check_ceiling
from catwise.ceiling.decision import calibrated_check
from catwise.config.schema import DataSet
from catwise.experiments.improvement_trainer import FOCAL, Trainer, by_class
from catwise.experiments.weighted_training import (
    Outputs,
    WeightedJob,
    weighted_trainings,
)
from catwise.improvement import baselines
from catwise.improvement.path import Judgement, Path, proposed, retrain_to_the_ceiling
from catwise.improvement.proposals import Region
from catwise.pipeline.artifacts import flipped_labels, read_splits
from catwise.pipeline.files import read_npz
from catwise.reweighting.candidates import CandidateProgram
from catwise.reweighting.controls import kept_weights, shuffle_weights
from catwise.reweighting.pareto_lp_ga import pareto_lp_ga
from catwise.reweighting.targets import lowest_classes

__all__ = ["PATH", "PLAIN", "PROPOSED", "Experiment", "Measured", "run_improvement"]

PLAIN, PATH, BEST_SEED = "plain", "ceiling_path", "best_seed"
ADJUSTED = "logit_adjustment"  # plain training, whose logits are shifted
PROPOSED = "proposed "  # heads the name of a proposal that is measured whether accepted or not
SEED_CHOICE = 3000  # the first seed of those among which the best is chosen


@dataclass(frozen=True)
class Measured:
    """Hold accuracy and loss of each class on the test split: (s, k), a row for each fresh seed."""

    accuracy_sk: np.ndarray
    loss_sk: np.ndarray


@dataclass
class Experiment:
    """Hold the path, the weights of each method, and what they gave on the test split.

    ``slope`` is the share of accuracy that a nat was worth in the trials on validation B, NaN
    where there was none. ``predicted`` is what P at plain weights says of a method's weights: the
    nats of each class, times the slope.
    """

    path: Path
    classes: list[str]
    counts_k: np.ndarray  # samples of validation A
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    measured: dict[str, Measured] = field(default_factory=dict)
    steps: list[Measured] = field(default_factory=list)  # plain, and after each accepted round
    slope: float = float("nan")

    @property
    def p_nk(self) -> np.ndarray:
        """Return P at plain weights."""
        return self.path.rounds[0].evidence.p_nk

    def predicted(self, method: str) -> np.ndarray:
        """Predict the gain of each class in shares of accuracy, shrunk by the slope: (k,)."""
        return self.slope * ((self.weights[method] - 1) @ self.p_nk) / self.counts_k


def run_improvement(dataset: str, parameters: DataSet) -> Experiment:
    """Follow the path to the ceiling, and measure it and every baseline on the test split."""
    section = parameters.improve
    assert section is not None
    torch.set_num_threads(parameters.threads)
    splits, classes = read_splits(dataset, parameters.device)
    labels = {split: batch[-1].cpu().numpy() for split, batch in splits.items()}
    flipped_n = flipped_labels(dataset)
    with weighted_trainings(dataset, parameters, "improve") as run:
        trainer = Trainer(run, section, labels, parameters.train.model != "logistic")
        proposals = trainer.proposals()
        path = retrain_to_the_ceiling(
            trainer.answers,
            trainer.influence,
            proposals,
            labels["train"],
            labels["validation_b"],
            region=Region(section.w_max, section.trust),
            rounds=section.rounds,
            level=section.level,
            allowed_loss=section.allowed_loss,
            judge=_Judge(dataset, classes, labels, parameters.ceiling.small_gain),
        )
        counts_k = np.bincount(labels["validation_a"], minlength=len(classes))
        experiment = Experiment(path, classes, counts_k)
        experiment.slope = points_per_nat(path, counts_k)
        _add_methods(experiment, trainer, flipped_n)
        _measure(experiment, trainer)
    return experiment


def points_per_nat(path: Path, counts_k: np.ndarray) -> float:
    """Fit how much accuracy a predicted nat per sample gave in the trials on validation B.

    It is the slope of the line through 0, over the classes of all trials; NaN without a trial.
    """
    trials = [trial for round_ in path.rounds for trial in round_.trials]
    if not trials:
        return float("nan")
    predicted = np.concatenate([trial.predicted_k / counts_k for trial in trials])
    realised = np.concatenate([trial.gain.class_k for trial in trials])
    return float(predicted @ realised / (predicted @ predicted))


class _Judge:
    """Give the verdict of the stage ``ceiling`` on P averaged over trainings.

    The retrained subsets calibrate P at plain weights; later rounds keep that slope.
    """

    def __init__(
        self, dataset: str, classes: list[str], labels: dict[str, np.ndarray], small_gain: float
    ) -> None:
        self.retrained = read_npz(File("reports", "subsets", dataset, "subsets.npz"))
        self.classes, self.small_gain = classes, small_gain
        self.counts_k = np.bincount(labels["validation_a"], minlength=len(classes))
        self.labels_n = labels["train"]
        self.calibration: Calibration | None = None

    def __call__(self, p_nkb: np.ndarray) -> Judgement:
        if self.calibration is None:
            p_nk = p_nkb.sum(axis=2)
            self.calibration = calibrate_from(self.retrained, p_nk, self.labels_n, self.counts_k)
        verdict, _ = calibrated_check(
            check_ceiling(p_nkb, self.classes),
            p_nkb,
            self.labels_n,
            self.counts_k,
            self.retrained["accuracy_sk"].mean(axis=0),
            self.calibration,
            self.classes,
            self.small_gain,
        )
        return Judgement(verdict.answer, verdict.sentence)


def _add_methods(experiment: Experiment, trainer: Trainer, flipped_n: np.ndarray) -> None:
    """Add the weights of the path, of each proposal at plain weights, and of each baseline."""
    section, path, weights = trainer.section, experiment.path, experiment.weights
    plain, rng = path.rounds[0].evidence, np.random.default_rng(0)
    labels_n, ones_n, p_nk = plain.labels_n, plain.weights_n, plain.p_nk
    weights[PLAIN], weights[PATH] = ones_n, path.weights_n
    region = Region(section.w_max, section.trust)
    weights_of, _ = proposed(plain, trainer.proposals(), region)
    weights |= {f"{PROPOSED}{name}": weights_n for name, weights_n in weights_of.items()}
    if np.ptp(path.weights_n) > 0:
        weights[f"{PATH}_shuffled"] = shuffle_weights(path.weights_n, rng)
    lowest = _lowest_accuracy(path, trainer.labels["validation_b"])
    flips = int(flipped_n.sum())
    makers: dict[str, Callable[[], np.ndarray]] = {
        "inverse_frequency": lambda: baselines.inverse_frequency(labels_n),
        "square_root": lambda: baselines.inverse_frequency(labels_n, 0.5),
        "effective_number": lambda: baselines.effective_number(labels_n),
        "lowest_margins": lambda: trainer.pruning_weights("lowest_margins", flips),
        "cleanlab": lambda: trainer.pruning_weights("cleanlab"),
        "program_at_random": lambda: baselines.program_at_random(p_nk, lowest, rng, section.w_max),
        "lp_ga": lambda: _lp_ga(p_nk, trainer, lowest),
        "class_search": lambda: _class_search(trainer),
        FOCAL: lambda: ones_n,
        ADJUSTED: lambda: ones_n,
        BEST_SEED: lambda: ones_n,
    }
    weights |= {name: makers[name]() for name in trainer.baseline_names()}
    if flips:
        weights["oracle"] = kept_weights(~flipped_n)


def _lp_ga(p_nk: np.ndarray, trainer: Trainer, lowest: list[int]) -> np.ndarray:
    """Search weights by Algorithm 1, whose candidates are whole trainings."""
    program = CandidateProgram(p_nk, lowest, "beta", trust=1.0, w_max=trainer.section.w_max)
    before_k = trainer.class_accuracy([np.ones(len(p_nk))])[0]
    search = pareto_lp_ga(program, trainer.class_accuracy, before_k, **trainer.search_budget)
    return search.weights[0]


def _class_search(trainer: Trainer) -> np.ndarray:
    """Search class weights alone by the genetic algorithm, for the mean and the worst class."""

    def fitness(candidates: list[np.ndarray]) -> list[float]:
        accuracies = trainer.class_accuracy(candidates)
        return [float(accuracy_k.mean() + accuracy_k.min()) for accuracy_k in accuracies]

    return baselines.searched_class_weights(
        trainer.labels["train"], fitness, w_max=trainer.section.w_max, **trainer.search_budget
    )


def _measure(experiment: Experiment, trainer: Trainer) -> None:
    """Train every method with the fresh seeds, and measure the classes on the test split."""
    jobs: dict[str, list[WeightedJob]] = {}
    for method, weights_n in experiment.weights.items():
        if method == BEST_SEED:
            jobs[method] = _best_seeds(trainer, weights_n)
        else:
            jobs[method] = trainer.test(weights_n, FOCAL if method == FOCAL else "cross_entropy")
    accepted_weights = [
        trial.weights_n for r in experiment.path.rounds for trial in r.trials if trial.accepted
    ]
    steps = [
        trainer.test(weights_n) for weights_n in (experiment.weights[PLAIN], *accepted_weights)
    ]
    series = [*jobs.values(), *steps]
    outputs = iter(trainer.run([job for of_method in series for job in of_method], "test"))
    shifts = {ADJUSTED: baselines.logit_adjustment(trainer.labels["train"])}
    measured = [
        _on_test([next(outputs) for _ in of_method], trainer, shifts.get(method or PLAIN, 0.0))
        for method, of_method in zip_longest(jobs, series)  # the steps have no name
    ]
    experiment.measured = dict(zip(jobs, measured, strict=False))
    experiment.steps = measured[len(jobs) :]


def _on_test(outputs: list[Outputs], trainer: Trainer, shift_k: np.ndarray | float) -> Measured:
    labels_m = trainer.labels["test"]
    logits_smk = np.stack([one.logits_mk for one in outputs]) + shift_k
    log_smk = log_softmax(logits_smk.astype(float), axis=-1)
    loss_sm = -log_smk[:, np.arange(len(labels_m)), labels_m]
    right_sm = logits_smk.argmax(2) == labels_m
    return Measured(by_class(right_sm, labels_m), by_class(loss_sm, labels_m))


def _best_seeds(trainer: Trainer, ones_n: np.ndarray) -> list[WeightedJob]:
    """For each fresh seed choose the best of so many plain trainings on validation B."""
    size, labels_m = trainer.section.best_of, trainer.labels["validation_b"]
    seeds = range(SEED_CHOICE, SEED_CHOICE + size * trainer.section.fresh)
    right_sm = trainer.right([ones_n], seeds, "choice of a seed")[0]
    accuracy_sk = by_class(right_sm, labels_m)
    worth = (accuracy_sk.mean(1) + accuracy_sk.min(1)).reshape(-1, size)
    best = worth.argmax(1) + size * np.arange(len(worth))
    return [WeightedJob("test", ones_n, seeds[number]) for number in best.tolist()]


def _lowest_accuracy(path: Path, labels_m: np.ndarray) -> list[int]:
    """Number the two classes of lowest accuracy on validation B with plain weights."""
    accuracy_k = by_class(path.rounds[0].right_sm, labels_m).mean(0)
    return lowest_classes(accuracy_k, min(2, len(accuracy_k) - 1))
