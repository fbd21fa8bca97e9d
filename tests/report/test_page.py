"""The page is one file that holds everything, and says of each number whose it is."""

import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from catwise.claims import paper
from catwise.claims.evidence import Evidence
from catwise.claims.judge import RULES, claims
from catwise.figures import gallery
from catwise.report import page
from catwise.report.sample_browser import Samples, embedded
from tests.helpers.pages import chapter, rendered, section
from tests.helpers.reports import CASE, write_results

pytestmark = pytest.mark.slow

ODD = ("None", "NA", "True", "1")  # names of classes that a careless reader takes for values


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    return write_results(tmp_path_factory.mktemp("live"), ODD, dataset="here")


@pytest.fixture(scope="module")
def whole_page(live, tmp_path_factory):
    """Show a data set of this run and one that is carried."""
    folder = tmp_path_factory.mktemp("carried")
    carried = write_results(folder, dataset="there", looks="nothing", cases=False, carried=True)
    return rendered([live, carried])


def test_results_up_to_the_ceiling_are_drawn_judged_and_shown(tmp_path):
    """As `catwise measure --stop ceiling --carry` leaves them."""
    results = write_results(tmp_path, ODD, dataset="part", carried=True)
    for stage in ("removal", "fidelity", "reweight", "improve"):
        shutil.rmtree(results.folder_of(stage))
    assert set(gallery.draw(results)) == {
        *("influence_plane.png", "counts.png", "class_matrix.png", "ceiling.png"),
        "training_curves.png",
    }
    assert claims([Evidence(results, "a part", True)], None)
    text = rendered([results])
    assert Outline(text).open == []
    assert "part" in text


class Outline(HTMLParser):
    """Collect what a page fetches, its pictures, ids and links; check where elements end."""

    VOID = ("meta", "img", "col", "br", "input", "link", "hr")
    FETCHING = ("img", "script", "link", "iframe", "source", "object", "video", "audio")

    def __init__(self, text):
        super().__init__()
        self.open, self.fetched, self.alts, self.ids, self.links = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag in self.FETCHING:
            sources = ("src", "href", "data", "srcset")
            self.fetched += [value for key, value in attributes if key in sources]
        if tag == "img":
            self.alts.append(values.get("alt"))
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "a":
            self.links.append(values["href"])

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"


def test_the_page_is_one_valid_file_that_fetches_nothing(whole_page):
    outline = Outline(whole_page)
    assert outline.open == []
    assert all(url.startswith("data:image/png;base64,") for url in outline.fetched)
    assert outline.alts
    assert all(outline.alts), "a picture without words"
    assert len(outline.ids) == len(set(outline.ids))
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)
    fetching = r"@import|url\(['\"]?http|fetch\(|XMLHttpRequest|\bimport\b.*from"
    assert not re.search(fetching, whole_page)


def test_a_class_keeps_its_name_whatever_it_is_called(whole_page):
    shown = section(whole_page, "here")
    for name in ODD:
        assert f'<th scope="row">{name}</th>' in shown  # removal, class by class
        assert f"<td>{name}</td>" in shown  # labels in the table of samples
    headings = "".join(f'<th scope="col">{name}</th>' for name in ODD)
    assert f'<th scope="col">class</th>{headings}' in shown  # exchange rates
    assert '<th scope="row">None (target)</th>' in section(whole_page, "table1")
    assert "Classes None and NA block each other" in section(whole_page, "summary")
    (content,) = re.findall(r'id="samples-here">(.*?)</script>', whole_page, re.DOTALL)
    assert json.loads(content)["classes"] == list(ODD)


def test_what_was_measured_elsewhere_is_marked_and_what_was_not_is_not(whole_page):
    assert "Measured in this run" in section(whole_page, "here")
    assert "a processor" not in section(whole_page, "here")
    there = " ".join(section(whole_page, "there").split())
    assert "Measured on a processor, 2 cores, 2025-01-31; 10 minutes; commit abc1234" in there
    assert "JPEG re-encodings" in there
    assert "hold no images and no texts" in there
    summary = section(whole_page, "summary")
    assert summary.count("Measured in this run") == 1
    assert summary.count("Measured on a processor, 2 cores") == 1
    times = section(whole_page, "environment")
    assert "10 minutes" in times
    assert "here" not in re.findall(r'<th scope="row">(\w+)', times)


def test_without_a_carried_set_no_table_of_times_is_shown(live):
    assert "minutes" not in section(rendered([live]), "environment")


def test_what_was_gained_comes_first_and_the_chapter_repeats_its_headline(whole_page):
    first = ["improved", "summary", "claims"]
    assert re.findall(r'<section id="(\w+)"', whole_page)[:3] == first
    for name in ("summary", "here"):
        assert "Room: every class can gain at once" in section(whole_page, name)


def test_all_metrics_of_all_stages_are_on_the_page(whole_page):
    shown = section(whole_page, "here")
    assert "<td>influence</td><td>coverage</td><td>0.98</td>" in shown
    assert "<td>reweight</td><td>direct_improvement.search.loss.worst</td><td>-1</td>" in shown
    assert "<td>improve</td><td>answer</td><td>room</td>" in shown


def test_without_the_script_all_is_there_but_the_pointing(whole_page):
    text = re.sub(r"<script>.*?</script>", "", whole_page, flags=re.DOTALL)
    shown = section(text, "here")
    assert shown.count('<img class="thumb"') == 12
    assert "None (0.75)" in shown
    assert shown.count("<td>flipped</td>") == 2
    assert re.search(r'class="browser"[^>]* hidden>', shown)
    assert not re.search(r'class="still"[^>]* hidden', shown)


def test_the_samples_of_the_script_are_json_that_cannot_end_its_element():
    texts = ["</script><b>", "x", "y"]
    zeros = np.zeros(3, int)
    samples = Samples(np.eye(3)[:, :2], zeros, zeros, ("a", "b"), texts=texts)
    assert "</" not in embedded(samples)
    assert json.loads(embedded(samples))["text"] == texts


def test_signs_of_html_stay_text(whole_page):
    assert "&lt;there&gt;" in whole_page
    assert "a <code>word</code>" in whole_page


def test_the_same_results_give_the_same_bytes(live):
    assert rendered([live]) == rendered([live])


def test_a_page_on_which_nothing_was_trained_anew_begins_with_the_summary(tmp_path):
    text = rendered([write_results(tmp_path, cases=False)])
    assert "improved" not in Outline(text).ids
    assert "acting on" not in text.split("<main>")[0]


def test_every_claim_is_on_the_page_with_its_verdict(whole_page):
    shown = section(whole_page, "claims")
    for statement in paper.STATEMENTS.values():
        assert statement.says in unescape(shown)
    assert shown.count('<td class="verdict">') == len(claims([], None))


def test_every_claim_has_a_rule():
    for key in paper.STATEMENTS:
        holds, in_part = page.rule_of(key, RULES)
        assert holds != in_part


def test_a_claim_about_table_one_names_its_case_and_its_classes(live):
    line = {"class": "NA", "target": True, "paper": None, "paper_target": None, "printed": 1.5}
    line |= {"gain": 2.0, "low": None, "high": None, "reading": 1}
    claim = claims([], None)[0].record() | {"dataset": "here", "case": CASE["case"], "rows": [line]}
    shown = section(rendered([live], {"claims": [claim], "rules": RULES}), "claims")
    assert "direct improvement, 3 to 4, as trained" in shown
    cells = [re.sub("<.*?>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", shown)]
    assert '<th scope="row">NA</th>' in shown
    assert cells[-4:] == ["-", "+1.50", "+2.00 (? to ?)", "better"]


def test_every_figure_of_the_paper_is_listed_and_leads_to_its_picture(live):
    rows = {name: places for name, _, places in page.figures([chapter(live)])}
    assert set(rows) == {*(f"Figure {number}" for number in range(1, 9)), "Table 1"}
    assert rows["Figure 1"] == [("here", "influence_plane.png")]
    assert rows["Figure 3"] == rows["Figure 4"] == [("here", "removal.png")]
    assert rows["Figure 5"] == rows["Table 1"] == []


def test_table_one_tells_the_room_first_then_the_gains_then_the_papers_layout(whole_page):
    shown = section(whole_page, "table1")
    words = ["beyond the all-ones epoch", "LP-GA printed linear, start</th>", "As the paper prints"]
    start = shown.index("<h3>")
    places = [shown.index(word, start) for word in words]
    assert places == sorted(places)
