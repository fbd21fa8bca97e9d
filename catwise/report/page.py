"""Render one self-contained page over all data sets, from their results alone."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from catwise.claims.evidence import VERDICTS
from catwise.claims.paper import FIGURES
from catwise.figures.labels import ANSWERS, case_labels
from catwise.pipeline.records import TopShare
from catwise.pipeline.results import STAGES, Results
from catwise.report import cases, provenance, removal_tables, sample_browser, table1, table2
from catwise.report.benchmarks import Benchmark
from catwise.report.metrics import flat
from catwise.report.sample_browser import Samples
from catwise.report.summary import Summary, summarize
from catwise.sharing import html

__all__ = ["Chapter", "Drawing", "Page", "render"]

READINGS = {1: "better", 0: "-", -1: "worse"}


@dataclass(frozen=True)
class Drawing:
    """Hold a picture as a PNG, where the paper has it (None: nowhere), and its words."""

    content: bytes
    paper: str | None
    title: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Chapter:
    """Hold what the page shows of one data set: its results, and its drawings by file name."""

    results: Results
    drawings: Mapping[str, Drawing]

    @property
    def name(self) -> str:
        return self.results.dataset

    @cached_property
    def summary(self) -> Summary:
        return summarize(self.results)

    @cached_property
    def samples(self) -> Samples:
        return sample_browser.samples_of(self.results)

    @property
    def cases(self) -> dict[str, str]:
        """Name the cases of Table 1 by their key; empty where no epoch was reweighted."""
        reweight = self.results.reweight
        return {} if reweight is None else case_labels(reweight.cases)

    @property
    def top_share(self) -> TopShare | None:
        """Return what removing the top share did; None where samples were trimmed instead."""
        removal = self.results.removal
        return removal if isinstance(removal, TopShare) else None

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        return {stage: flat(self.results.metrics(stage)) for stage in STAGES}

    @property
    def other_drawings(self) -> list[tuple[str, Drawing]]:
        """List the drawings below the influence plane, those that the paper has first."""
        rest = [item for item in self.drawings.items() if item[0] != "influence_plane.png"]
        return sorted(rest, key=lambda item: item[1].paper is None)


@dataclass(frozen=True)
class Page:
    """Hold all that the page is made of besides its template, style and script.

    ``claims`` is what claims.json holds; ``differences`` and ``environment`` are rows of text.
    """

    chapters: Sequence[Chapter]
    claims: Mapping[str, Any]
    benchmarks: Sequence[Benchmark]
    differences: Sequence[Sequence[str]]
    environment: Sequence[Sequence[str]]


def render(page: Page) -> str:
    """Return the page as HTML; pictures, style and script are in it, nothing else is fetched."""
    environment = html.environment()
    environment.filters["signed"] = signed
    for module in (provenance, removal_tables, sample_browser, table1):
        environment.globals[module.__name__.rpartition(".")[2]] = module
    template, script = (
        files("catwise.report").joinpath(f"page.{kind}").read_text() for kind in ("html", "js")
    )
    results, claims = [chapter.results for chapter in page.chapters], page.claims["claims"]
    carried = {one.dataset: one.provenance for one in results if one.provenance is not None}
    return environment.from_string(template).render(
        answers=ANSWERS,
        page=page,
        style=html.style(),
        script=Markup(script),
        readings=READINGS,
        case_labels={chapter.name: chapter.cases for chapter in page.chapters},
        improved=cases.case_picture(results),
        improved_rows=cases.case_rows(results),
        tally=tally(claims),
        claims=grouped(claims),
        rules={claim["key"]: rule_of(claim["key"], page.claims["rules"]) for claim in claims},
        figures=figures(page.chapters),
        removals=removal_tables.removals({one.dataset: one.metrics("removal") for one in results}),
        training=table2.training_rows(results),
        searching=table2.search_rows(results),
        times=provenance.times(carried) if carried else [],
    )


def tally(claims: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Count the claims of each verdict."""
    return [(verdict, sum(claim["verdict"] == verdict for claim in claims)) for verdict in VERDICTS]


def grouped(claims: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Collect the rows of each claim, in the order of the claims."""
    keys = dict.fromkeys(claim["key"] for claim in claims)
    return [[claim for claim in claims if claim["key"] == key] for key in keys]


def rule_of(key: str, rules: Mapping[str, str]) -> list[str]:
    """Return when a claim holds and when it holds in part.

    A rule is named like its claim, or like the first or last part of the keys of several claims.

    >>> rule_of("direct.targets", {"targets": "all are better | one is"})
    ['all are better', 'one is']
    """
    first, _, last = key.partition(".")
    name = next(name for name in (key, first, last) if name in rules)
    return rules[name].split(" | ")


def figures(chapters: Sequence[Chapter]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Give each figure of the paper, what to see in it, and where it is here: (data set, file)."""
    rows = []
    for name, what_to_see in FIGURES.items():
        kind, own_number = name.split()
        places = [
            (chapter.name, file)
            for chapter in chapters
            for file, drawing in chapter.drawings.items()
            if (drawing.paper or "").startswith(kind)
            and own_number in re.findall(r"\d+", drawing.paper or "")
        ]
        rows.append((name, what_to_see, places))
    return rows


def signed(value: float | None) -> str:
    """Write two digits with a sign; with a single seed there is no interval and no number."""
    return "?" if value is None else f"{value:+.2f}"
