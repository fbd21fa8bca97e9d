"""The suffix of an array's name tells its axes, by the one legend of the library."""

import ast
import re
from pathlib import Path

import pytest

import catwise

ROOT = Path(catwise.__file__).parent
LETTERS = set(re.findall(r"^ {4}([a-z]) {3}", catwise.__doc__, re.M)) | {"1"}  # 1: a single entry
MATHS = ("influence", "ceiling", "reweighting", "removal")
WORDS = {"all", "end", "eps", "key", "max", "min", "row"}  # short, and no suffix


def suffixes(path):
    """Return what follows the last underscore of names, where it is as short as a suffix."""
    for node in ast.walk(ast.parse(path.read_text())):
        name = {ast.Name: "id", ast.arg: "arg"}.get(type(node))
        if name and (match := re.search(r"[a-zA-Z]_([a-z0-9]{1,3})$", getattr(node, name))):
            yield match[1]


@pytest.mark.parametrize("package", MATHS)
def test_every_suffix_is_in_the_legend(package):
    used = {suffix for path in (ROOT / package).glob("*.py") for suffix in suffixes(path)}
    assert [suffix for suffix in sorted(used - WORDS) if not set(suffix) <= LETTERS] == []
