"""The page: what was measured elsewhere is marked, and verdicts are those of the tables."""

import base64
import json
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from catwise.claims import paper
from catwise.claims.judge import RULES, claims
from catwise.report import benchmarks, removal_tables, table2
from catwise.report import page as page_
from catwise.report.page import Chapter, Page
from catwise.report.sample_browser import Seen
from catwise.reweighting import genetic_search
from stages.report import BENCHMARKS

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


def drawn(size):
    buffer = BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(buffer, format="PNG")
    return buffer.getvalue()


PICTURE = drawn((9, 5))


def chapter(about=None, rows=(), removal=None, figures=None, seen=None, reweight=False):
    card = {
        "counts": {"train": [5, 5], "test": [2, 2]},
        "classes": ["a", "b"],
        "flipped_training_labels": 0,
    }
    pictures = (
        {"influence_plane.png": PICTURE, "removal.png": PICTURE} if figures is None else figures
    )
    paper = {"influence_plane.png": "Figure 1", "removal.png": "Figures 3 and 4"}
    return Chapter(
        card=card | {"licence": "none", "sha256": "0" * 64, "source": "digits"},
        parameters={
            "train": {"model": "cnn", "epochs": 3},
            "reweight": None,
            "figures": {"classes": ["a", "b"]},
        },
        metrics={
            "train": {"worst_class": "a", "worst_class_accuracy": 0.5, "mean_class_accuracy": 0.6},
            "influence": {"coverage": 0.98, "joint_negative_share": 0.1},
            "ceiling": {
                "headroom": 0.1,
                "first_component_ratio": 0.2,
                "verdict": "room for all",
                "room": 1,
            }
            | {"crossfitted": 0.05, "crossfitted_low": 0.03, "crossfitted_high": 0.07},
            "removal": removal or {},
        },
        ceiling={"exchange": {"a": 0.6, "b": 0.4}},
        figures=pictures,
        captions={
            name: {
                "paper": paper.get(name),
                "title": name,
                "caption": "what",
                "alt": f"picture {name}",
            }
            for name in pictures
        },
        seen=seen
        or Seen(np.eye(10)[:, :2] - 0.1, np.arange(10) % 2, np.zeros(10, bool), ("a", "b")),
        measured=about,
        tables={"diagonal": rows} | (one_case() if reweight else {}),
    )


def one_case():
    """A case of Table 1, with its room, as the reports have it."""
    case = {"case": "direct improvement, 1 to 2"}
    row = case | {
        "method": "LP-GA",
        "target": "True",
        "gain": "0.1",
        "reading": "better",
        "class": "a",
    }
    printed = case | {
        "class": "a",
        "target": "True",
        "before": "0.5",
        "original": "",
        "after": "0.6",
        "change": "20",
    }
    room = case | {
        "filter": "f",
        "headroom": "0.3",
        "crossfitted": "0.1",
        "low": "0.05",
        "high": "0.2",
    }
    room |= {"sum_over_mass": "0.1", "verdict": "room"}
    return {
        "table": [row | {"measure": measure} for measure in ("accuracy", "loss")],
        "printed": [printed | {"all_ones": "0.55"}],
        "room": [room | {"anchor": anchor} for anchor in ("start", "end")],
    }


def page(**chapters):
    template, style, script = (
        Path("catwise", f"report.{kind}").read_text() for kind in ("html", "css", "js")
    )
    judged = {"claims": [claim.record() for claim in claims([], None)], "rules": RULES}
    shown = Page(chapters, judged, [], [["a `word`", "<there>", "here"]], [["processor", "a chip"]])
    return page_.render(template, shown, style=style, script=script)


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


def section(text, name):
    return text.split(f'<section id="{name}"')[1].split('<section id="')[0]


def test_what_was_measured_elsewhere_is_marked_and_what_was_not_is_not():
    text = page(here=chapter(), there=chapter(ABOUT))
    assert "Measured in this run" in section(text, "here")
    assert "a processor" not in section(text, "here")
    words = "Measured on a processor, 2 cores, 2025-01-31; 10 minutes; commit abc1234"
    assert words in section(text, "there")
    assert "JPEG re-encodings" in section(text, "there")
    assert "hold no images and no texts" in section(text, "there")
    assert section(text, "answer").count("Measured in this run") == 1
    assert section(text, "answer").count("Measured on a processor, 2 cores") == 1


def test_the_answer_comes_first_and_the_verdict_is_in_the_chapter_too():
    text = page(here=chapter())
    assert re.findall(r'<section id="(\w+)"', text)[:2] == ["answer", "claims"]
    assert "Not at its ceiling" in section(text, "answer")
    assert "<strong>Verdict:</strong> room for all." in section(text, "here")


def test_a_set_measured_before_there_were_verdicts_has_none():
    old = chapter(ABOUT)
    for key in ("verdict", "room", "crossfitted"):
        del old.metrics["ceiling"][key]
    text = page(there=old)
    assert "Verdict:" not in text
    assert "No verdict" in section(text, "answer")


def test_without_a_measured_set_no_table_of_times_is_shown():
    assert "minutes" not in section(page(here=chapter()), "environment")
    assert removal_tables.times({}) == []


def test_times_add_up_over_runs_on_several_machines():
    other = RUN | {
        "processor": "another",
        "gpu": "a GPU",
        "seconds": {"train": 30.0, "removal": 50.0},
    }
    about = ABOUT | {"runs": [RUN, other], "seconds": 680.0}
    assert removal_tables.times({"there": about}) == [
        ["data set", "prepare", "train", "removal", "all"],
        ["there", "30 s", "10 minutes", "50 s", "11 minutes"],
    ]
    expected = (
        "a processor, 2 cores, 2025-01-31, then a GPU and another, 2 cores, 2025-01-31; 11 minutes"
    )
    assert removal_tables.measured_on(about) == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "commit abc1234"),
        ({"clean": False}, "commit abc1234 with changes"),
        ({"commit": None, "clean": None}, "code 555555555555 (no git there)"),
    ],
)
def test_the_code_that_measured_is_named(change, words):
    assert removal_tables.revision(ABOUT | {"runs": [RUN | change]}) == words


def test_the_diagonal_counts_classes_that_agree_with_the_paper():
    table, verdicts = removal_tables.diagonal(diagonal_rows())
    assert table[0] == ["class", "without beneficial", "without detrimental", "without random"]
    assert table[1][:2] == ["a", "-5.00 (-7.00 to -3.00)"]
    assert len(table) == 3
    assert (
        verdicts
        == [
            "beneficial 1 significantly, 1 in sign, 0 not; detrimental 1 significantly, 0 in sign, 1 not"
        ]
        * 2
    )
    assert verdicts[0] in page(here=chapter(rows=diagonal_rows()))


def test_the_share_that_the_curvature_covers_is_on_the_page():
    assert "<td>coverage</td><td>0.98</td>" in page(here=chapter())


def test_every_group_of_a_removal_is_a_row_with_its_interval_and_its_baseline():
    found = {
        f"{way}_{measure}_{group}{end}": 0.1 + number / 10
        for measure in ("accuracy", "loss")
        for number, group in enumerate(("beneficial", "detrimental", "random"))
        for way, ends in (
            ("spearman", ("", "_low", "_high")),
            ("spearman_mean", ("",)),
            ("counted", ("",)),
        )
        for end in ends
    }
    found["counted_loss_random"] = None  # all counts alike
    _, *rows = removal_tables.removals({"digits": found, "linear": {"rounds": 3}})
    assert [row[:3] for row in rows] == [
        ["digits", "beneficial", "0.10 (0.10 to 0.10)"],
        ["digits", "detrimental", "0.20 (0.20 to 0.20)"],
        ["digits", "random", "0.30 (0.30 to 0.30)"],
    ]
    assert rows[2][-1] == "-"
    assert rows[1][2] in page(here=chapter(removal=found))
    assert "labels counted" not in page(here=chapter())


def test_readings_are_those_that_the_removal_writes():
    """The page reads the words of ``catwise.removal.effects.diagonal``."""
    removal = pytest.importorskip("catwise.removal")
    rows = [
        {
            "group": group,
            "target": target,
            "seed": seed,
            "class": name,
            "accuracy_change": change + seed / 1e4,
        }
        | {"loss_change": -change, "influence": 0.0, "labelled": 0}
        for group, change in (("beneficial", -0.1), ("detrimental", 0.1), ("random", 0.0))
        for target in (("draw 0", "draw 1") if group == "random" else "ab")
        for seed in (0, 1, 2)
        for name in "ab"
    ]
    found = removal.diagonal(pd.DataFrame(rows)).astype(str).to_dict("records")
    _, verdicts = removal_tables.diagonal(found)
    assert (
        verdicts[0]
        == "beneficial 2 significantly, 0 in sign, 0 not; detrimental 2 significantly, 0 in sign, 0 not"
    )


class Outline(HTMLParser):
    """What a page fetches, its pictures, its ids and links, and whether every element ends where it should."""

    VOID = ("meta", "img", "col", "br", "input", "link", "hr")

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.alts, self.ids, self.links = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in ("img", "script", "link", "iframe", "source", "object", "video", "audio"):
            self.fetched += [
                value for key, value in attributes if key in ("src", "href", "data", "srcset")
            ]
        if tag == "img":
            self.alts.append(found.get("alt"))
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a":
            self.links.append(found["href"])

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"


def pixels(n=10):
    return Seen(
        np.eye(n)[:, :2] - 0.1,
        np.arange(n) % 2,
        np.arange(n) < 2,
        ("a", "b"),
        *SAID,
        np.ones((n, 1, 8, 8)),
    )


SAID = (np.arange(10) % 2, np.full(10, 0.75))


def whole_page():
    pictured = chapter(seen=pixels(), reweight=True)
    pictured.metrics["influence"]["flipped_label_auc"] = 0.9
    return page(here=pictured, there=chapter(ABOUT, rows=diagonal_rows()))


def test_the_page_is_one_valid_file_that_fetches_nothing():
    outline = Outline()
    text = whole_page()
    outline.feed(text)
    assert outline.open == []
    assert all(url.startswith("data:image/png;base64,") for url in outline.fetched)
    assert outline.alts
    assert all(outline.alts), "a picture without words"
    assert len(outline.ids) == len(set(outline.ids))
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)
    assert not re.search(r"@import|url\(['\"]?http|fetch\(|XMLHttpRequest|\bimport\b.*from", text)


def test_without_a_script_all_is_there_but_the_pointing():
    text = re.sub(r"<script>.*?</script>", "", whole_page(), flags=re.DOTALL)
    shown = section(text, "here")
    assert shown.count('<img class="thumb"') == 10
    assert "a (0.75)" in shown
    assert shown.count("flipped</td>") == 2
    assert '<div class="browser"' in shown
    assert re.search(r'class="browser"[^>]* hidden>', shown)
    assert not re.search(r'class="still"[^>]* hidden', shown)


def test_the_samples_of_the_script_are_json_that_cannot_end_its_element():
    mine = Seen(
        np.eye(3)[:, :2],
        np.zeros(3, int),
        np.zeros(3, bool),
        ("a", "b"),
        texts=["</script><b>", "x", "y"],
    )
    text = page(here=chapter(seen=mine))
    (content,) = re.findall(
        r'<script type="application/json" id="samples-here">(.*?)</script>', text, re.DOTALL
    )
    assert json.loads(content)["text"][0] == "</script><b>"


def test_a_name_with_signs_of_html_stays_text():
    text = page(here=chapter())
    assert "&lt;there&gt;" in text
    assert "a <code>word</code>" in text


def test_the_same_reports_give_the_same_bytes():
    assert whole_page() == whole_page()


def test_every_claim_is_on_the_page_with_its_verdict():
    shown = section(page(here=chapter()), "claims")
    for statement in paper.STATEMENTS.values():
        assert statement.says.replace("'", "&#39;") in shown
    assert shown.count('<td class="verdict">') == len(claims([], None))


def test_every_figure_of_the_paper_is_listed_and_leads_to_its_picture():
    rows = {name: places for name, _, places in page_.figures({"here": chapter()})}
    assert set(rows) == {*(f"Figure {number}" for number in range(1, 9)), "Table 1"}
    assert rows["Figure 1"] == [("here", "influence_plane.png")]
    assert rows["Figure 3"] == rows["Figure 4"] == [("here", "removal.png")]
    assert rows["Figure 5"] == rows["Table 1"] == []


def test_table_one_tells_the_room_first_then_the_net_gain_then_the_paper_s_layout():
    shown = section(page(here=chapter(reweight=True)), "table1")
    words = ["beyond plain training", '<th scope="row">LP-GA</th>', "As the paper prints it"]
    places = [shown.index(word, shown.index("<h3>")) for word in words]
    assert places == sorted(places)


def test_hyper_parameters_stand_beside_the_papers_where_they_differ():
    train = {"model": "resnet9", "width": 8, "epochs": 6, "learning_rate": 0.4}
    search = {
        "generations": 3,
        "population": 24,
        "cases": [{"recipe": "as_trained"}, {"recipe": {"learning_rate": 0.1}}],
    }
    for case in search["cases"][1:]:
        case["recipe"] |= {"batch_size": 5, "weight_decay": 0.0}
    used = {
        "x": ("cifar10", {"train": train, "reweight": search}),
        "y": ("digits", {"train": train, "reweight": None}),
    }
    rows = {row[0]: row[1:] for row in table2.training(used)}
    assert rows["epochs"] == ["6 (paper: 25)", "6"]
    assert rows["learning rate"] == ["0.4", "0.4"]
    rows = {row[0]: row[1:] for row in table2.searching(used)}
    assert rows["generations"] == ["20", "3"]
    assert rows["learning rate"] == ["0.0001", "as trained, 0.1"]
    assert table2.searching({"y": used["y"]}) == []


def test_the_search_is_as_table_two_prints_it():
    search = genetic_search.GeneticSearch.__init__.__kwdefaults__
    for key in ("mutation_rate", "mutation_strength"):
        assert search[key] == paper.GENETIC[key]


def test_benchmarks_that_were_not_run_are_not_shown_and_those_that_were_are():
    assert benchmarks.benches({}) == []
    hits = {"hits": 9, "of": 10, "low": 0.5, "high": 1.0}
    case = {
        "room": True,
        "verdict": hits,
        "paper": hits | {"hits": 1},
        "mean": {"headroom": 0.1, "crossfitted": 0.1},
    }
    points = [{"share": 0.1 * n, "headroom": 0.01 * n, "loss_worst": 0.02 * n} for n in range(4)]
    fault = {
        "fault": "SIGKILL",
        "what": "the same bytes",
        "cases": 50,
        "passed": 50,
        "interval": {"low": 0.93, "high": 1.0},
    }
    shown = benchmarks.benches(
        {
            "ceiling": {"cases": {"one": case}},
            "calibration": {
                "correlations": {
                    f"headroom, {what}_worst": [0.9, 0.8, 0.95] for what in ("loss", "accuracy")
                },
                "rows": points,
            },
            "faults": {
                "faults": [
                    fault | {"failures": []},
                    {"fault": "one", "what": "w", "cases": 9, "passed": 4}
                    | {"failures": list("abcde")},
                ]
            },
        }
    )
    assert [bench.name for bench in shown] == ["ceiling", "calibration", "faults"]
    assert shown[0].tables[0][1][3:5] == ["90 % (50 to 100)", "10 % (50 to 100)"]
    assert "rho 0.90 (95 % 0.80 to 0.95, over trainings)" in shown[1].picture.caption
    assert shown[2].tables[0][1] == [
        "SIGKILL",
        "the same bytes",
        "50",
        "50",
        "93.0 to 100.0 %",
        "-",
    ]
    assert shown[2].tables[0][2] == ["one", "w", "9", "4", "-", "a; b; c; and 2 more"]


def test_a_picture_keeps_its_size_and_nearly_its_colours():
    url = page_.picture(drawn((60, 40)))
    shown = Image.open(BytesIO(base64.b64decode(url.split(",")[1])))
    assert shown.size == (60, 40)
    difference = np.asarray(shown.convert("RGB"), int) - np.asarray(
        Image.open(BytesIO(drawn((60, 40)))), int
    )
    assert np.abs(difference).max() <= 2


def test_every_benchmark_that_the_repository_carries_can_be_shown():
    found = {
        path.stem: json.loads(path.read_text())
        for path in Path("reports").glob("*.json")
        if path.stem in BENCHMARKS
    }
    shown = benchmarks.benches(found)
    assert {bench.name for bench in shown} == set(found) - {
        "ranking"
    }  # which is in the picture of bench
    assert all(len(row) == len(rows[0]) for bench in shown for rows in bench.tables for row in rows)
