import re
from pathlib import Path

import pytest
import torch
import yaml

from docs.readme import renewed, stage_map

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_stage_map_is_that_of_the_pipeline():
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    assert renewed(README, "stages", stage_map(pipeline)) == README, "run `make readme`"


def test_links_and_pictures_exist():
    targets = [
        target for target in re.findall(r"\]\((.*?)\)", README) if not target.startswith("http")
    ]
    assert targets
    for target in targets:
        assert (ROOT / target).exists(), target


def test_make_targets_that_are_named_exist():
    known = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)|`make ([a-z]+)`", README, re.MULTILINE)) != set()
    for named in re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE):
        assert named in known


def test_parameters_that_commands_name_exist():
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for key in re.findall(r"-S '([\w.]+)=", README):
        node = params
        for part in key.split("."):
            node = node[part]


def test_a_missing_marker_is_named():
    with pytest.raises(ValueError, match="one block of markers nothing, got 0"):
        renewed(README, "nothing", "")


def test_the_example_for_an_own_classifier_runs(capsys):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    generator = torch.Generator().manual_seed(0)
    names = {
        "model": torch.nn.Sequential(torch.nn.Linear(4, 10)),
        "x_train": torch.randn(50, 4, generator=generator),
        "y_train": torch.arange(50) % 10,
        "x_held_out": torch.randn(40, 4, generator=generator),
        "y_held_out": torch.arange(40) % 10,
    }
    exec(code, names)
    said = capsys.readouterr().out
    assert re.match(r"(room for|at its ceiling) .*\n\[[\d ]+\]\n\[", said), said
