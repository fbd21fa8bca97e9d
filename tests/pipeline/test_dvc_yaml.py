"""What dvc.yaml promises: the parameters that are read, no data set touching another."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
ITEM = "${item.dataset}"


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
