"""Files of parameters with one mistake each, wrong by construction: the check that they meet is not asked.

A mistake is made in the shipped tree (a value, a key, a list) or in its text (syntax, encoding). ``names``: of these
strings one must be in the message; the key, or the section that holds it, or for a text the line.
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

from benchmarks.faults.workspace import ROOT, Ended, Forks, alone

STAGES = (
    "prepare",
    "train",
    "curvature",
    "influence",
    "fidelity",
    "removal",
    "ceiling",
    "reweight",
    "figures",
    "track",
)
END = "  ag_news_small:"  # a file is read in a third of the time up to here, and has every kind of section
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
NEVER_EMPTY = {"datasets", "kinds", "flips", "classes", "cases", "searches", "directions", "sizes"}
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
Path_ = tuple[Any, ...]


class Mistake(NamedTuple):
    kind: str
    names: tuple[str, ...]
    content: bytes


@functools.cache
def shipped() -> str:
    return (ROOT / "params.yaml").read_text().partition(END)[0]


def nodes(tree: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every node below the root, with where it is."""
    for key, value in (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    ):
        yield (*path, key), value
        yield from nodes(value, (*path, key))


def dotted(path: Path_) -> str:
    return ".".join(map(str, path))


@st.composite
def mistakes(draw: st.DrawFn) -> Mistake:
    kind = draw(st.sampled_from([*IN_TREE, *IN_TEXT]))
    if kind in IN_TEXT:
        names, content = IN_TEXT[kind](draw)
        return Mistake(kind, names, content)
    tree = copy.deepcopy(_tree())
    accepts, change = IN_TREE[kind]
    path, value = draw(st.sampled_from([node for node in nodes(tree) if accepts(*node)]))
    parent = tree
    for key in path[:-1]:
        parent = parent[key]
    change(draw, parent, path[-1], copy.deepcopy(value))
    near = (dotted(path), *([dotted(path[:-1])] if len(path) > 1 else []))
    return Mistake(kind, near, yaml.dump(tree, Dumper=yaml.CSafeDumper, sort_keys=False).encode())


@functools.cache
def _tree() -> Any:
    return yaml.load(shipped(), yaml.CSafeLoader)


def _is_number(path: Path_, value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _set(values: Callable[[Any], st.SearchStrategy[Any]]) -> Callable[..., None]:
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


IN_TREE: dict[str, tuple[Callable[[Path_, Any], bool], Callable[..., None]]] = {
    "wrong type": (lambda path, value: value is not None, _set(_other_type)),
    "unknown key": (lambda path, value: isinstance(value, dict), _add),
    "missing key": (
        lambda path, value: isinstance(path[-1], str) and path[:-1] != ("datasets",),
        _remove,
    ),
    "below its range": (_is_number, _set(lambda value: st.sampled_from([-1, -(10**30), -5]))),
    "zero": (
        lambda path, value: _is_number(path, value) and path[-1] in AT_LEAST_ONE,
        _set(lambda value: st.just(0)),
    ),
    "not a number": (
        _is_number,
        _set(lambda value: st.sampled_from([float("nan"), float("inf"), float("-inf")])),
    ),
    "empty list": (
        lambda path, value: isinstance(value, list) and path[-1] in NEVER_EMPTY,
        _set(lambda value: st.just([])),
    ),
    "unknown word": (
        lambda path, value: isinstance(value, str),
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
    scalars = [place for place, row in enumerate(rows) if re.match(r" +\w+: [^#\s]", row)]
    place = draw(st.sampled_from(scalars))
    rows.insert(place, rows[place])
    return ("line",), "".join(rows).encode()


def _impossible(draw: st.DrawFn) -> tuple[tuple[str, ...], bytes]:
    rows = _rows()
    place = draw(
        st.sampled_from(
            [place for place, row in enumerate(rows) if re.match(r" +\w+: [0-9.]+\b", row)]
        )
    )
    rows[place] = re.sub(
        r": [0-9.]+.*", lambda _: f": {draw(st.sampled_from(IMPOSSIBLE))}", rows[place]
    )
    return ("line", rows[place].split(":")[0].strip()), "".join(rows).encode()


def _encoding(draw: st.DrawFn) -> tuple[tuple[str, ...], bytes]:
    content = shipped().encode()
    place, byte = draw(st.integers(0, len(content))), draw(st.integers(0x80, 0xFF))
    return ("line",), content[:place] + bytes([byte]) + content[place:]


def _cut(draw: st.DrawFn) -> tuple[tuple[str, ...], bytes]:
    """Before the last key of the third data set that ``run.datasets`` names."""
    whole = shipped()
    end = whole.index("    figures:", whole.index("\n  digits:"))
    return ("line", "run", "datasets", "top level"), whole[: draw(st.integers(0, end))].encode()


IN_TEXT: dict[str, Callable[[st.DrawFn], tuple[tuple[str, ...], bytes]]] = {
    "syntax": _syntax,
    "key given twice": _twice,
    "impossible value": _impossible,
    "not UTF-8": _encoding,
    "cut off": _cut,
}


def generated(count: int) -> list[Mistake]:
    """Different ones; the same in every run."""
    found: dict[bytes, Mistake] = {}

    @settings(
        max_examples=3 * count,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mistakes())
    def gather(mistake: Mistake) -> None:
        found.setdefault(mistake.content, mistake)

    gather()
    return random.Random(0).sample(list(found.values()), count)  # else the simplest ones alone


def refused(forks: Forks, count: int, apart: int) -> Iterator[tuple[str, str | None]]:
    """The kind of each mistake, and what was wrong with how a stage met it; the first ``apart`` as ``python -m``."""
    for number, mistake in enumerate(generated(count)):
        stage = f"stages.{STAGES[number % len(STAGES)]}"
        with tempfile.TemporaryDirectory() as place:
            path = Path(place, "params.yaml")
            path.write_bytes(mistake.content)
            ended = (alone if number < apart else forks)(Path(place), stage, "linear")
            untouched = [file.name for file in Path(place).iterdir()] == ["params.yaml"]
            untouched &= path.read_bytes() == mistake.content
        good = ended.one_line(*mistake.names) and untouched
        yield (
            mistake.kind,
            None if good else f"{mistake.kind}, {mistake.names[0]}: {_told(ended, untouched)}",
        )


def _told(ended: Ended, untouched: bool) -> str:
    lines = ended.said.splitlines() or ["nothing said"]
    return f"exit {ended.code}, {len(lines)} lines, {'' if untouched else 'something written, '}last: {lines[-1][:160]}"
