"""Tests of the picture of predicted and realised gains over all cases."""

import pandas as pd

from catwise.figures.case_gains import case_gains
from catwise.figures.improvement import PATH


def test_more_cases_than_colours_are_told_apart():
    row = {"method": PATH, "proposed": False, "predicted": 1.0, "net": 1.0, "low": 0, "high": 2}
    cases = {f"case {i}": ("room", pd.DataFrame([row])) for i in range(12)}
    first, _ = case_gains(cases).figure.axes
    marks = [container.lines[0] for container in first.containers]
    looks = {(mark.get_color(), mark.get_markerfacecolor()) for mark in marks}
    assert len(marks) == len(looks) == 12


def test_a_case_without_marks_is_not_in_the_legend_and_bars_are_paler_than_marks():
    row = {"method": PATH, "proposed": False, "predicted": 1.0, "net": 1.0, "low": 0, "high": 2}
    tables = {"shown": row, "empty": {**row, "predicted": 0.0}}
    cases = {name: ("room", pd.DataFrame([one])) for name, one in tables.items()}
    figure = case_gains(cases).figure
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["shown: room to improve"]
    mark, _, (bar,) = figure.axes[0].containers[0].lines
    assert bar.get_alpha() < mark.get_alpha()
