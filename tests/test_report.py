"""The page: what was measured elsewhere is marked, and verdicts are those of the tables."""

import pandas as pd
import pytest

from catwise import report
from catwise.report import Chapter, Cost

RUN = {
    "date": "2025-01-31",
    "processor": "a processor",
    "cores": 2,
    "gpu": None,
    "versions": {"torch": "2.0"},
    "commit": "abc1234def",
    "clean": True,
    "code_sha256": "5" * 64,
    "seconds": {"prepare": 30.0, "train": 570.0},
}
ABOUT = {
    "seconds": 600.0,
    "runs": [RUN],
    "data": {"origin": "a mirror", "notes": ["the mirror's train images are JPEG re-encodings"]},
}


def chapter(about=None, rows=(), removal=None):
    return Chapter(
        card={
            "counts": {"train": [5, 5], "test": [2, 2]},
            "classes": ["a", "b"],
            "flipped_training_labels": 0,
            "licence": "none",
            "sha256": "0" * 64,
        },
        metrics={
            "train": {"worst_class": "a", "worst_class_accuracy": 0.5, "mean_class_accuracy": 0.6},
            "influence": {"coverage": 0.98},
            "ceiling": {"headroom": 0.1, "first_component_ratio": 0.2, "verdict": "room for all"},
            "removal": removal or {},
        },
        ceiling={"exchange": {"a": 0.5, "b": 0.5}},
        figures={},
        captions={},
        diagonal=rows,
        measured=about,
    )


def page(**chapters):
    with open("catwise/report.html") as file:
        template = file.read()
    return report.render(template, chapters, Cost([["case"]], [["case"]], b"", "cost", "", ""))


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


def diagonal_rows():
    """Class a: as the paper says, both ways; b: beneficial in sign only, detrimental the other way."""
    means = {("a", "beneficial"): -0.05, ("a", "detrimental"): 0.04, ("b", "beneficial"): -0.005}
    rows = []
    for name in "ab":
        for group in ("beneficial", "detrimental", "random"):
            mean = means.get((name, group), -0.01)
            agrees = abs(mean) > 0.03
            found = {"mean": mean, "low": mean - 0.02, "high": mean + 0.02}
            found |= {f"net_{key}": value for key, value in found.items()}
            reading = "as the paper says" if agrees else "not significant"
            case = {"class": name, "group": group, "reading": reading, "net_reading": reading}
            rows += [{**case, "measure": measure, **found} for measure in ("accuracy", "loss")]
    return [{key: str(value) for key, value in row.items()} for row in rows]


def test_what_was_measured_elsewhere_is_marked_and_what_was_not_is_not():
    text = page(here=chapter(), there=chapter(ABOUT))
    first, second = text.split('<h2 id="here">')[1].split('<h2 id="there">')
    assert "Measured in this run" in first
    assert "a processor" not in first
    assert "Measured on a processor, 2 cores, 2025-01-31; 10 minutes; commit abc1234" in second
    assert "JPEG re-encodings" in second
    table = text.split('<h2 id="here">')[0]
    assert table.count("this run") == 1
    assert table.count("a processor, 2 cores, 2025-01-31; 10 minutes") == 1


def test_the_verdict_is_in_the_first_table_and_in_the_chapter():
    table, text = page(here=chapter()).split('<h2 id="here">')
    assert '<td class="note">room for all' in table
    assert "<strong>Verdict:</strong> room for all." in text


def test_a_set_measured_before_there_were_verdicts_has_none():
    old = chapter(ABOUT)
    del old.metrics["ceiling"]["verdict"]
    assert "Verdict" not in page(there=old)


def test_without_a_measured_set_no_table_of_times_is_shown():
    assert "measured elsewhere" not in page(here=chapter())
    assert report.times({"here": chapter()}) == []


def test_times_add_up_over_runs_on_several_machines():
    other = RUN | {"processor": "another", "gpu": "a GPU", "seconds": {"train": 30.0, "removal": 50.0}}
    about = ABOUT | {"runs": [RUN, other], "seconds": 680.0}
    assert report.times({"here": chapter(), "there": chapter(about)}) == [
        ["data set", "prepare", "train", "removal", "all"],
        ["there", "30 s", "10 minutes", "50 s", "11 minutes"],
    ]
    expected = "a processor, 2 cores, 2025-01-31, then a GPU and another, 2 cores, 2025-01-31; 11 minutes"
    assert report.measured_on(about) == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "commit abc1234"),
        ({"clean": False}, "commit abc1234 with changes"),
        ({"commit": None, "clean": None}, "code 555555555555 (no git there)"),
    ],
)
def test_the_code_that_measured_is_named(change, words):
    assert report.revision(ABOUT | {"runs": [RUN | change]}) == words


def test_the_diagonal_counts_classes_that_agree_with_the_paper():
    table, verdicts = report.diagonal(diagonal_rows())
    assert table[0] == ["class", "without beneficial", "without detrimental", "without random"]
    assert table[1][:2] == ["a", "-5.00 (-7.00 to -3.00)"]
    assert len(table) == 3
    assert (
        verdicts == ["beneficial 1 significantly, 1 in sign, 0 not; detrimental 1 significantly, 0 in sign, 1 not"] * 2
    )
    assert verdicts[0] in page(here=chapter(rows=diagonal_rows()))


def test_the_share_that_the_curvature_covers_is_on_the_page():
    assert "<td>coverage<td>0.98" in page(here=chapter())


def test_every_group_of_a_removal_is_a_row_with_its_interval_and_its_baseline():
    found = {
        f"{way}_{measure}_{group}{end}": 0.1 + number / 10
        for measure in ("accuracy", "loss")
        for number, group in enumerate(("beneficial", "detrimental", "random"))
        for way, ends in (("spearman", ("", "_low", "_high")), ("spearman_mean", ("",)), ("counted", ("",)))
        for end in ends
    }
    found["counted_loss_random"] = None  # all counts alike
    _, *rows = report.removals({"digits": found, "linear": {"rounds": 3}})
    assert [row[:3] for row in rows] == [
        ["digits", "beneficial", "0.10 (0.10 to 0.10)"],
        ["digits", "detrimental", "0.20 (0.20 to 0.20)"],
        ["digits", "random", "0.30 (0.30 to 0.30)"],
    ]
    assert rows[2][-1] == "-"
    assert rows[1][2] in page(here=chapter(removal=found))
    assert "labels counted" not in page(here=chapter())


def test_readings_are_those_that_the_removal_writes():
    """The page reads the words of ``catwise.removal.diagonal``."""
    removal = pytest.importorskip("catwise.removal")
    rows = [
        {"group": group, "target": target, "seed": seed, "class": name, "accuracy_change": change + seed / 1e4}
        | {"loss_change": -change, "influence": 0.0, "labelled": 0}
        for group, change in (("beneficial", -0.1), ("detrimental", 0.1), ("random", 0.0))
        for target in (("draw 0", "draw 1") if group == "random" else "ab")
        for seed in (0, 1, 2)
        for name in "ab"
    ]
    found = removal.diagonal(pd.DataFrame(rows)).astype(str).to_dict("records")
    _, verdicts = report.diagonal(found)
    assert verdicts[0] == "beneficial 2 significantly, 0 in sign, 0 not; detrimental 2 significantly, 0 in sign, 0 not"
