"""The house reads well: short files and functions, docstrings, no path of what is gone."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("catwise", "stages", "benchmarks", "docs", "examples")
CODE = sorted(path for name in FOLDERS for path in (ROOT / name).rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 370, 65  # lines; of a function without its docstring
TEXTS = (".py", ".md", ".yaml", ".yml", ".toml", ".html", ".js", ".css", ".txt")
PATHS = r"(?<![\w/.-])(?:catwise|stages|tests|benchmarks|docs|examples)/[\w./-]*\w\.[a-z]+\b"


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> list[ast.FunctionDef]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def length(function: ast.FunctionDef) -> int:
    """Return the number of lines of a function, without its docstring."""
    last = function.end_lineno or 0
    first = function.body[0]
    quoted = 0
    if ast.get_docstring(function) is not None:
        quoted = (first.end_lineno or 0) - first.lineno + 1
    return last - function.lineno + 1 - quoted


def test_files_and_functions_are_short():
    long = [relative(path) for path in CODE if len(path.read_text().splitlines()) > LONGEST_FILE]
    long += [
        f"{relative(path)}: {function.name}, {length(function)} lines"
        for path in CODE
        for function in functions(path)
        if length(function) > LONGEST_FUNCTION
    ]
    assert long == []


@pytest.mark.parametrize("path", CODE, ids=relative)
def test_modules_and_what_they_offer_have_docstrings_that_begin_with_a_sentence(path):
    tree = ast.parse(path.read_text())
    offered = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    for node in [tree, *(node for node in offered if node.name != "main")]:
        paragraph = (ast.get_docstring(node) or "").split("\n\n")[0]
        assert re.match(r"[A-Z].*[.:?]$", paragraph, re.DOTALL), getattr(node, "name", "module")


def test_every_file_of_the_project_that_a_text_names_exists():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    missing = []
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.is_file() and (path.suffix in TEXTS or path.name == "Makefile"):
            if name.startswith(("tests/", "CHANGELOG")):  # they also name what is made or gone
                continue
            for found in set(re.findall(PATHS, path.read_text())):
                if not (ROOT / found).exists():
                    missing.append(f"{name}: {found}")
    assert missing == []
