"""The page is one file that says what the diagnosis says."""

import re
import sys
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader

from catwise.core.errors import InputError
from catwise.diagnosis import diagnose
from catwise.figures.class_matrix import class_shares
from catwise.sharing import page
from tests.helpers.browser import chromium, headless
from tests.helpers.diagnoses import CLASSES, diagnosis, noisy

pytestmark = pytest.mark.slow


class Reader(HTMLParser):
    """Note the ids, the links and what is fetched."""

    def __init__(self, text: str):
        super().__init__()
        self.ids, self.links, self.sources, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if tag == "a" else []
        self.sources += [attributes["src"]] if "src" in attributes else []
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text():
    return page.render(diagnosis(), "Blobs & more")


def words(text: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).replace("\u00a0", " ").split())


def test_nothing_is_fetched_and_every_link_has_its_place(text):
    reader = Reader(text)
    assert reader.open == []
    assert len(set(reader.ids)) == len(reader.ids)
    assert all(source.startswith("data:image/") for source in reader.sources)
    assert "url(" not in text
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.ids)
    assert [link for link in reader.links if link[0] != "#"] == ["https://arxiv.org/abs/2510.03950"]


def test_it_says_the_verdict_and_the_blocking_classes(text):
    assert diagnosis().verdict.sentence[1:] in words(text)
    first, second = diagnosis().ceiling.blocking
    assert f"Classes {first} and {second} are most in each other's way." in words(text)
    assert "<i>" not in text
    assert "Blobs &amp; more" in text


def test_the_samples_are_those_that_harm_and_help_most(text):
    order = diagnosis().p_nk.sum(axis=1).argsort(kind="stable")
    shown = [int(number) for number in re.findall(r"<h4>sample (\d+)</h4>", text)]
    assert shown == [*order[:12], *order[::-1][:12]]
    labels_n = noisy()[1][1].numpy()
    given = re.findall(r"<dt>label</dt><dd>(.*?)</dd>", text)
    assert [unescape(name) for name in given] == [CLASSES[labels_n[i]] for i in shown]


def test_a_series_of_names_is_read_in_its_order_whatever_its_index():
    names = pd.Series([f"row {i}" for i in range(240)], index=range(240)[::-1])
    shown = re.findall(r"<h4>row (\d+)</h4>", page.render(diagnosis(), "x", names=names))
    assert [int(number) for number in shown[:12]] == diagnosis().detrimental[:12].tolist()


def test_the_ties_are_sums_over_the_samples_of_a_label(text):
    p_nk, labels_n = diagnosis().p_nk, noisy()[1][1].numpy()
    shares = class_shares(p_nk, labels_n, 3)
    for j in range(3):
        for k in range(3):
            expected = p_nk[labels_n == j, k].sum() / np.abs(p_nk[:, k]).sum()
            assert shares[j, k] == pytest.approx(expected, rel=1e-12)  # another order of the sum
    off = np.where(np.eye(3, dtype=bool), 0, shares)
    j, k = np.unravel_index(np.abs(off).argmax(), off.shape)
    verb = "gains" if off[j, k] > 0 else "loses"
    line = f"samples of label {CLASSES[j]}, class {CLASSES[k]} {verb} {100 * abs(off[j, k]):.2g} %"
    assert line in words(text)


def test_the_verdict_decides_the_advice():
    at_ceiling, with_room, untold = (
        " ".join(
            page.advice(replace(diagnosis(), verdict=replace(diagnosis().verdict, answer=answer)))
        )
        for answer in ("ceiling", "room", "too_few_samples")
    )
    assert "Do not trust the weights of the diagnosis yet" in untold
    assert "`catwise.improve` may still gain" in untold
    assert "Do not train with the weights" in at_ceiling
    assert "catwise.improve" not in at_ceiling
    assert "Do not train with the weights" not in with_room
    assert "`catwise.improve` trains with weights of this kind" in with_room


@pytest.mark.parametrize("answer", ["ceiling", "room", "not_predictive"])
def test_after_improve_the_advice_is_to_go_by_what_it_found(answer):
    found = replace(diagnosis(), verdict=replace(diagnosis().verdict, answer=answer))
    before, after = (" ".join(page.advice(found, True, improved)) for improved in (False, True))
    assert "Train with `improved_weights.csv` only if the last line above" in after
    assert "diagnose --improve" not in after
    assert ("diagnose --improve" in before) == (answer != "ceiling")
    assert ("(--halves)" in before) == (answer == "not_predictive")


def test_the_page_of_the_command_begins_with_its_summary_and_advises_what_it_has(text):
    own = page.render(diagnosis(), "x", summary=["11 samples look mislabelled <8>"])
    assert "<strong>11 samples look mislabelled &lt;8&gt;.</strong>" in own.split('class="lede"')[0]
    for word in ("retrain=", "diagnosis.ask", "diagnosis.weights_n", "diagnosis.label_issues"):
        assert word not in own
    assert {"retrain=", "diagnosis.ask"} <= set(re.findall("retrain=|diagnosis.ask", text))
    assert "<code>--improve</code> lets" in own
    room = replace(diagnosis(), verdict=replace(diagnosis().verdict, answer="room"))
    assert "`catwise diagnose --improve` does" in " ".join(page.advice(room, of_command=True))


def test_the_page_says_what_influence_mass_is_and_what_the_list_rests_on(text):
    assert "of all that the training samples do to its loss, help and harm added up" in words(text)
    assert "Labels of held-out samples count as true" in words(text)


def test_groups_have_a_page_of_their_own():
    query = noisy()[2]
    asked = diagnosis().ask(query, ["old", "young"] * 60, "margin")
    text = words(page.render(asked, "x"))
    assert "Groups " in text
    assert "logits of margin" in text
    assert "2 groups" in text


def test_by_default_the_samples_look_as_the_model_sees_them(text):
    assert text.count('<table class="row">') == 24
    unknown = page.render(replace(diagnosis(), fitted=None), "x")
    assert '<table class="row">' not in unknown
    assert unknown.count("<h4>sample ") == 24
    x, query, y = torch.rand(60, 3, 8, 8), torch.rand(60, 3, 8, 8), torch.arange(60) % 2
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))
    data = [(x[i], int(y[i])) for i in range(60)]
    shown = page.render(diagnose(net, DataLoader(data, 16), (query, y), "ab"), "x")
    assert len(re.findall(r'<article class="sample">\s*<img src="data:image/png', shown)) == 24


def test_a_report_is_written_whole_and_needs_what_it_says(tmp_path, monkeypatch):
    diagnosis().report(tmp_path / "new/page.html", names=[f"row {i}" for i in range(240)])
    assert "<h4>row " in (tmp_path / "new/page.html").read_text()
    with pytest.raises(InputError, match="names: expected one for each of 240 training samples"):
        diagnosis().report(tmp_path / "page.html", names=["one"])
    assert not (tmp_path / "page.html").exists()
    for name in [name for name in sys.modules if name.startswith("catwise.sharing.page")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("catwise.sharing.page")
    monkeypatch.delitem(sys.modules, "catwise.figures.influence_plane")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InputError, match="report: expected the package matplotlib; got none; pip"):
        diagnosis().report(tmp_path / "page.html")


@pytest.mark.slow
@pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("looks", ["images", "texts", "rows"])
def test_in_a_browser_nothing_is_fetched_and_nothing_sticks_out(tmp_path, looks):
    parts = {
        "images": {"inputs": torch.rand(240, 3, 200, 300)},
        "texts": {"texts": ["word " * 200] * 239 + ["w" * 400]},
        "rows": {"inputs": torch.rand(240, 40)},
    }[looks]
    diagnosis().report(tmp_path / "page.html", title="a" * 60, **parts)
    with headless(tmp_path / "profile") as tab:
        for width in (1280, 390):
            tab.open(tmp_path / "page.html", width=width)
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert tab.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
        assert tab.complaints == []
        assert {url for url in tab.requests if not url.startswith("data:")} == {
            (tmp_path / "page.html").as_uri()
        }
