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
    {"improvement", "claims", "figures", "config"},
    {"sharing"},
    {"diagnosis"},
    {"pipeline"},
    {"report"},
    {"experiments", "tracking"},
    {"stages"},
    {"commands"},
    {"__main__"},
)
FILES = {
    *("data", "config", "sharing", "pipeline"),
    *("experiments", "tracking", "stages", "commands", "__main__"),
}
OUTSIDE = {"glob", "os", "pathlib", "shutil", "signal", "socket", "subprocess", "tempfile"}
ALONE = {  # the one module that imports a package
    "kronfluence": "catwise/influence/kronfluence_reference.py",
    "mlflow": "catwise/tracking/mlflow_log.py",
    "pygad": "catwise/reweighting/genetic_search.py",
}
EXEMPT = frozenset({"catwise/config", "catwise/tracking"})  # return nothing that reaches an output
NOT_PACKAGES = {"benchmarks", "docs", "end_to_end", "examples", "helpers", "stages"}


def sources() -> list[Path]:
    """Return the files of the library and of the stages."""
    return sorted([*(ROOT / "catwise").rglob("*.py"), *(ROOT / "stages").glob("*.py")])


@cache
def imported(path: Path, types: bool = False) -> frozenset[str]:
    """Return every module that a file imports, by dotted name; `from a import b` gives a and a.b.

    What is imported ``if TYPE_CHECKING`` names types alone and is never run: it counts with
    ``types``.
    """
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if not types and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


def own_files(path: Path, types: bool = False) -> set[str]:
    """Return the project's own files that a file imports, without the face of the whole package."""
    found = set()
    for name in imported(path, types):
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
    """Return the number of a package's floor, from the ground up."""
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
            for below in sorted(own_files(ROOT / path, types=True)):
                visit(below, (*above, path))
            seen.add(path)

    for path in sources():
        visit(path.relative_to(ROOT).as_posix(), ())


def test_files_and_processes_are_touched_in_these_packages_alone():
    touching = set()
    for path in sources():
        if path == ROOT / ALONE["kronfluence"]:
            continue  # kronfluence wants a folder for its factors
        outside = {name.split(".")[0] for name in imported(path)} & OUTSIDE
        if outside or re.search(r"(?<![.\w])open\(", path.read_text()):
            touching.add(room(path.relative_to(ROOT).as_posix()))
    assert touching == FILES


def test_nothing_that_is_shipped_imports_benchmarks_tests_or_docs():
    for path in sources():
        roots = {name.split(".")[0] for name in imported(path)}
        assert not roots & {"benchmarks", "tests", "docs", "examples"}, path


def test_what_begins_with_an_underscore_stays_in_its_file():
    for path in sources():
        names = [name for name in imported(path) if name.startswith(("catwise.", "stages."))]
        private = [name for name in names if name.rpartition(".")[2].startswith("_")]
        assert private == [], path


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


def test_what_is_no_python_changes_the_stages_that_use_it_too():
    """A package's folder lists its templates, style and script, if nothing there is ignored."""
    ignored = (ROOT / ".dvcignore").read_text().split()
    others = [
        path
        for path in (ROOT / "catwise").rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc", ".typed"}
    ]
    assert {path.suffix for path in others} >= {".html", ".css", ".js"}
    for path in others:
        assert dep(path.relative_to(ROOT).as_posix()) in STAGES["report"]["deps"], path
        assert not any(path.match(pattern) for pattern in ignored), path


@pytest.mark.parametrize("name", STAGES)
def test_deps_that_are_no_output_of_a_stage_exist(name):
    for path in STAGES[name]["deps"]:
        if not path.startswith(("data", "models", "reports/")):
            assert (ROOT / path).exists(), path


def test_stages_holds_exactly_the_files_that_the_pipeline_names():
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == {"__init__", *STAGES}


def test_tests_mirror_the_packages():
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    packages = {path.parent.name for path in (ROOT / "catwise").glob("*/__init__.py")}
    assert folders - {"__pycache__"} - NOT_PACKAGES == packages
    modules = {path.stem for path in (ROOT / "catwise").glob("*.py")}
    top = {path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")}
    assert top - {"architecture", "house", "installation"} <= modules
