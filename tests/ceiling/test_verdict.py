"""The four answers: each from its cause, in its words, and seldom wrong in simulation."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from catwise.ceiling.calibration import Calibration, PerClass
from catwise.ceiling.check import CeilingCheck
from catwise.ceiling.decision import calibrated_verdict, product, uncalibrated_verdict
from catwise.ceiling.gains import Gains
from catwise.ceiling.verdict import Verdict
from catwise.core.statistics import Estimate

CLASSES = ("cat", "dog", "fox")
CHECK = CeilingCheck(
    *3 * [Estimate(0.5, 0.4, 0.6)],
    crossfitted=Estimate(0.12, 0.034, 0.21),
    exchange_k=np.array([0.5, 0.35]),
    gap=0.0,
    classes=("cat", "dog"),
)


def per_class(value, error, degrees=200):
    return PerClass(np.full(3, value), np.full(3, error), degrees)


def alone(value, error, degrees=200):
    return PerClass(np.array([float(value)]), np.array([float(error)]), degrees)


def calibration(slope=0.1, error=0.005, rank_score=0.7, mixture=None):
    slopes = per_class(slope, error)
    points = per_class(30 * slope, 30 * error)
    mixed = alone(slope if mixture is None else mixture, error)
    mixed_points = alone(30 * mixed.value_k[0], 30 * error)
    shared = Estimate(slope, slope - 2 * error, slope + 2 * error)
    score = Estimate(rank_score, rank_score - 0.1, rank_score + 0.1)
    accuracy = Estimate(30 * slope, 30 * shared.low, 30 * shared.high)
    thirds_k = np.full(3, 1 / 3)
    mixture = (thirds_k, mixed, mixed_points)
    return Calibration(shared, accuracy, slopes, points, slopes, *mixture, score, 100, 3)


def gains(values, error=0.1, degrees=7, optimism=0.0):
    values_k = np.array(values, dtype=float)
    mixture = alone(values_k.mean(), error, degrees)
    return Gains(PerClass(values_k, np.full(len(values_k), error), degrees), mixture, optimism)


def decide(values, error=0.1, found=None, accuracy=0.8, small_gain=0.5, optimism=0.0, count=10**5):
    predicted = gains(values, error, optimism=optimism)
    found, accuracy_k = found or calibration(), np.broadcast_to(accuracy, 3)
    counts_k = np.full(3, count)
    return calibrated_verdict(CHECK, predicted, found, CLASSES, accuracy_k, counts_k, small_gain)


def test_room_is_a_gain_of_every_class_in_nats_and_points():
    verdict = decide([1, 0.8, 2])
    assert (verdict.answer, verdict.worst) == ("room", "dog")
    assert verdict.loss.value == pytest.approx(0.08)
    assert 0 < verdict.loss.low < 0.08 < verdict.loss.high
    assert verdict.points.value == pytest.approx(2.4)
    assert "every class can gain at once, class dog least, with 0.08 nats" in verdict.sentence
    assert "2.4 points (95 % 1.7" in verdict.sentence
    assert "decided in loss" not in verdict.sentence
    points = PerClass(np.full(3, 1.0), np.full(3, 2.0), 100)
    unclear = decide([1, 0.8, 2], found=replace(calibration(), accuracy_slopes=points))
    assert unclear.points.low < 0 < unclear.points.high
    assert unclear.sentence.endswith("; decided in loss, accuracy may stay as it is")


def test_no_class_is_said_to_gain_more_than_it_has_errors():
    verdict = decide([1, 0.8, 2], accuracy=[0.99, 0.999, 0.9])
    assert (verdict.points.value, verdict.points.high) == pytest.approx((1, 1), abs=0.1)


def test_few_samples_without_an_error_make_no_ceiling():
    """Each of three classes may still have errors on one sample of 200 or more."""
    for count, answer in ((10, "too_few_samples"), (1000, "ceiling")):
        verdict = decide([0.05, -0.02, 0.05], error=0.5, accuracy=1.0, count=count)
        assert verdict.answer == answer
    assert verdict.points.high == pytest.approx(100 * (1 - (0.025 / 3) ** (1 / 1000)))


def test_where_no_accuracy_moves_over_the_subsets_none_is_known():
    silent = replace(calibration(), accuracy_slopes=per_class(0.0, np.inf))
    verdict = decide([0.05, 0.0, 0.05], error=0.02, found=silent)
    assert verdict.answer == "too_few_samples"
    assert (verdict.points.value, verdict.points.low) == (0, -100)
    assert verdict.points.high == pytest.approx(20, abs=1)  # the errors
    assert "the smallest gain in accuracy is 0 points (95 % -100 to 20)" in verdict.sentence


def test_a_ceiling_is_a_worst_class_that_gains_less_than_a_small_gain():
    verdict = decide([1, -0.1, 2], error=0.02)
    assert (verdict.answer, verdict.worst) == ("ceiling", "dog")
    assert verdict.points.high < 0.5
    assert "no room of 0.5 points is shown" in verdict.sentence
    gain_and_loss = "if dog alone gains 1 % of its influence mass, cat loses at least 0.7 %"
    assert gain_and_loss in verdict.sentence
    assert decide([1, 0, 2], error=0.02, small_gain=0.01).answer == "too_few_samples"


def test_a_class_that_stays_as_it_is_makes_no_ceiling_while_the_others_gain():
    assert decide([1, -0.02, 2], error=0.02).answer == "too_few_samples"
    assert decide([0.05, -0.02, 0.05], error=0.02).answer == "ceiling"
    as_good_as_right = [0.999, 0.8, 0.999]  # the others cannot gain half a point in the mean
    assert decide([1, -0.02, 2], error=0.02, accuracy=as_good_as_right).answer == "ceiling"


def test_an_interval_that_holds_both_cannot_tell_and_says_how_many_more():
    verdict = decide([1, 0.1, 2], error=0.3)
    assert verdict.answer == "too_few_samples"
    assert verdict.sentence.startswith("cannot tell: too few validation samples; class dog")
    # half the width is 7.1 times the gain of 0.01 nats: 0.1 * 2.36 * 0.3 / 0.01
    assert verdict.factor == pytest.approx(50, rel=0.05)
    assert "times as many validation samples would settle it" in verdict.remedy
    vague = decide([5, 2, 6], error=0.01, found=calibration(0.1, 0.048, rank_score=0.7))
    assert (vague.answer, vague.more) == ("room", "retrained subsets")


def test_the_low_end_is_named_after_the_class_that_sets_it():
    """Dog gains least, but fox is the one that may lose."""
    errors_k = np.array([0.1, 0.1, 0.6])
    predicted = gains([1, 0.8, 1])
    unsure = replace(predicted, classes=replace(predicted.classes, error_k=errors_k))
    about = CLASSES, np.full(3, 0.8), np.full(3, 1000)
    verdict = calibrated_verdict(CHECK, unsure, calibration(), *about)
    assert (verdict.answer, verdict.worst, verdict.unsure) == ("too_few_samples", "dog", "fox")
    assert "the low end that of class fox" in verdict.sentence
    assert decide([1, 0.8, 1]).unsure is None


@pytest.mark.parametrize(
    "found",
    [
        calibration(slope=0.01, error=0.02),
        calibration(rank_score=0.05),
        replace(calibration(), unpooled=PerClass(np.array([0.1, -0.1, 0.1]), np.full(3, 0.01), 90)),
    ],
    ids=["slope", "score", "one class"],
)
def test_whether_influence_predicts_is_asked_first(found):
    verdict = decide([1, 0.8, 2], found=found)
    assert verdict.answer == "not_predictive"
    assert "influence does not predict retraining here" in verdict.sentence
    assert ("change dog" in verdict.sentence) == bool(verdict.wrong)


def test_room_says_where_accuracy_does_not_follow():
    room = decide([1, 0.8, 2])
    assert "decided in loss" not in room.sentence
    unsure, falls = (replace(room, points=Estimate(*ends)) for ends in ((1, -1, 2), (-2, -3, -1)))
    assert "decided in loss, accuracy may stay as it is" in unsure.sentence
    assert "decided in loss, the accuracy of a class falls" in falls.sentence


def test_there_is_no_room_where_a_mixture_of_the_classes_does_not_come_true():
    """Errors of P that all query samples share leave every class's own gain as it is."""
    assert decide([1, 0.8, 2]).answer == "room"
    verdict = decide([1, 0.8, 2], 0.01, calibration(mixture=0.006))
    assert (verdict.answer, verdict.joint.value) == ("not_predictive", pytest.approx(0.0076))
    assert "but not that all gain at once; a mixture of them gains 0.0076 nats" in verdict.sentence
    # half the width is 1.7 times the gain: 1.97 * 0.005 / 0.006, and what the query samples add
    assert verdict.factor == pytest.approx(2.7, rel=0.1)
    assert verdict.remedy.startswith(f"About {verdict.factor:.2g} times as many retrained subsets")
    nothing = decide([1, 0.8, 2], found=calibration(mixture=0.0))
    assert (nothing.answer, nothing.factor) == ("not_predictive", None)
    assert nothing.remedy == "More retrained subsets may settle it."
    assert nothing.remedy_with("halves") == "More halves may settle it."


def test_the_smallest_gain_is_at_most_that_of_the_mixture():
    verdict = decide([1, 0.8, 2], found=calibration(mixture=0.05))
    assert (verdict.answer, verdict.worst) == ("room", "dog")
    assert verdict.loss == verdict.joint
    assert verdict.loss.value == pytest.approx(0.05 * 3.8 / 3)
    assert verdict.points.value == pytest.approx(30 * 0.05 * 3.8 / 3)


def test_luck_of_the_query_samples_is_taken_off_what_the_mixture_gains():
    """Where their luck is all that comes true, nothing is left."""
    joint = decide([1, 1, 1], error=0.01, optimism=1.0, found=calibration(mixture=0.05)).joint
    assert joint.value == pytest.approx(0.0)
    assert joint.low < 0
    lucky = decide([1, 1, 1], error=0.01, optimism=1.0).joint
    assert lucky.value == pytest.approx(0.1)


def test_a_class_that_is_all_right_already_is_no_ceiling():
    """It cannot gain half a point; the others decide in points, it must not lose in nats."""
    points = PerClass(np.array([3.0, 3.0, 0.0]), np.array([0.1, 0.1, 0.0]), 100)
    found = replace(calibration(), accuracy_slopes=points)
    accuracy = [0.8, 0.8, 1.0]
    assert decide([0.6, 0.6, 0.1], 0.1, found, accuracy).answer == "too_few_samples"
    assert decide([0.6, 0.6, 0.1], 0.1, found, [0.8, 0.8, 0.8]).answer == "too_few_samples"
    assert decide([0.6, 0.6, 0.1], 0.1, found, [1.0, 1.0, 1.0]).answer == "ceiling"


def test_without_retrainings_it_goes_by_the_headroom_and_says_what_is_not_checked():
    def answer(low, high):
        return uncalibrated_verdict(replace(CHECK, crossfitted=Estimate(0.01, low, high)))

    assert answer(0.004, 0.3).answer == "room"
    assert answer(-0.01, 0.015).answer == "ceiling"
    few = answer(-0.22, 0.24)
    assert few.answer == "too_few_samples"
    assert few.sentence == (
        "cannot tell: too few validation samples; other weights could lower the loss of every"
        " class at once, by -22 to 24 % of the most that weights from 0 to 2 could change it (95 %"
        " interval)"
    )
    for verdict in (answer(0.004, 0.3), few):
        assert "not checked by retraining" in verdict.scope
    assert "Retraining on random halves would check it" in answer(0.004, 0.3).remedy
    assert "one class gains 1 % of the most" in answer(-0.01, 0.015).sentence
    assert "Even 100 times" in few.remedy


def test_no_share_and_no_correlation_is_said_to_be_larger_than_one():
    words = uncalibrated_verdict(replace(CHECK, crossfitted=Estimate(0.3, -1.7, 1.0))).sentence
    assert "by -100 to 100 % of the most" in words
    score = Estimate(0.37, -1.2, 1.9)
    found = replace(calibration(slope=0.001, error=0.01), rank_score=score)
    words = decide([1, 1, 1], found=found).sentence
    assert "rank correlation 0.37 (95 % -1 to 1)" in words


@pytest.mark.parametrize("verdict", [uncalibrated_verdict(CHECK), decide([1, 0.8, 2])])
def test_a_record_gives_the_same_verdict(verdict):
    for one in (verdict, verdict.within(0.4, ("fox",))):
        assert Verdict.from_record(json.loads(json.dumps(asdict(one)))) == one


def test_a_verdict_is_read_from_its_record():
    verdict = decide([1, 0.8, 2]).within(0.9, ("cat",))
    assert Verdict.from_record(json.loads(json.dumps(asdict(verdict)))) == verdict


def test_influence_on_less_than_half_of_a_model_shows_no_ceiling():
    ceiling = decide([1, -0.1, 2], error=0.02)
    assert ceiling.within(0.5, ()).answer == "ceiling"
    assert "It speaks of 50 % of the trained parameters" in ceiling.within(0.5, ()).scope
    assert ceiling.within(1.0, ()).scope == ceiling.scope
    hidden = ceiling.within(0.03, ())
    assert hidden.answer == "low_coverage"
    assert hidden.sentence.startswith("cannot tell: influence covers 3 % of the trained parameters")
    assert "embeddings=True" in hidden.remedy
    assert decide([1, 0.8, 2]).within(0.03, ()).answer == "room"


def test_the_product_has_the_deviation_of_a_product_of_independent_factors(rng):
    first, second = gains([1, 2, -1], 0.5, 10**6).classes, per_class(0.5, 0.2, 10**6)
    value_k, half_k = product(first, second)
    drawn = rng.normal(first.value_k, first.error_k, (200_000, 3)) * rng.normal(
        second.value_k, second.error_k, (200_000, 3)
    )
    np.testing.assert_allclose(value_k, [0.5, 1, -0.5])
    np.testing.assert_allclose(half_k / 1.96, drawn.std(axis=0), rtol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 10])
def test_wrong_answers_are_rare_at_the_edge_of_each(classes):
    """At a smallest gain of 0 room is wrong, at one of ``small_gain`` a ceiling is: <= 2.5 %."""
    rng = np.random.default_rng(classes)
    names, accuracy_k, found = (
        [str(k) for k in range(classes)],
        np.full(classes, 0.5),
        calibration(),
    )
    wide = PerClass(np.full(classes, 0.1), np.full(classes, 0.002), 100)
    points = PerClass(np.full(classes, 3.0), np.full(classes, 0.06), 100)
    found = replace(found, slopes=wide, accuracy_slopes=points, unpooled=wide)
    sure = alone(100, 0.1)  # the mixture is not in question here
    wrong = {"room": 0, "ceiling": 0}
    for _ in range(1000):
        for answer, edge in (("room", 0.0), ("ceiling", 0.5 / 3)):
            true_k = np.full(classes, edge)  # all at the edge: the hardest case for a ceiling
            if answer == "room":
                true_k[1:] = 10  # and one at the edge, for room
            drawn_bk = true_k + 0.3 * rng.normal(size=(8, classes))
            error_k = drawn_bk.std(axis=0, ddof=1) / 8**0.5
            predicted = Gains(PerClass(drawn_bk.mean(axis=0), error_k, 7), sure, 0.0)
            about = names, accuracy_k, np.full(classes, 10**4)
            verdict = calibrated_verdict(CHECK, predicted, found, *about)
            wrong[answer] += verdict.answer == answer
    assert max(wrong.values()) <= 40  # of 1000: 2.5 % and three deviations
