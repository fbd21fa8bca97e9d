import numpy as np

from catwise.report.table1 import digest, layout, rooms
from catwise.reweighting.table1 import long, net_effect


def test_the_digest_counts_and_means_what_the_table_holds():
    net = net_effect(np.array([[0.1, -0.2, 0.0], [0.1, -0.2, 0.1]]), np.zeros((2, 3)))
    rows = []
    for measure in ("accuracy", "loss"):
        rows += long(
            {"method": "mine", "measure": measure},
            ["a", "b", "c"],
            [0, 2],
            {"before": np.ones(3)},
            net,
        )
    text = [{"case": "one"} | {key: str(value) for key, value in row.items()} for row in rows]
    heading, cells = digest(text)["one"]
    assert len(heading) == len(cells) == 9
    assert cells == [
        "mine",
        "+7.50",
        "-20.00",
        "-1.67",
        "1, 1",
        "+0.0750",
        "-0.2000",
        "-0.0167",
        "1, 1",
    ]


def test_the_layout_is_the_papers_with_the_control_beside_it():
    row = {
        "case": "one",
        "class": "5",
        "target": "True",
        "before": "0.821",
        "original": "0.785",
        "after": "0.798",
    }
    heading, cells = layout([row | {"change": "1.656", "all_ones": "0.785"}])["one"]
    assert heading == ["class", "before", "original", "after", "change, %", "all ones", "change, %"]
    assert cells == ["5 (target)", "0.821", "0.785", "0.798", "+1.66", "0.785", "+0.00"]
    assert (
        layout([row | {"original": "", "change": "0", "all_ones": "0.821"}])["one"][0][2] == "after"
    )


def test_no_rows_are_no_cases():
    assert digest([]) == layout([]) == {}


def test_there_is_room_where_the_interval_lies_above_zero():
    row = {
        "case": "one",
        "filter": "f",
        "headroom": "0.5",
        "crossfitted": "0.1",
        "high": "0.2",
        "sum_over_mass": "0",
    }
    rows = [row | {"anchor": "start", "low": "0.05"}, row | {"anchor": "end", "low": "-0.05"}]
    heading, start, end = rooms(rows)["one"]
    assert len(heading) == len(start) == len(end)
    assert start[3:] == ["10.00 (5.00 to 20.00)", "0.000", "room"]
    assert end[3:] == ["10.00 (-5.00 to 20.00)", "0.000", "ceiling, within noise"]
    assert rooms([]) == {}
