"""Make the parts of the docs that follow from the repository: dvc.yaml, packages, benchmarks."""

import ast
import contextlib
import io
import re
import warnings
from pathlib import Path, PurePosixPath
from typing import Any

import yaml  # type: ignore[import-untyped]

from catwise.pipeline.tables import read_table
from docs.tables import table


def pipeline() -> dict[str, Any]:
    """Read the stages of dvc.yaml, by name."""
    return yaml.safe_load(Path("dvc.yaml").read_text())["stages"]


def stages() -> str:
    """Tell what each stage does, without what follows a colon or a semicolon."""
    short = {name: re.split("[:;]", stage["desc"])[0] for name, stage in pipeline().items()}
    rows = [[f"`{name}`", says.rstrip(".")] for name, says in short.items()]
    return table(["stage", "what it does"], rows)


def graph() -> str:
    """Draw the stages as a graph: an arrow where one reads what another writes.

    An arrow is left out where a longer way leads from the one stage to the other.
    """
    reads = {name: inputs_of(name) for name in pipeline()}
    before = {name: ancestors(name, reads) for name in reads}
    lines = ["```mermaid", "flowchart LR"]
    for name, direct in reads.items():
        farther = set().union(*(before[other] for other in direct))
        if nearest := [other for other in direct if other not in farther]:
            lines.append(f"  {' & '.join(nearest)} --> {name}")
    return "\n".join([*lines, "```"])


def inputs_of(name: str) -> list[str]:
    """List the stages whose outputs a stage reads."""
    depends = [PurePosixPath(path) for path in paths(pipeline()[name], "deps")]
    return [
        other
        for other, stage in pipeline().items()
        if any(
            out.is_relative_to(path) or path.is_relative_to(out)
            for out in map(PurePosixPath, paths(stage, "outs", "metrics", "plots"))
            for path in depends
        )
    ]


def paths(stage: dict[str, Any], *sections: str) -> list[str]:
    """List the paths of these sections, for one data set."""
    entries = [entry for section in sections for entry in stage.get(section, [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def ancestors(name: str, reads: dict[str, list[str]]) -> set[str]:
    """Return all stages that must run before a stage."""
    return set(reads[name]).union(*(ancestors(other, reads) for other in reads[name]))


def packages() -> str:
    """Draw the tree of the library: each package with the first paragraph of its docstring."""
    lines = ["```text", "catwise/"]
    for path in sorted(Path("catwise").glob("*/__init__.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        says = " ".join(docstring.partition("\n\n")[0].replace("``", "").split())
        lines.append(f"  {path.parent.name + '/':<14}{says.rstrip('.')}")
    return "\n".join([*lines, "```"])


def output_of(text: str) -> str:
    """Run the first Python example of a page and return what it prints."""
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    if code is None:
        raise ValueError("README.md: expected an example in Python; got none")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(code[1], {})
    return printed.getvalue()


def differences() -> str:
    """Tell where this implementation differs from the paper; the page shows the same table."""
    columns = {"what": str, "paper": str, "here": str}
    rows = read_table(Path("docs/differences.csv"), columns)
    return table(["", "paper", "here"], rows.to_numpy().tolist())
