"""One self-contained page over all data sets, from their reports alone."""

import base64
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, StrictUndefined

__all__ = ["Chapter", "render"]


@dataclass(frozen=True)
class Chapter:
    """What the page shows of one data set: its card, metrics by stage, ceiling, and figures with their captions."""

    card: dict[str, Any]
    metrics: dict[str, dict[str, Any]]
    ceiling: dict[str, Any]
    figures: dict[str, bytes]
    captions: dict[str, dict[str, str]]


def render(template: str, chapters: dict[str, Chapter]) -> str:
    """The page as HTML; pictures are embedded, nothing is fetched from anywhere."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "picture": picture}
    return environment.from_string(template).render(chapters=chapters)


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
