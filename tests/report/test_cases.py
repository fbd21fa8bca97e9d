"""The table and the picture of all cases show what each case holds, and what was confirmed."""

import json

import numpy as np
import pytest

from catwise.report.cases import case_picture, case_rows, improved
from tests.helpers.reports import write_results

pytestmark = pytest.mark.slow


@pytest.fixture
def results(tmp_path):
    """Write a case with room, one at a false ceiling, and one that was not trained anew."""
    three = [
        write_results(tmp_path / name, dataset=name, cases=name != "none", room=name == "room")
        for name in ("room", "ceiling", "none")
    ]
    path = three[1].folder_of("improve") / "metrics.json"
    lows = {"mean_net_low": -1.0, "worst_net_low": -1.0}
    path.write_text(
        json.dumps(json.loads(path.read_text()) | lows | {"others_gain": 1, "accepted": 0})
    )
    return three


def test_a_case_has_a_row_and_the_last_one_counts_what_is_confirmed(results):
    assert [one.dataset for one in improved(results)] == ["room", "ceiling"]
    heading, room, ceiling, last = case_rows(results)
    assert {len(row) for row in (heading, room, ceiling, last)} == {len(heading)}
    gain = "+2.0 (+1.5 to +2.5)"
    best = "focal loss: -1.0 (-1.5 to -0.5), 0 down"  # a proposal is no baseline
    verdict = ["2", "room to improve", "yes"]
    assert room == ["room", *verdict, "direction 0.5", gain, gain, "0", best, "+3.0 (+2.0 to +4.0)"]
    assert ceiling[:5] == ["ceiling", "2", "at its ceiling", "no", "direction 0.5"]
    counts = "room: 1 of 1, ceiling: 0 of 1; mean and worst class both gain: 1 of 1 with room"
    assert last[:5] == ["all 2 with seeds", "", "", counts, "1 steps"]


def test_a_training_without_anything_random_is_shown_and_not_counted(results):
    results[0].parameters["train"]["model"] = "logistic"
    _, room, _, last = case_rows(results)
    assert room[3] == "yes, once"
    assert last[0] == "all 1 with seeds"
    assert last[3].startswith("room: 0 of 0, ceiling: 0 of 1;")


def test_what_was_not_compared_by_seed_has_a_dash_and_a_gain_of_one_measure_is_not_one_of_both(
    results,
):
    path = results[0].folder_of("improve") / "metrics.json"
    metrics = json.loads(path.read_text()) | {"worst_net_low": -0.1}
    path.write_text(json.dumps({k: v for k, v in metrics.items() if "beyond" not in k}))
    _, row, last = case_rows(results[:1])
    assert (row[3], row[-1]) == ("yes", "-")
    assert last[3].endswith("both gain: 0 of 1 with room")


@pytest.mark.parametrize(("gained", "down", "words"), [(1.5, 2, "in part"), (-0.5, 0, "no")])
def test_room_is_said_of_every_class(results, gained, down, words):
    path = results[0].folder_of("improve") / "metrics.json"
    lows = {"mean_net_low": gained, "worst_net_low": gained}
    metrics = json.loads(path.read_text()) | lows | {"classes_fall": down}
    path.write_text(json.dumps(metrics))
    _, row, last = case_rows(results[:1])
    assert row[3] == words
    assert last[3].startswith("room: 0 of 1, ceiling: 0 of 0;")


def test_the_picture_has_a_mark_for_each_class_and_case_and_says_how_well_they_agree(results):
    picture = case_picture(results)
    for axes in picture.figure.axes:
        marks = np.concatenate([bars.lines[0].get_xydata() for bars in axes.containers])
        assert marks.tolist() == [[1.8, 2.0]] * 4  # predicted, realised
        assert axes.get_xlim() == axes.get_ylim()
    assert picture.caption.count("holds the prediction for 4 of 4 marks") == 2
    (legend,) = picture.figure.legends
    words = [text.get_text() for text in legend.get_texts()]
    assert words == ["room: room to improve", "ceiling: at its ceiling"]


def test_without_a_case_there_is_no_picture(results):
    assert case_picture(results[2:]) is None


def test_a_path_without_a_step_has_no_marks_and_an_empty_gain(results):
    path = results[0].folder_of("improve")
    for name in ("table", "classes"):
        lines = (path / f"{name}.csv").read_text().splitlines()
        kept = [line for line in lines if not line.startswith("ceiling_path")]
        plain = [line for line in lines if line.startswith("plain")]
        moved = [line.replace("plain", "ceiling_path") for line in plain]
        (path / f"{name}.csv").write_text("\n".join([*kept, *moved]) + "\n")
    assert case_rows(results)[1][5:7] == ["0", "0"]
    first, second = case_picture(results).figure.axes
    assert len(first.containers[0].lines[0].get_xydata()) == 0
    assert len(second.containers[0].lines[0].get_xydata()) == 2


def test_a_case_without_a_proposal_has_no_marks_of_one(results):
    path = results[0].folder_of("improve") / "classes.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if not line.startswith("direction")) + "\n")
    _, second = case_picture(results[:1]).figure.axes
    assert len(second.containers[0].lines[0].get_xydata()) == 0
