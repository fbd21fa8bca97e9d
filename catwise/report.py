"""One self-contained page over all data sets, from their reports alone."""

import base64
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, StrictUndefined

__all__ = ["Chapter", "Cost", "costs", "render"]


@dataclass(frozen=True)
class Chapter:
    """What the page shows of one data set: its card, metrics by stage, ceiling, and figures with their captions."""

    card: dict[str, Any]
    metrics: dict[str, dict[str, Any]]
    ceiling: dict[str, Any]
    figures: dict[str, bytes]
    captions: dict[str, dict[str, str]]


@dataclass(frozen=True)
class Cost:
    """The benchmark: a table (rows of text) and its picture."""

    rows: list[list[str]]
    figure: bytes
    title: str
    caption: str
    alt: str


def costs(bench: dict[str, Any]) -> list[list[str]]:
    """A heading and a row per case and method: seconds, times ours, peak memory, memory of the query gradients."""
    rows = [["case", "n, m", "method", "seconds", "times ours", "peak, MB", "query gradients, MB"]]
    for case, found in bench["cases"].items():
        for part, size in (("scores", f"{found['n']}, {found['m']}"), ("fits", f"{found['fitted']}")):
            for method, value in found[part].items():
                memory = found["query gradients, bytes"].get(method) if part == "scores" else None
                seconds, ratio = f"{value['seconds']:.2f}", f"{value['seconds / ours']:.1f}"
                peak, held = f"{value['peak bytes'] / 1e6:.0f}", "-" if memory is None else f"{memory / 1e6:.2f}"
                rows.append([case, size, f"{part}: {method}", seconds, ratio, peak, held])
    return rows


def render(template: str, chapters: dict[str, Chapter], cost: Cost) -> str:
    """The page as HTML; pictures are embedded, nothing is fetched from anywhere."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "picture": picture}
    return environment.from_string(template).render(chapters=chapters, cost=cost)


def number(value: Any) -> str:
    """Four significant digits; a dash for what was not measured."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def picture(content: bytes, name: str) -> str:
    """A PNG as a data URL."""
    if not name.endswith(".png"):
        raise ValueError(f"expected a PNG, came {name}")
    return "data:image/png;base64," + base64.b64encode(content).decode()
