"""One self-contained page over all data sets, from their reports alone."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from catwise.claims.paper import FIGURES
from catwise.figures.style import png
from catwise.report import sample_browser, table1, table2
from catwise.report.benchmarks import Bench
from catwise.report.removal_tables import diagonal, measured_on, removals, revision, times
from catwise.report.sample_browser import Seen
from catwise.report.summary import Answer, answer

__all__ = ["Chapter", "Page", "render"]

VERDICTS = ("holds", "holds in part", "does not hold", "not run here")


@dataclass(frozen=True)
class Chapter:
    """What the page shows of one data set: its card, metrics by stage, ceiling, and figures with their captions.

    ``tables``: rows as text of diagonal, rounds, table, printed and room; those that a data set has not are missing.
    ``measured``: the provenance of results that are carried; None for those of this run. ``seen``: its samples.
    """

    card: dict[str, Any]
    parameters: Mapping[str, Any]
    metrics: dict[str, dict[str, Any]]
    ceiling: dict[str, Any]
    figures: dict[str, bytes]
    captions: dict[str, dict[str, str]]
    seen: Seen
    measured: dict[str, Any] | None = None
    tables: dict[str, Sequence[dict[str, str]]] = field(default_factory=dict)

    def rows(self, name: str) -> Sequence[dict[str, str]]:
        return self.tables.get(name, ())

    @property
    def answer(self) -> Answer:
        names = ("diagonal", "rounds", "table", "room")
        return answer(
            self.metrics, self.ceiling, self._noise(), *(self.rows(name) for name in names)
        )

    def _noise(self) -> tuple[int, int, int] | None:
        flipped_n = self.seen.flipped_n.astype(bool)
        if not flipped_n.any():
            return None
        tenth = np.argsort(self.seen.p_nk.sum(axis=1), kind="stable")[
            : max(1, len(flipped_n) // 10)
        ]
        return len(tenth), int(flipped_n[tenth].sum()), int(flipped_n.sum())


@dataclass(frozen=True)
class Page:
    """All that the page is made of besides its template, ``style`` and ``script``."""

    chapters: dict[str, Chapter]
    claims: dict[str, Any]
    benches: list[Bench]
    differences: list[list[str]]
    environment: list[list[str]]


def render(page: Page) -> str:
    """The page as HTML; pictures, style and script are in it, nothing is fetched from anywhere."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=bound,
    )
    filters = (
        number,
        picture,
        diagonal,
        measured_on,
        revision,
        embedded,
        coded,
        png,
        listed,
        thumbnail,
        signed,
    )
    environment.filters |= {call.__name__: call for call in filters}
    used = {
        name: (chapter.card["source"], chapter.parameters)
        for name, chapter in page.chapters.items()
    }
    found = {
        "times": times(
            {name: chapter.measured for name, chapter in page.chapters.items() if chapter.measured}
        ),
        "removals": removals(
            {name: chapter.metrics["removal"] for name, chapter in page.chapters.items()}
        ),
        "figures": figures(page.chapters),
        "tally": tally(page.claims["claims"]),
        "claims": grouped(page.claims["claims"]),
        "training": table2.training(used),
        "searching": table2.searching(used),
    }
    template, style, script = (
        files("catwise.report").joinpath(f"page.{kind}").read_text()
        for kind in ("html", "css", "js")
    )
    given = {
        "page": page,
        "style": Markup(style),
        "script": Markup(script),
        "digest": table1,
        **found,
    }
    return environment.from_string(template).render(**given)


def tally(claims: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    """How many claims have each verdict."""
    return [(verdict, sum(claim["verdict"] == verdict for claim in claims)) for verdict in VERDICTS]


def grouped(claims: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The rows of each claim, in the order of the claims."""
    return [
        [claim for claim in claims if claim["key"] == key]
        for key in dict.fromkeys(row["key"] for row in claims)
    ]


def figures(chapters: Mapping[str, Chapter]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Each figure of the paper, what to see in it, and (data set, file) of the pictures that show it."""
    rows = []
    for name, see in FIGURES.items():
        kind, own = name.split()
        places = [
            (dataset, file)
            for dataset, chapter in chapters.items()
            for file, caption in chapter.captions.items()
            if (caption["paper"] or "").startswith(kind)
            and own in re.findall(r"\d+", caption["paper"])
        ]
        rows.append((name, see, places))
    return rows


def listed(seen: Seen) -> list[dict[str, Any]]:
    """The most detrimental samples, for the table that needs no script."""
    rows = []
    for row in sample_browser.worst(seen):
        harmed = int(seen.p_nk[row].argmin())
        found: dict[str, Any] = {
            "row": int(row),
            "given": seen.classes[seen.given_n[row]],
            "look": "",
        }
        found |= {
            "flipped": bool(seen.flipped_n[row]),
            "harms": seen.classes[harmed],
            "predicted": "-",
        }
        if seen.predicted_n is not None and seen.probability_n is not None:
            found["predicted"] = (
                f"{seen.classes[seen.predicted_n[row]]} ({seen.probability_n[row]:.2f})"
            )
        if seen.texts is not None:
            found["look"] = seen.texts[row]
        elif seen.points is not None:
            found["look"] = "({:.2f}, {:.2f})".format(*seen.points[row])
        rows.append(found | {"sum": f"{seen.p_nk[row].sum():.3g}"})
    return rows


def thumbnail(seen: Seen, row: int) -> str:
    """One image as a data URL."""
    assert seen.images is not None, "a data set without images has no thumbnails"
    return sample_browser.sheet(seen.images[[row]], 1)


def embedded(seen: Seen) -> Markup:
    """The samples as JSON inside a script element: no sign that could end it."""
    return Markup(
        json.dumps(sample_browser.payload(seen), separators=(",", ":")).replace("<", "\\u003c")
    )


def coded(text: str) -> Markup:
    """`this` as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def number(value: Any) -> str:
    """Four significant digits; a dash for what was not measured."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def bound(value: Any) -> Any:
    """A number and its % stay on one line."""
    return (
        value.replace(" %", "\u00a0%")
        if isinstance(value, str) and not isinstance(value, Markup)
        else value
    )


def signed(value: float | None) -> str:
    """Two digits with a sign; of a single seed there is no interval."""
    return "?" if value is None else f"{value:+.2f}"


def picture(content: bytes) -> str:
    """A PNG as a data URL, in at most 256 colours: a third of the size, and no difference that one sees in a chart."""
    buffer = BytesIO()
    Image.open(BytesIO(content)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        buffer, format="PNG"
    )
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
