"""Make files of parameters with one mistake each, and see how a stage meets them.

A mistake is made in the shipped tree (a value, a key, a list) or in its text (syntax, encoding). It
is wrong by construction: the check that has to refuse it is not asked. The message has to hold one
of the mistake's ``names``: the key, or the section that holds it, or the word "line" for a text.
"""

import copy
import functools
import random
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml  # type: ignore[import-untyped]
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks.faults.workspace import ROOT, Forks, run_apart

__all__ = ["IN_TEXT", "IN_TREE", "Mistake", "failures", "mistakes", "shipped", "shipped_tree"]

STAGES = (
    "prepare",
    "train",
    "curvature",
    "influence",
    "subsets",
    "fidelity",
    "removal",
    "ceiling",
    "reweight",
    "figures",
    "track",
)
END = "  ag_news_small:"  # up to here the file has every kind of section, and is read quickly
AT_LEAST_ONE = {
    "train",
    "validation_a",
    "test",
    "threads",
    "epochs",
    "batch_size",
    "learning_rate",
    "damping",
    "width",
}
NEVER_EMPTY = {"datasets", "kinds", "flips", "classes", "cases", "sizes"}
BROKEN = (
    "*nowhere",
    "]",
    "}",
    "@at",
    "`tick",
    "%percent",
    "\x00",
    "\x07",
    "- item",
    "? ? : :",
    "!!int ten: [",
)
IMPOSSIBLE = (
    "!!int ten",
    "!!float ten",
    "!!bool ten",
    "2020-13-45",
    "9" * 5000,
    "&self [*self]",
    "&self {a: *self}",
    "!!binary a$",
    "!!python/object/apply:os.system [touch executed]",
    "[&a [x, x, x, x], &b [*a, *a, *a, *a], &c [*b, *b, *b, *b], [*c, *c, *c, *c]]",
    "{<<: 1}",
)
Keys = tuple[Any, ...]  # where a node is in the tree


class Mistake(NamedTuple):
    """Hold a file with a mistake, the kind of mistake, and the names that may tell of it."""

    kind: str
    names: tuple[str, ...]
    content: bytes


@functools.cache
def shipped() -> str:
    """Return the beginning of params.yaml as it is shipped."""
    return (ROOT / "params.yaml").read_text().partition(END)[0]


@functools.cache
def shipped_tree() -> Any:
    """Return the same as nested dictionaries and lists."""
    return yaml.load(shipped(), yaml.CSafeLoader)


def _nodes(tree: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Give every node below the root, and where it is."""
    if isinstance(tree, dict):
        children = list(tree.items())
    else:
        children = list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in children:
        yield (*keys, key), value
        yield from _nodes(value, (*keys, key))


def _dotted(keys: Keys) -> str:
    return ".".join(map(str, keys))


@st.composite
def _any_mistake(draw: st.DrawFn) -> Mistake:
    kind = draw(st.sampled_from([*IN_TREE, *IN_TEXT]))
    if kind in IN_TEXT:
        names, content = IN_TEXT[kind](draw)
        return Mistake(kind, names, content)
    tree = copy.deepcopy(shipped_tree())
    accepts, change = IN_TREE[kind]
    keys, value = draw(st.sampled_from([node for node in _nodes(tree) if accepts(*node)]))
    parent = tree
    for key in keys[:-1]:
        parent = parent[key]
    change(draw, parent, keys[-1], copy.deepcopy(value))
    near = [_dotted(keys[:end]) for end in (len(keys), len(keys) - 1) if end]
    content = yaml.dump(tree, Dumper=yaml.CSafeDumper, sort_keys=False).encode()
    return Mistake(kind, tuple(near), content)


def _is_number(keys: Keys, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _set(values: Callable[[Any], st.SearchStrategy[Any]]) -> Callable[..., None]:
    """Return what replaces a value by one of ``values(value)``."""

    def change(draw: st.DrawFn, parent: Any, key: Any, value: Any) -> None:
        parent[key] = draw(values(value))

    return change


def _other_type(value: Any) -> st.SearchStrategy[Any]:
    if isinstance(value, dict | list):
        return st.sampled_from([7, 0.5, True, "text"])
    wrong: list[Any] = (
        [{"a": 1}, [[]], 0.5, True] if isinstance(value, str) else [{"a": 1}, [[]], "ten"]
    )
    return st.sampled_from(wrong + ([2, None] if isinstance(value, bool) else []))


def _remove(draw: st.DrawFn, parent: Any, key: Any, value: Any) -> None:
    del parent[key]


def _add(draw: st.DrawFn, parent: Any, key: Any, value: Any) -> None:
    name = draw(
        st.one_of(st.text(min_size=1, max_size=12), st.integers(), st.none(), st.booleans())
    )
    parent[key][f"{name}?" if name in parent[key] else name] = draw(
        st.sampled_from([1, "a", None, [1], {"b": 2}])
    )


# By kind of mistake: the nodes at which it can be made, and how it is made.
IN_TREE: dict[str, tuple[Callable[[Keys, Any], bool], Callable[..., None]]] = {
    "wrong type": (lambda keys, value: value is not None, _set(_other_type)),
    "unknown key": (lambda keys, value: isinstance(value, dict), _add),
    "missing key": (
        lambda keys, value: isinstance(keys[-1], str) and keys[:-1] != ("datasets",),
        _remove,
    ),
    "below its range": (_is_number, _set(lambda value: st.sampled_from([-1, -(10**30), -5]))),
    "zero": (
        lambda keys, value: _is_number(keys, value) and keys[-1] in AT_LEAST_ONE,
        _set(lambda value: st.just(0)),
    ),
    "not a number": (
        _is_number,
        _set(lambda value: st.sampled_from([float("nan"), float("inf"), float("-inf")])),
    ),
    "empty list": (
        lambda keys, value: isinstance(value, list) and keys[-1] in NEVER_EMPTY,
        _set(lambda value: st.just([])),
    ),
    "unknown word": (
        lambda keys, value: isinstance(value, str),
        _set(lambda value: st.text().map("zz".__add__)),
    ),
}


def _rows() -> list[str]:
    return shipped().splitlines(keepends=True)


def _syntax(draw: st.DrawFn) -> tuple[tuple[str, ...], bytes]:
    rows = _rows()
    rows.insert(draw(st.integers(4, len(rows))), f"{draw(st.sampled_from(BROKEN))}\n")
    return ("line",), "".join(rows).encode()


def _twice(draw: st.DrawFn) -> tuple[tuple[str, ...], bytes]:
    rows = _rows()
    scalars = [number for number, row in enumerate(rows) if re.match(r" +\w+: [^#\s]", row)]
    number = draw(st.sampled_from(scalars))
    rows.insert(number, rows[number])
    return ("line",), "".join(rows).encode()


def _impossible(draw: st.DrawFn) -> tuple[tuple[str, ...], bytes]:
    rows = _rows()
    numeric = [number for number, row in enumerate(rows) if re.match(r" +\w+: [0-9.]+\b", row)]
    number = draw(st.sampled_from(numeric))
    value = f": {draw(st.sampled_from(IMPOSSIBLE))}"
    rows[number] = re.sub(r": [0-9.]+.*", lambda _: value, rows[number])
    return ("line", rows[number].split(":")[0].strip()), "".join(rows).encode()


def _encoding(draw: st.DrawFn) -> tuple[tuple[str, ...], bytes]:
    content = shipped().encode()
    offset, byte = draw(st.integers(0, len(content))), draw(st.integers(0x80, 0xFF))
    return ("line",), content[:offset] + bytes([byte]) + content[offset:]


def _cut(draw: st.DrawFn) -> tuple[tuple[str, ...], bytes]:
    """Cut before the last section of the third data set that ``run.datasets`` names."""
    whole = shipped()
    end = whole.index("    figures:", whole.index("\n  digits:"))
    return ("line", "run", "datasets", "top level"), whole[: draw(st.integers(0, end))].encode()


# By kind of mistake: what gives the names and the content.
IN_TEXT: dict[str, Callable[[st.DrawFn], tuple[tuple[str, ...], bytes]]] = {
    "syntax": _syntax,
    "key given twice": _twice,
    "impossible value": _impossible,
    "not UTF-8": _encoding,
    "cut off": _cut,
}


def mistakes(count: int) -> list[Mistake]:
    """Return so many different mistakes, the same in every run."""
    by_content: dict[bytes, Mistake] = {}

    @settings(
        max_examples=3 * count,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(_any_mistake())
    def gather(mistake: Mistake) -> None:
        by_content.setdefault(mistake.content, mistake)

    gather()
    # drawn, because the first ones are the simplest ones
    return random.Random(0).sample(list(by_content.values()), count)


def failures(forks: Forks, count: int, apart: int) -> Iterator[tuple[str, str | None]]:
    """Give the kind of each mistake, and what was wrong with how a stage met it.

    Right is one line on stderr that holds one of the names, and nothing written. The first
    ``apart`` stages run as ``python -m``, the others are forked.
    """
    for number, mistake in enumerate(mistakes(count)):
        stage = f"stages.{STAGES[number % len(STAGES)]}"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "params.yaml")
            path.write_bytes(mistake.content)
            ended = (run_apart if number < apart else forks)(Path(folder), stage, "linear")
            untouched = [file.name for file in Path(folder).iterdir()] == ["params.yaml"]
            untouched &= path.read_bytes() == mistake.content
        failure = None
        if not (ended.one_line(*mistake.names) and untouched):
            written = "nothing written" if untouched else "something written"
            about = f"{mistake.kind}, {mistake.names[0]}"
            failure = f"{about}: exit {ended.code}, {written}, last line: {ended.last_line()}"
        yield mistake.kind, failure
