"""Read and check ``params.yaml``: a mistake is one line with its key, what was expected and got.

The file is parsed as YAML 1.2, because ``dvc exp run -S`` writes 1e-05, a string in YAML 1.1.
"""

import reprlib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.reader import ReaderError

from catwise.config.consistency import problems
from catwise.config.schema import Params
from catwise.core.errors import InputError

__all__ = ["Params", "load", "parse"]


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and check the whole file, so that a mistake anywhere stops the first stage that runs."""
    try:
        return parse(path.read_bytes(), path)
    except FileNotFoundError:
        raise InputError(f"{path}: expected the parameters file; got none here") from None
    except OSError as error:
        raise InputError(f"{path}: expected the parameters file; got: {error.strerror}") from None


def parse(content: bytes, path: Path) -> Params:
    """Check the content of the parameters file; ``path`` is its name in errors."""
    tree = _parse_yaml(content, path)
    try:
        params = Params.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{path}: {_one_line(tree, error)}") from None
    for key, expected, got in problems(params):
        raise InputError(f"{path}: {key}: expected {expected}; got {got}")
    return params


class Constructor(SafeConstructor):
    """Make plain values, and say the line of one that cannot be, such as ``!!int ten``."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, KeyError) as error:
            raise ConstructorError(problem=str(error), problem_mark=node.start_mark) from None


def _parse_yaml(content: bytes, path: Path) -> Any:
    """Parse YAML to plain values; raise InputError with the line of what is not YAML."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = Constructor
    try:
        return yaml.load(content.decode())
    except RecursionError:
        raise InputError(
            f"{path}: expected YAML; got sections within sections without end"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {_wrong_byte(content, error.start)}") from None
    except ReaderError as error:
        position = len(content.decode()[: error.position].encode())
        raise InputError(f"{path}: {_wrong_byte(content, position)}") from None
    except YAMLError as error:
        raise InputError(f"{path}: expected YAML; got: {' '.join(str(error).split())}") from None


def _wrong_byte(content: bytes, position: int) -> str:
    """Name the byte that is not text, and its line."""
    line = content[:position].count(b"\n") + 1
    return f"line {line}: expected UTF-8 text; got byte {content[position]:#04x}"


def _one_line(tree: Any, error: ValidationError) -> str:
    """Say the first mistake that pydantic found: its key, what was expected and what it is."""
    first = error.errors(include_url=False)[0]
    is_missing = first["type"] == "missing"
    key = ".".join(_file_keys(tree, first["loc"], is_missing)) or "(top level)"
    if is_missing:
        return f"{key}: expected this key; got none"
    got = _short(first["input"])
    if first["type"] == "extra_forbidden":
        return f"{key}: expected no such key; got {got}"
    expected = first["msg"].removeprefix("Value error, ")
    expected = expected[0].lower() + expected[1:]
    expected = expected.removeprefix("input should be ").removeprefix("expected ")
    return f"{key}: expected {expected}; got {got}"


def _file_keys(tree: Any, location: tuple[int | str, ...], is_missing: bool) -> list[str]:
    """Return the keys in ``location`` that stand in the file.

    The others are tags that pydantic adds for a union, as in ``curvature.ekfac.damping``. The last
    key of a mapping is kept although it is not there if it is the one that ``is_missing``.
    """
    keys = []
    for position, part in enumerate(location):
        is_mapping = isinstance(tree, dict)
        is_here = part in tree if is_mapping else isinstance(tree, list) and isinstance(part, int)
        if is_here or (is_missing and is_mapping and position == len(location) - 1):
            keys.append(" ".join(str(part).split()))
            tree = tree[part] if is_here else None
    return keys


def _short(value: Any) -> str:
    """Return the beginning of a value; aliases of aliases may stand for more than memory holds."""
    shown = reprlib.Repr()
    shown.maxlevel, shown.maxstring, shown.maxlong, shown.maxother = 3, 200, 200, 200
    text = " ".join(shown.repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."
