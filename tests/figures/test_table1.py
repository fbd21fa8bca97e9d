"""The laws of the figures of Table 1: whom they show, and that they count nothing themselves."""

import pandas as pd
import pytest

from catwise.figures import refresh, searches, table1, tradeoff
from catwise.figures.style import COLOURS
from tests.helpers.reports import DIRECTION, ORACLE, SEARCH, SHUFFLED, write_results

CLASSES = ("a", "b", "c")


@pytest.fixture
def tables(tmp_path):
    return write_results(tmp_path, CLASSES).reweight


def labels(axes) -> list[str]:
    return axes.get_legend_handles_labels()[1]


def test_rivals_are_methods_and_no_shuffled_control(tables):
    rivals = table1.rivals(tables.table)
    assert list(rivals) == [SEARCH.key, DIRECTION.key, ORACLE.key]
    assert rivals[SEARCH.key] == "LP-GA printed linear, start"
    assert SHUFFLED.key not in rivals


def test_targets_alone_are_red(tables):
    axes = table1.table_one(tables.cases, tables.table, tables.summary).figure.axes[0]
    red = [tick.get_text() for tick in axes.get_xticklabels() if tick.get_color() == COLOURS[3]]
    assert red == ["a"]


def test_a_method_that_one_case_lacks_is_in_the_legend_and_looks_the_same_in_all(tables):
    case = tables.cases["case"].iloc[0]
    cases = pd.concat([tables.cases, tables.cases.assign(case="course_correction")])
    fewer = [table[table["method"] != SEARCH.key] for table in (tables.table, tables.summary)]
    both = [
        pd.concat([whole[whole["case"] == case], few.assign(case="course_correction")])
        for whole, few in zip((tables.table, tables.summary), fewer, strict=True)
    ]
    figure = table1.table_one(cases.assign(kind=cases["case"]), *both).figure
    first, second = figure.axes[0], figure.axes[2]
    assert labels(second) == labels(first)[1:]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == labels(first)
    colours = [
        {label: handle[0].get_color() for handle, label in zip(*drawn, strict=True)}
        for drawn in (first.get_legend_handles_labels(), second.get_legend_handles_labels())
    ]
    assert colours[1].items() < colours[0].items()


def test_the_caption_tells_the_counts_of_the_stage(tables):
    summary = tables.summary.assign(better=7, worse=5)
    caption = table1.table_one(tables.cases, tables.table, summary).caption
    assert "oracle: no flipped label 7/5 and 7/5" in caption


def test_the_tradeoff_shows_methods_without_a_search_as_single_points(tables):
    axes = tradeoff.tradeoff(tables.cases, tables.tradeoff).figure.axes[0]
    assert labels(axes) == ["direction loss horizon, end", "oracle: no flipped label"]


def test_a_case_of_controls_alone_has_no_row_in_the_tradeoff(tables):
    points = tables.tradeoff
    controls = points[~points["family"].isin(tradeoff.METHODS)].assign(case="controls")
    assert len(controls)
    cases = pd.concat([tables.cases, tables.cases.assign(case="controls")])
    figure = tradeoff.tradeoff(cases, pd.concat([points, controls])).figure
    assert len(figure.axes) == 2  # accuracy and loss


def test_a_search_on_one_split_has_a_line_of_its_own(tables):
    axes = searches.searches(tables.cases, tables.history).figure.axes[0]
    name = "LP-GA printed linear, start"
    assert labels(axes) == [name, f"{name}, one split"]


def test_the_refresh_stands_beside_the_epoch_before_and_the_weights(tables):
    picture = refresh.refresh(tables.cases, tables.refresh)
    (axes,) = picture.figure.axes
    search = "LP-GA printed linear, start"
    methods = ["refreshed statistics, no step", "all ones", search, f"shuffled {search}"]
    assert labels(axes) == ["before", *methods]
    assert "refreshed statistics, no step +10.0 and +10.0" in picture.caption
    red = [tick.get_text() for tick in axes.get_xticklabels() if tick.get_color() == COLOURS[3]]
    assert red == ["a"]
