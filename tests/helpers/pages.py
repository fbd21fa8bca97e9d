"""Render pages over small reports, for the tests of the page."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from PIL import Image

from catwise.claims.judge import RULES, claims
from catwise.pipeline.results import Results
from catwise.report.page import Chapter, Drawing, Page, render

PAPER = {"influence_plane.png": "Figure 1", "removal.png": "Figures 3 and 4", "other.png": None}


def drawn(size: tuple[int, int]) -> bytes:
    """Draw a picture with many colours."""
    buffer = BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(buffer, format="PNG")
    return buffer.getvalue()


def chapter(results: Results) -> Chapter:
    """Put three drawings beside the results."""
    content = drawn((9, 5))
    drawings = {
        name: Drawing(content, paper, f"title of {name}", "what one sees", f"alt of {name}")
        for name, paper in PAPER.items()
    }
    return Chapter(results, drawings)


def rendered(results: Sequence[Results], claimed: Mapping[str, Any] | None = None) -> str:
    """Render the page of these data sets, with the paper's claims and without benchmarks."""
    judged = claimed or {"claims": [claim.record() for claim in claims([], None)], "rules": RULES}
    differences, environment = [("a `word`", "<there>", "here")], [["processor", "a chip"]]
    return render(Page([chapter(one) for one in results], judged, [], differences, environment))


def section(text: str, name: str) -> str:
    """Cut out one section of a page."""
    return text.split(f'<section id="{name}"')[1].split('<section id="')[0]
