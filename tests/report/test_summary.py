"""The answer follows from the reports, whichever way they fall."""

import pytest

from catwise.report.summary import answer

METRICS = {
    "ceiling": {
        "verdict": "v",
        "room": 1,
        "crossfitted": 0.05,
        "crossfitted_low": 0.03,
        "crossfitted_high": 0.07,
    },
    "influence": {"joint_negative_share": 0.125, "flipped_label_auc": 0.9},
}
CEILING = {"exchange": {"a": 0.2, "b": 0.5, "c": 0.3}}


def said(metrics=METRICS, noise=None, **rows):
    tables = {name: rows.get(name, ()) for name in ("diagonal", "rounds", "table", "room")}
    return answer(metrics, CEILING, noise, *tables.values())


def test_room_and_ceiling_are_told_by_the_verdict_and_its_absence_too():
    assert said().state == "room"
    assert "by 5 % of its influence mass (95 % 3 to 7)" in said().headline
    assert said(METRICS | {"ceiling": METRICS["ceiling"] | {"room": 0}}).state == "ceiling"
    assert said(METRICS | {"ceiling": {"headroom": 0.1}}).state == "unknown"


def test_the_two_classes_with_the_largest_rates_block_each_other():
    assert said().blocks.startswith("Classes b and c stand in each other's way")
    assert "costs class b at least 0.6 %" in said().blocks


def test_labels_come_first_where_some_are_known_to_be_flipped():
    assert (
        "of the 10 samples with the lowest influence 8 bear a flipped label, of 9"
        in said(noise=(10, 8, 9)).helps[0]
    )
    assert said().helps == ["Look first at the 12 % of the samples that harm every class."]


def row(name: str, mean: float, reading: str) -> dict[str, str]:
    net = {
        f"net_{key}": str(mean + shift)
        for key, shift in (("mean", 0), ("low", -0.01), ("high", 0.01))
    }
    return {
        "class": name,
        "measure": "accuracy",
        "group": "detrimental",
        "net_reading": reading,
    } | net


def test_the_class_that_gains_most_from_removal_is_named_if_it_gains_for_sure():
    rows = [row("a", 0.05, "as the paper says"), row("b", 0.2, "not significant")]
    assert any(
        "most harms class a raises its accuracy by 5.0 points (95 % 4.0 to 6.0)" in line
        for line in said(diagonal=rows).helps
    )
    assert any("raised no class significantly" in line for line in said(diagonal=rows[1:]).helps)


def test_trimming_is_told_from_its_first_to_its_last_round():
    def state(number, accuracy):
        return {
            "arm": "influence",
            "round": str(number),
            "accuracy": str(accuracy),
            "removed": "7",
            "flipped_removed": "5",
        }

    (line,) = [
        line for line in said(rounds=[state(0, 0.9), state(2, 1.0)]).helps if "Removing" in line
    ]
    assert (
        "2 times, takes 7 samples away, 5 of them flipped, and the accuracy goes from 90.00 to 100.00 %"
        in line
    )
    assert said(rounds=[state(0, 0.9)]).helps == said().helps  # the line about labels says it


@pytest.mark.parametrize(
    ("gain", "reading", "words"),
    [(0.1, "better", "Train the epoch"), (-0.1, "worse", "No weights helped")],
)
def test_weights_are_advised_only_if_more_classes_gain_than_lose(gain, reading, words):
    def rows(method, gain, reading):
        return {
            "case": "c",
            "measure": "loss",
            "method": method,
            "gain": str(gain),
            "reading": reading,
        }

    table = [
        rows("maximin", gain, reading),
        rows("oracle: none", 9, "better"),
        rows("shuffled maximin", 9, "better"),
    ]
    (line,) = [line for line in said(table=table).helps if "(c)" in line]
    assert words in line
    assert "best: maximin, net of plain training" in line
