"""The house stays a house: arrows go down, few packages touch files, deps are complete."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
FLOORS = (  # from the ground up; a package imports from lower floors and itself alone
    {"core"},
    {"data", "training", "influence", "ceiling", "reweighting", "removal", "fidelity"},
    {"diagnosis", "claims", "figures", "config"},
    {"pipeline"},
    {"report"},
    {"experiments", "tracking"},
    {"stages"},
    {"commands"},
    {"__main__"},
)
FILES = {"data", "config", "pipeline", "experiments", "tracking", "commands", "__main__"}
OUTSIDE = {"os", "pathlib", "subprocess", "shutil"}
ALONE = {  # the one module that imports a package
    "kronfluence": "catwise/influence/kronfluence_reference.py",
    "mlflow": "catwise/tracking/mlflow_log.py",
    "pygad": "catwise/reweighting/genetic_search.py",
}
EXEMPT = frozenset({"catwise/config", "catwise/tracking"})  # return nothing that reaches an output
ITEM = "${item.dataset}"


def sources() -> list[Path]:
    return sorted([*(ROOT / "catwise").rglob("*.py"), *(ROOT / "stages").glob("*.py")])


@cache
def imported(path: Path) -> frozenset[str]:
    """Return every module that a file imports, by dotted name; `from a import b` gives a and a.b.

    What is imported ``if TYPE_CHECKING`` names types alone and is never run: it does not count.
    """
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def own_files(path: Path) -> set[str]:
    """Return the project's own files that a file imports, without the face of the whole package."""
    found = set()
    for name in imported(path):
        if name.split(".")[0] in {"catwise", "stages"}:
            stem = name.replace(".", "/")
            found |= {
                file for file in (f"{stem}.py", f"{stem}/__init__.py") if (ROOT / file).is_file()
            }
    return found - {"catwise/__init__.py", "stages/__init__.py"}


def room(path: str) -> str:
    """Return the package that a file belongs to, as the floors name it."""
    parts = Path(path).parts
    return "stages" if parts[0] == "stages" else parts[1].removesuffix(".py")


def arrows() -> set[tuple[str, str]]:
    """Return (from, to) of every import between two files of different packages."""
    pairs = set()
    for path in sources():
        start = path.relative_to(ROOT).as_posix()
        if start not in {"catwise/__init__.py", "stages/__init__.py"}:
            pairs |= {(start, end) for end in own_files(path) if room(start) != room(end)}
    return pairs


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def test_every_package_has_a_floor():
    rooms = {room(path.relative_to(ROOT).as_posix()) for path in sources()} - {"__init__"}
    assert rooms == set().union(*FLOORS)


def test_arrows_go_down():
    wrong = [(start, end) for start, end in arrows() if floor(room(start)) <= floor(room(end))]
    assert wrong == []


def test_no_file_imports_itself_in_a_circle():
    seen: set[str] = set()

    def visit(path: str, above: tuple[str, ...]) -> None:
        assert path not in above, " -> ".join([*above[above.index(path) :], path])
        if path not in seen:
            for below in sorted(own_files(ROOT / path)):
                visit(below, (*above, path))
            seen.add(path)

    for path in sources():
        visit(path.relative_to(ROOT).as_posix(), ())


def test_files_and_processes_are_touched_in_few_packages():
    touching = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if {name.split(".")[0] for name in imported(path)} & OUTSIDE
    }
    assert {room(path) for path in touching} - {"stages"} <= FILES


@pytest.mark.parametrize("package", ALONE)
def test_one_module_imports(package):
    importers = {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if package in {name.split(".")[0] for name in imported(path)}
    }
    assert importers == {ALONE[package]}


def closure(start: str, exempt: frozenset[str] = EXEMPT) -> set[str]:
    """Return all files that ``start`` needs, itself included, without those of exempt packages."""
    seen, todo = set(), [start]
    while todo:
        path = todo.pop()
        if path in seen or Path(path).parent.as_posix() in exempt:
            continue
        seen.add(path)
        todo += own_files(ROOT / path)
    return seen


@pytest.mark.parametrize("name", sorted({"measure", *STAGES} - {"track"}))
def test_only_track_needs_dvc_or_mlflow(name):
    start = f"stages/{name}.py" if name in STAGES else f"catwise/commands/{name}.py"
    for path in closure(start, frozenset()):
        assert not {module.split(".")[0] for module in imported(ROOT / path)} & {"dvc", "mlflow"}


def dep(path: str) -> str:
    """Return how dvc.yaml lists a file: a stage by its name, a module by its package."""
    folder = Path(path).parent.as_posix()
    return path if folder in {"stages", "catwise"} else folder


@pytest.mark.parametrize("name", STAGES)
def test_deps_list_exactly_the_packages_that_the_stage_imports(name):
    listed = {entry for entry in STAGES[name]["deps"] if re.match(r"(catwise|stages)/", entry)}
    assert listed == {dep(path) for path in closure(f"stages/{name}.py")}


def test_every_file_that_the_page_is_made_of_is_a_dep_of_report():
    """The package's folder lists the templates too, and nothing there is ignored."""
    ignored = (ROOT / ".dvcignore").read_text().split()
    for path in (ROOT / "catwise/report").iterdir():
        if path.suffix in {".html", ".css", ".js"}:
            assert dep(path.relative_to(ROOT).as_posix()) in STAGES["report"]["deps"]
            assert not any(path.match(pattern) for pattern in ignored)


def test_stages_holds_exactly_the_files_that_the_pipeline_names():
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == {"__init__", *STAGES}
