"""What dvc.yaml promises: the parameters that are read, no data set touching another."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
ITEM = "${item.dataset}"


def sections_read(path: Path, is_stage: bool = True) -> set[str]:
    """Return the sections that a stage reads: X of ``settings(dataset).X`` and ``parameters.X``.

    Of a section that is asked for single keys alone these are returned, as ``section.key``.

    Asserts that ``settings`` is called in that way, or as ``parameters = settings(dataset)``, and
    that ``parameters`` is used in two ways alone: a section of it is read, or it is handed to a
    function of this project, whose argument has the same name and whose file is followed.
    """
    tree = ast.parse(path.read_text())
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    calls = [parents[name] for name in names if name.id == "settings"]
    if is_stage and not calls:
        return set()
    sections = set()
    for call in calls:
        assert ast.unparse(call) == "settings(dataset)", "settings() is called in another way"
        if isinstance(user := parents[call], ast.Attribute):
            sections.add(keys_read(user, parents))
        else:
            assert ast.unparse(user) == "parameters = settings(dataset)", "the name is another"
    for name in names:
        if name.id == "parameters" and isinstance(name.ctx, ast.Load):
            if isinstance(user := parents[name], ast.Attribute):
                sections.add(keys_read(user, parents))
            else:
                file = file_of_function(path, tree, user, name)
                sections |= set() if file == path else sections_read(file, is_stage=False)
    return {name for name in sections if name.partition(".")[0] not in sections - {name}}


def keys_read(section: ast.Attribute, parents: dict[ast.AST, ast.AST]) -> str:
    """Return ``section.key`` where a key of a section is read at once, else the section's name."""
    user = parents[section]
    if not isinstance(user, ast.Attribute) or user.attr.startswith("model_"):  # those read it whole
        return section.attr
    return f"{section.attr}.{user.attr}"


def file_of_function(path: Path, tree: ast.Module, call: ast.AST, argument: ast.Name) -> Path:
    """Return the file of the function that is called with ``parameters`` as ``parameters``."""
    assert isinstance(call, ast.Call), "the parameters are used whole"
    assert isinstance(call.func, ast.Name), "the parameters are handed to a method"
    function = call.func.id
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and function in {alias.name for alias in node.names}:
            path = ROOT / f"{(node.module or '').replace('.', '/')}.py"
    assert path.is_file(), "the parameters are handed to another library"
    definitions = {
        node.name: [arg.arg for arg in node.args.args]
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
    }
    assert function in definitions, "the parameters are handed to an unknown function"
    position = call.args.index(argument)
    assert definitions[function][position] == "parameters", "the parameters change their name"
    return path


@pytest.mark.parametrize("name", [name for name in STAGES if name != "track"])
def test_params_list_exactly_the_sections_that_the_stage_reads(name):
    read = sections_read(ROOT / f"stages/{name}.py")
    assert set(STAGES[name].get("params", [])) == {f"datasets.{ITEM}.{section}" for section in read}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_that_reads_all_parameters_depends_on_all(name):
    tree = ast.parse((ROOT / f"stages/{name}.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    loads = any(alias.name == "params" for node in imports for alias in node.names)
    stage = STAGES[name]
    if name == "track":  # it logs every section
        assert stage["params"] == [f"datasets.{ITEM}"]
    else:
        assert loads == ("params.yaml" in stage["deps"])


@pytest.mark.parametrize(
    "code",
    [
        "whole = settings(dataset)",
        "getattr(settings(dataset), name)",
        "parameters = settings(dataset); read = settings",
        "parameters = settings(dataset); other = parameters",
        "parameters = settings(dataset); getattr(parameters, name)",
        "parameters = settings(dataset); library.fit(parameters)",
        "from numpy import array\nparameters = settings(dataset)\narray(parameters)",
        "def fit(section): section.train\nparameters = settings(dataset)\nfit(parameters)",
    ],
)
def test_no_section_is_read_behind_the_back_of_that_test(tmp_path, code):
    (tmp_path / "stage.py").write_text(code)
    with pytest.raises(AssertionError):
        sections_read(tmp_path / "stage.py")


def test_a_function_that_is_given_all_parameters_is_followed(tmp_path):
    (tmp_path / "stage.py").write_text(
        "from catwise.experiments.cases import resolve_cases\n"
        "def local(parameters): parameters.train\n"
        "parameters = settings(dataset)\n"
        "local(parameters), resolve_cases(dataset, parameters), parameters.figures"
    )
    sections = sections_read(tmp_path / "stage.py")
    assert {"train", "figures", "reweight", "device"} <= sections


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
    paths = [dep for dep in stage["deps"] if not dep.startswith(("stages/", "catwise/"))]
    for kind in ("outs", "metrics", "plots"):
        paths += [
            path if isinstance(path, str) else next(iter(path)) for path in stage.get(kind, [])
        ]
    assert all(ITEM in path for path in paths)
    assert all(f".{ITEM}" in key for key in stage.get("params", []))


def test_three_stages_stand_beside_the_data_sets():
    assert {name for name, stage in STAGES.items() if "matrix" not in stage} == {
        "carried",
        "claims",
        "report",
    }


def test_only_track_and_report_switch_the_run_cache_off():
    for name, stage in STAGES.items():
        options = [
            value
            for out in stage.get("outs", [])
            if isinstance(out, dict)
            for value in out.values()
        ]
        assert not any("persist" in option for option in options)
        assert any(option.get("cache") is False for option in options) == (
            name in ("track", "report")
        )


def test_defaults_live_in_params_yaml_alone():
    trees = [ast.parse(path.read_text()) for path in (ROOT / "catwise/config").glob("*.py")]
    models = [node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)]
    assert len(models) > 30
    for model in models:
        assert not [
            field.target.id
            for field in model.body
            if isinstance(field, ast.AnnAssign) and field.value is not None
        ]
