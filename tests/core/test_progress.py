import io
import re
import sys

import pytest

from catwise.core import progress as progress_


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def ticking(monkeypatch):
    """Make every look at the clock find it six seconds later."""
    clock = iter(range(0, 1000, 6))
    monkeypatch.setattr(progress_.time, "monotonic", lambda: next(clock))


@pytest.mark.usefixtures("ticking")
def test_a_log_gets_a_line_every_ten_seconds_with_what_is_left(monkeypatch):
    monkeypatch.setattr(sys, "stderr", log := io.StringIO())
    assert list(progress_.progress(range(5), "steps")) == list(range(5))
    assert log.getvalue().splitlines() == [
        "steps: 2/5, about 18 s left",
        "steps: 4/5, about 6 s left",
    ]


@pytest.mark.usefixtures("ticking")
def test_a_terminal_gets_one_line_that_is_renewed(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    list(progress_.progress((item for item in "abc"), "steps", 3))
    text = terminal.getvalue()
    assert text.count("\n") == 1
    assert re.findall(r"steps: (\d)/3", text) == ["1", "2", "3"]


def test_a_short_loop_shows_nothing(capsys):
    list(progress_.progress([1], "steps"))
    assert capsys.readouterr().err == ""
