"""The page's script does in a real browser, without a network, what a person expects of it."""

import pytest

from tests.helpers.browser import chromium, headless
from tests.helpers.pages import rendered
from tests.helpers.reports import write_results

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine"),
]
IMAGES, POINTS = "#images .browser", "#points .browser"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    pictured = write_results(folder / "images", ("None", "<b>", "True"), dataset="images")
    plotted = write_results(folder / "points", dataset="points", looks="points", flips=0)
    (folder / "index.html").write_text(rendered([pictured, plotted]))
    return folder / "index.html"


@pytest.fixture(scope="module")
def tab(file):
    with headless(file.parent / "profile") as browser:
        browser.open(file)
        yield browser


def element(selector: str, number: int = 0) -> str:
    return f"document.querySelectorAll({selector!r})[{number}]"


def choose(tab, selector: str, number: int, value: str) -> None:
    """Choose an option of a menu, as a person does."""
    menu = element(selector, number)
    tab.evaluate(f"{menu}.value = {value!r}; {menu}.dispatchEvent(new Event('change'))")


def texts(tab, selector: str) -> list[str]:
    return tab.evaluate(f"[...document.querySelectorAll({selector!r})].map((e) => e.innerText)")


def influences(tab, browser: str = IMAGES) -> list[float]:
    """Read the influences of the sorted list from its buttons."""
    return [float(text.split()[-1]) for text in texts(tab, f"{browser} .cells button")]


def test_the_script_takes_the_place_of_the_table(tab):
    for browser in (IMAGES, POINTS):
        assert tab.evaluate(f"{element(browser)}.hidden") is False
        assert tab.evaluate(f"{element(browser)}.parentNode.querySelector('.still').hidden") is True
    marks = f"{element(IMAGES)}.querySelectorAll('.plane :is(circle, rect, path):not(.halo)')"
    assert tab.evaluate(f"{marks}.length") == 30


def test_the_list_is_sorted_and_a_choice_sorts_it_again(tab):
    worst = influences(tab)
    assert worst == sorted(worst)
    choose(tab, f"{IMAGES} select", 2, "beneficial")
    best = influences(tab)
    assert best == sorted(best, reverse=True) != worst
    choose(tab, f"{IMAGES} select", 3, "1")
    assert influences(tab) == sorted(influences(tab), reverse=True) != best
    tab.point(element(f"{IMAGES} input[type=checkbox]"))
    assert len(influences(tab)) == 2
    tab.point(element(f"{IMAGES} input[type=checkbox]"))
    assert len(influences(tab)) == 24


def test_a_click_shows_the_sample(tab):
    tab.point(element(f"{IMAGES} .cells button", 3))
    pressed = tab.evaluate(f"{element(IMAGES + ' .cells button', 3)}.ariaPressed")
    row = tab.evaluate(f"{element(IMAGES + ' .cells button', 3)}.dataset.i")
    assert pressed == "true"
    facts = texts(tab, f"{IMAGES} .detail dd")
    assert facts[0] == row
    assert facts[2].endswith("(probability 0.75)")
    assert len(texts(tab, f"{IMAGES} .bars tr")) == 3
    assert tab.evaluate(f"{element(IMAGES)}.querySelectorAll('.plane .halo').length") == 1
    image = f"getComputedStyle({element(IMAGES + ' .detail .pixels')}).backgroundImage"
    assert tab.evaluate(image).startswith('url("data:image/png')


def test_pointing_at_a_mark_shows_its_sample(tab):
    shown = f"{element(POINTS)}.querySelector('.detail dd').innerText"
    before = tab.evaluate(shown)
    for number in range(4):
        tab.point(element(f"{POINTS} .plane circle:not(.halo)", number), click=False)
        if tab.evaluate(shown) != before:
            break
    assert tab.evaluate(shown) != before
    assert tab.evaluate(f"{element(POINTS)}.querySelectorAll('.detail .map .halo').length") == 1


def test_another_class_on_an_axis_moves_the_marks_and_names_the_quarters(tab):
    corner = f"{element(IMAGES)}.querySelector('.plane text').textContent"
    assert tab.evaluate(corner) == "helps <b>, harms None"
    choose(tab, f"{IMAGES} select", 0, "2")
    assert tab.evaluate(corner) == "helps <b>, harms True"


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_sticks_out_of_the_window_and_nothing_complains(tab, file, width):
    tab.open(file, width=width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.complaints == []
    assert {url.split(":")[0] for url in tab.requests} == {"file", "data"}
