"""Both errors of a verdict, counted from what the table's methods gained."""

from types import SimpleNamespace

import numpy as np
import pytest

from catwise.experiments.improvement import PATH, PLAIN, PROPOSED, Experiment, Measured
from catwise.experiments.improvement_rows import headline_metrics
from catwise.improvement.path import Judgement

SEEDS, CLASSES = 8, 3


def experiment_of(answer, rng, **gains_k):
    """Make an experiment whose methods gain so many points of accuracy in each class."""
    noise_sk = 0.001 * rng.normal(size=(SEEDS, CLASSES))
    measured = {
        method: Measured(0.8 + np.array(gain_k) / 100 + noise_sk * weight, noise_sk)
        for weight, (method, gain_k) in enumerate(gains_k.items(), start=1)
    }
    path = SimpleNamespace(
        rounds=[SimpleNamespace(judgement=Judgement(answer, ""), trials=[])], end="", trainings=0
    )
    return Experiment(path, list("abc"), np.ones(CLASSES), np.eye(CLASSES), measured=measured)


@pytest.mark.parametrize(
    ("answer", "path_gain", "method", "gain_k", "errors"),
    [
        ("ceiling", [0, 0, 0], f"{PROPOSED}direction 0.5", [3, 3, 3], (0, 1)),
        ("ceiling", [0, 0, 0], "cleanlab", [3, 3, 3], (0, 1)),
        ("ceiling", [0, 0, 0], "cleanlab", [9, 9, -3], (0, 0)),  # a class loses
        ("ceiling", [0, 0, 0], "focal", [3, 3, 3], (0, 0)),  # another loss, of which none speaks
        ("ceiling", [0, 0, 0], "best_seed", [3, 3, 3], (0, 0)),
        ("ceiling", [0, 0, 0], "oracle", [3, 3, 3], (0, 0)),  # it knows what nobody knows
        ("ceiling", [0, 0, 0], "lowest_margins", [3, 3, 3], (0, 1)),
        ("ceiling", [0, 0, 0], "cleanlab", [0, 0, 0], (0, 0)),
        ("room", [0, 0, 0], "focal", [3, 3, 3], (1, 0)),
        ("room", [3, 3, 3], "focal", [0, 0, 0], (0, 0)),
    ],
)
def test_a_false_ceiling_is_a_method_that_gains_and_a_false_room_a_path_that_does_not(
    answer, path_gain, method, gain_k, errors, rng
):
    gains = {PLAIN: [0, 0, 0], PATH: path_gain, "shuffled": [0, 0, 0], method: gain_k}
    metrics = headline_metrics(experiment_of(answer, rng, **gains))
    assert (metrics["false_room"], metrics["false_ceiling"]) == errors


def test_a_baseline_that_is_told_how_many_labels_are_wrong_shows_no_false_ceiling(rng):
    gains = {PLAIN: [0, 0, 0], PATH: [0, 0, 0], "lowest_margins": [3, 3, 3], "oracle": [9, 9, 9]}
    assert headline_metrics(experiment_of("ceiling", rng, **gains))["false_ceiling"] == 0


def test_the_path_is_compared_with_the_baseline_of_the_largest_mean_over_the_same_seeds(rng):
    gains = {PLAIN: [0, 0, 0], PATH: [3, 3, 3], "focal": [1, 1, 1], "cleanlab": [2, 2, 2]}
    unfair = {f"{PATH}_shuffled": [9, 9, 9], "oracle": [9, 9, 9], f"{PROPOSED}own": [9, 9, 9]}
    metrics = headline_metrics(experiment_of("room", rng, **gains, **unfair))
    assert metrics["beyond_best"] == pytest.approx(1, abs=0.3)
    assert 0.5 < metrics["beyond_best_low"] < metrics["beyond_best"]
    assert metrics["beyond_best"] < metrics["beyond_best_high"] < 1.5


def test_classes_that_fall_share_the_level(rng):
    """One of three that is down by itself, with a chance of 3 %, is no fall of a class."""
    noise_s = np.array([1, -1, 1, -1, 1, -1, 1, -1.0])
    half = 2.3646 * noise_s.std(ddof=1) / 8**0.5  # Student's, of 8 seeds
    for factor, fall in ((1.1, 0), (2.0, 1)):
        gain_sk = np.zeros((SEEDS, CLASSES))
        gain_sk[:, 1] = noise_s - factor * half
        plain = Measured(np.full((SEEDS, CLASSES), 0.8), np.zeros((SEEDS, CLASSES)))
        experiment = experiment_of("room", rng, **{PLAIN: [0, 0, 0]})
        path = Measured(plain.accuracy_sk + gain_sk / 100, plain.loss_sk)
        experiment.measured |= {PLAIN: plain, PATH: path}
        metrics = headline_metrics(experiment)
        assert (metrics["classes_down"], metrics["classes_fall"]) == (1, fall)


def test_without_a_baseline_there_is_nothing_to_be_beyond(rng):
    gains = {PLAIN: [0, 0, 0], PATH: [3, 3, 3], "oracle": [1, 1, 1]}
    assert "beyond_best" not in headline_metrics(experiment_of("room", rng, **gains))
