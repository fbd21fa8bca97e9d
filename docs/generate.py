"""Renew what README.md and docs/*.md take from elsewhere: ``make readme``.

A generated part stands between ``<!-- name -->`` and ``<!-- /name -->``. The parts of ``PROJECT``
need the files of the repository alone, and a test compares them; those of ``RESULTS`` need the
outputs of ``dvc repro`` as well.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from catwise.pipeline.stage import ending
from catwise.report.cases import case_rows
from catwise.report.fidelity_tables import besides_rows, lead_rows, score_rows, slope_rows
from catwise.report.removal_tables import ranked
from docs import benchmarks, measured, project, results

PROJECT: dict[str, dict[str, Callable[[], str]]] = {  # page -> part -> what makes its text
    "README.md": {
        "stages": project.stages,
        "graph": project.graph,
        "packages": project.packages,
    },
    "docs/differences.md": {"differences": project.differences},
    "docs/performance.md": {
        "cost": benchmarks.cost,
        "program": benchmarks.program,
        "headrooms": benchmarks.headrooms,
        "formats": benchmarks.formats,
        "allocation": benchmarks.allocation,
        "budget": benchmarks.budget,
    },
    "docs/compatibility.md": {"models": benchmarks.compatibility},
    "docs/peers.md": {"peers": benchmarks.peers},
    "docs/results.md": {
        "sources": benchmarks.sources,
        "halves": partial(benchmarks.by_row, "halves", "ways", "halves as"),
        "last_layer": partial(benchmarks.by_row, "last_layer", "rows", "curvature, damping"),
        "twenty_epochs": benchmarks.twenty_epochs,
        "batch_norm": benchmarks.batch_norm,
        "parameters": measured.parameters,
    },
}
RESULTS: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"families": results.families},
    "docs/results.md": {
        "verdicts": results.verdicts,
        "improved": partial(results.of_all, case_rows),
        "reweighted": results.reweighted,
        "predicted": partial(results.of_all, score_rows),
        "ahead": partial(results.of_all, lead_rows),
        "besides": partial(results.of_all, besides_rows),
        "slopes": partial(results.of_all, slope_rows),
        "removed": results.removed,
        "ranked": partial(results.of_all, ranked),
        "claims": results.claims,
    },
}


def renewed(text: str, name: str, content: str) -> str:
    """Return ``text`` with ``content`` between the markers of ``name``."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    text, count = re.subn(
        pattern, lambda match: f"{match[1]}{content}\n{match[2]}", text, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"markers: expected one block {name}; got {count}")
    return text


def example_renewed(text: str) -> str:
    """Return ``text`` with the output of its Python example between the markers of ``example``."""
    return renewed(text, "example", f"```text\n{project.output_of(text)}```")


def pages(parts: dict[str, dict[str, Callable[[], str]]]) -> dict[Path, str]:
    """Return the new text of every page."""
    texts = {}
    for name, makers in parts.items():
        text = Path(name).read_text()
        for part, make in makers.items():
            text = renewed(text, part, make())
        texts[Path(name)] = text
    return texts


def main() -> None:
    """Renew all pages and the pictures of README.md."""
    for parts in (PROJECT, RESULTS):
        for path, text in pages(parts).items():
            path.write_text(text)
    readme = Path("README.md")
    readme.write_text(example_renewed(readme.read_text()))
    pictures = Path("docs/pictures")
    (pictures / "two_planes.png").write_bytes(results.two_planes())
    (pictures / "case_gains.png").write_bytes(results.case_gains())


if __name__ == "__main__":
    with ending():
        main()
