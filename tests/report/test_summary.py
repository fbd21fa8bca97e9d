"""The summary follows from the results, whichever way they fall."""

from dataclasses import replace

import pytest

from catwise.ceiling.verdict import Verdict
from catwise.core.statistics import Estimate
from catwise.report.summary import kind_advice, removal_advice, summarize
from tests.helpers.reports import write_results, write_table


@pytest.mark.slow
@pytest.mark.parametrize(
    ("room", "carried", "answer", "words"),
    [
        (True, False, "room", "Room: every class can gain at once, class a least, with 0.05 nats"),
        (False, False, "ceiling", "At its ceiling: no room of 0.5 points is shown"),
        (
            True,
            True,
            "room",
            "Room: other weights could lower the loss of every class at once, by about 5 %",
        ),
        (False, True, "too_few_samples", "and not checked by retraining"),
    ],
)
def test_the_verdict_is_the_calibrated_one_where_models_were_retrained(
    tmp_path, room, carried, answer, words
):
    summary = summarize(write_results(tmp_path, room=room, carried=carried))
    assert summary.answer == answer
    assert words in summary.headline


def test_where_influence_predicts_nothing_other_kinds_are_named():
    verdict = Verdict("not_predictive", Estimate(0.0, -0.1, 0.1), ("a", "b"), 1.0)
    (sentence,) = kind_advice(verdict)
    assert sentence.startswith("Influence of another kind may predict")
    assert kind_advice(replace(verdict, answer="room")) == []


def test_the_two_classes_that_block_each_other_are_named_with_their_rate(tmp_path):
    sentence = summarize(write_results(tmp_path, ("a", "b", "c"))).blocking
    assert sentence.startswith("Classes a and b block each other most.")
    assert "the other classes stay as they are, class a loses at least 0.6 %" in sentence


def test_labels_come_first_where_some_are_known_to_be_flipped(tmp_path):
    flipped = summarize(write_results(tmp_path / "flipped")).advice
    assert "2 training samples whose influences have the lowest sum, 2 bear" in flipped[0]
    clean = summarize(write_results(tmp_path / "clean", flips=0)).advice
    assert clean[0] == "Look first at the 12 % of the training samples that harm every class."
    ceiling = summarize(write_results(tmp_path / "ceiling", flips=0, room=False)).advice
    assert ceiling[0].startswith("By P 12 % of the training samples harm every class, but")


def test_the_class_that_gains_most_from_removal_is_named_if_any_gains_significantly(tmp_path):
    results = write_results(tmp_path)
    (sentence,) = removal_advice(results)
    assert "for 1 of 2 classes. Class a gains most: 10.0 points" in sentence
    diagonal = results.removal.diagonal.assign(net_reading=0).to_dict("records")
    write_table(tmp_path / "removal/experiment", "removal/diagonal", diagonal)
    (sentence,) = removal_advice(write_again(results))
    assert "made no class significantly better" in sentence


def write_again(results):
    """Give the same folders to a reader that has read nothing yet."""
    return type(results)(results.dataset, results.folder_of, results.parameters)


def test_trimming_is_told_from_its_first_to_its_last_round(tmp_path):
    results = write_results(tmp_path, trimmed=True)
    (sentence,) = removal_advice(results)
    assert "After round 1, 7 samples are gone, 5 of them with a flipped label" in sentence
    assert "from 90.00 to 100.00 %" in sentence
    first = results.removal.rounds[results.removal.rounds["round"] == 0].to_dict("records")
    write_table(tmp_path / "removal/experiment", "removal/rounds", first)
    assert removal_advice(write_again(results)) == []


def test_the_best_method_is_no_control_and_is_advised_if_it_gains_for_certain(tmp_path):
    results = write_results(tmp_path)
    sentence = summarize(results).advice[-1]
    assert "cross-fitted headroom is 10 % (95 % interval 5 to 20) before it" in sentence
    assert "Other weights help: with the best method, direction loss horizon, end" in sentence
    assert (
        "lower by 0.051 nats than with all-ones weights; 2 of 2 classes are significantly"
        in sentence
    )
    wide = results.reweight.table.assign(low=-1.0, high=1.0).to_dict("records")
    rows = [{**row, "shuffled": int(row["shuffled"]), "target": int(row["target"])} for row in wide]
    write_table(tmp_path / "reweight", "reweight/table", rows)
    assert "No weights help for certain" in summarize(write_again(results)).advice[-1]


def test_classes_with_odd_names_keep_them(tmp_path):
    results = write_results(tmp_path, ("None", "NA", "True", "1"))
    assert "Classes None and NA block each other" in summarize(results).blocking
    assert "Class None gains most" in removal_advice(results)[0]
