"""What dvc.yaml promises: complete deps, the parameters that are read, no data set touching another."""

import ast
from pathlib import Path

import pytest
import yaml

from stages import claims, report

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
EXEMPT = {"catwise/params.py", "catwise/tracking.py"}  # hold no default value, return nothing that reaches an output
PACKAGES = {"catwise", "stages"}
ITEM = "${item.dataset}"


def imported(path: Path) -> set[str]:
    """The project's own modules that a file imports, as paths; `from catwise import x` counts as catwise/x.py."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    paths = {name.replace(".", "/") + ".py" for name in found if name.split(".")[0] in PACKAGES}
    return {path for path in paths if (ROOT / path).is_file()}


def closure(start: str) -> set[str]:
    """All modules that ``start`` needs, itself included; what an exempt module imports does not count."""
    seen, todo = set(), [start]
    while todo:
        path = todo.pop()
        if path in seen | EXEMPT:
            continue
        seen.add(path)
        todo += imported(ROOT / path)
    return seen


@pytest.mark.parametrize("name", STAGES)
def test_deps_list_exactly_the_modules_that_the_stage_imports(name):
    listed = {dep for dep in STAGES[name]["deps"] if dep.endswith(".py")}
    assert listed == closure(f"stages/{name}.py")


@pytest.mark.parametrize("name", STAGES)
def test_params_list_exactly_the_sections_that_the_stage_reads(name):
    calls = [
        node
        for node in ast.walk(ast.parse((ROOT / f"stages/{name}.py").read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "settings"
    ]
    read = {f"datasets.{ITEM}.{argument.value}" for call in calls for argument in call.args[1:]}
    listed = set(STAGES[name].get("params", []))
    if name == "track":
        assert listed == {f"datasets.{ITEM}"}  # it logs them all
    else:
        assert listed == read


@pytest.mark.parametrize(("name", "read"), [("report", report.BENCHMARKS), ("claims", (claims.BENCHMARK.stem,))])
def test_every_benchmark_that_is_there_is_a_dep_of_the_stage_that_reads_it(name, read):
    """DVC knows no dep that may be missing: a result that comes into git comes into dvc.yaml too."""
    there = {f"reports/{stem}.json" for stem in read if (ROOT / "reports" / f"{stem}.json").exists()}
    listed = {dep for dep in STAGES[name]["deps"] if dep.startswith("reports/") and dep.endswith(".json")}
    assert listed - {"reports/claims.json"} == there
    assert "params.yaml" in STAGES[name]["deps"]  # both read all of it, for what was run at which size


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_named_and_described_alike_everywhere(name):
    stage = STAGES[name]
    assert stage["cmd"].startswith(f"python -m stages.{name}")
    docstring = ast.get_docstring(ast.parse((ROOT / f"stages/{name}.py").read_text()))
    assert docstring is not None
    assert stage["desc"] == docstring.splitlines()[0]


@pytest.mark.parametrize("name", [name for name, stage in STAGES.items() if "matrix" in stage])
def test_every_path_of_a_stage_belongs_to_its_data_set(name):
    stage = STAGES[name]
    paths = [dep for dep in stage["deps"] if not dep.endswith(".py")]
    for kind in ("outs", "metrics", "plots"):
        paths += [path if isinstance(path, str) else next(iter(path)) for path in stage.get(kind, [])]
    assert all(ITEM in path for path in paths)
    assert all(f".{ITEM}" in key for key in stage.get("params", []))


def test_three_stages_stand_beside_the_data_sets():
    assert {name for name, stage in STAGES.items() if "matrix" not in stage} == {"measured", "claims", "report"}


def test_only_track_and_report_switch_the_run_cache_off():
    for name, stage in STAGES.items():
        options = [value for out in stage.get("outs", []) if isinstance(out, dict) for value in out.values()]
        assert not any("persist" in option for option in options)
        assert any(option.get("cache") is False for option in options) == (name in ("track", "report"))


def test_the_library_touches_the_outside_in_few_places():
    """One module imports kronfluence and one mlflow; the library imports no stage; only four modules know of files."""
    importers: dict[str, set[str]] = {}
    for path in (ROOT / "catwise").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                importers.setdefault(name.split(".")[0], set()).add(path.stem)
    assert importers["kronfluence"] == {"reference"}
    assert importers["mlflow"] == {"tracking"}
    assert "stages" not in importers
    outside = {"params", "tracking", "files", "sources", "mirror", "downloads", "pretrained"}
    assert importers["pathlib"] | importers.get("os", set()) <= outside


def test_defaults_live_in_params_yaml_alone():
    tree = ast.parse((ROOT / "catwise/schema.py").read_text())
    for model in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        assert not [
            field.target.id for field in model.body if isinstance(field, ast.AnnAssign) and field.value is not None
        ]
