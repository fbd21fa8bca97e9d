"""What dvc.yaml promises: the parameters that are read, no data set touching another."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
ITEM = "${item.dataset}"


def sections_read(code: str) -> set[str]:
    """Return the sections that a stage reads: X of every ``parameters.X``.

    Asserts that ``parameters = settings(dataset)`` is all that is done with ``settings``, and that
    the object is never used but to read a section of it, so that no other section can be reached.
    """
    tree = ast.parse(code)
    calls = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node) == "parameters = settings(dataset)"
    }
    mentions = [
        node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "settings"
    ]
    assert [call.func for call in calls] == mentions, "settings() is called in another way"
    if not calls:
        return set()
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    read = {node.value: node.attr for node in attributes if ast.unparse(node.value) == "parameters"}
    whole = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name)
        and node.id == "parameters"
        and isinstance(node.ctx, ast.Load)
        and node not in read
    ]
    assert not whole, "the parameters are handed on whole"
    return set(read.values())


@pytest.mark.parametrize("name", [name for name in STAGES if name != "track"])
def test_params_list_exactly_the_sections_that_the_stage_reads(name):
    read = sections_read((ROOT / f"stages/{name}.py").read_text())
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
        "train = settings(dataset).train",
        "parameters = settings(dataset); fit(parameters)",
        "parameters = settings(dataset); other = parameters",
        "parameters = settings(dataset); getattr(parameters, name)",
        "parameters = settings(dataset); read = settings",
    ],
)
def test_no_section_is_read_behind_the_back_of_that_test(code):
    with pytest.raises(AssertionError):
        sections_read(code)


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
    tree = ast.parse((ROOT / "catwise/config/schema.py").read_text())
    for model in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        assert not [
            field.target.id
            for field in model.body
            if isinstance(field, ast.AnnAssign) and field.value is not None
        ]
