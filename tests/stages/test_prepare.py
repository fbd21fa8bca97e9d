"""The stage on the user's own files writes the same twice, and nothing if it fails."""

import hashlib
import os
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from catwise.config import params
from catwise.core.errors import InputError
from catwise.data.dataset import SPLITS, unpack
from catwise.data.downloads import cache_folder
from stages import prepare

ROOT = Path(__file__).parents[2]
SUBSET = {
    "seed": 0,
    "train": "all",
    "imbalance": 1.0,
    "flip_share": 0.1,
    "flip_to": "random",
    "validation_a": 6,
    "validation_b": 6,
    "test": 8,
}
TOKENS = {"max_length": 8, "vocabulary": "learned", "vocabulary_size": 60, "weights": "none"}
CSV = SUBSET | TOKENS | {"source": "csv", "path": "mine.csv", "classes": ["spam", "ham"]}
FOLDER = SUBSET | {
    "source": "imagefolder",
    "path": "mine",
    "classes": ["up", "down"],
    "size": 4,
    "colour": "grey",
}
EMOTION = SUBSET | TOKENS | {"source": "emotion"}
CIFAR = SUBSET | {"source": "cifar10"}


PROJECT = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())["datasets"]


def write_params(section, classes):
    """Write the parameters of the project's most similar data set, with this section."""
    grey = section.get("colour") == "grey"
    like = "emotion_small" if "vocabulary" in section else "digits" if grey else "cifar10"
    own = PROJECT[like] | {"prepare": section, "figures": {"classes": classes[:2]}}
    with Path("params.yaml").open("w") as file:
        tree = {"run": {"datasets": ["mine"]}, "datasets": {"mine": own}}
        YAML(typ="safe", pure=True).dump(tree, file)


@pytest.fixture(params=["csv", "imagefolder"])
def workspace(request, tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    if request.param == "csv":
        lines = [f"{('buy', 'meet')[n % 2]} number {n},{('spam', 'ham')[n % 2]}" for n in range(60)]
        Path("mine.csv").write_text("\n".join(["text,label", *lines]))
        write_params(CSV, CSV["classes"])
    else:
        for name in FOLDER["classes"]:
            Path("mine", name).mkdir(parents=True)
            for n in range(30):
                Image.fromarray(rng.integers(0, 256, (4, 4), dtype=np.uint8)).save(
                    f"mine/{name}/{n}.png"
                )
        write_params(FOLDER, FOLDER["classes"])
    return request.param


def hashes():
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in Path("data/mine").iterdir()
    }


def test_the_same_bytes_are_written_twice_and_no_pickle(workspace):
    prepare.main("mine")
    first = hashes()
    prepare.main("mine")
    assert hashes() == first
    assert set(first) == {"arrays.npz", "card.json"} | (
        {"tokenizer.json"} if workspace == "csv" else set()
    )
    with np.load("data/mine/arrays.npz", allow_pickle=False) as arrays:
        assert arrays["flipped"].sum() == 4
        assert sum(len(arrays[f"{split}/y"]) for split in SPLITS) == 60


def test_every_sample_keeps_its_name(workspace):
    prepare.main("mine")
    with np.load("data/mine/arrays.npz", allow_pickle=False) as arrays:
        seen = []
        for split in SPLITS:
            names = unpack(arrays[f"{split}/name"], arrays[f"{split}/name_offsets"])
            if workspace == "csv":
                # the first row, in line 2, is spam
                true = [int(name.removeprefix("line ")) % 2 for name in names]
            else:
                true = [FOLDER["classes"].index(name.split("/")[0]) for name in names]
            flipped = arrays["flipped"] if split == "train" else np.zeros(len(names), dtype=bool)
            np.testing.assert_array_equal(arrays[f"{split}/y"] != true, flipped)
            seen += names
        assert len(set(seen)) == 60


@pytest.mark.usefixtures("workspace")
def test_too_little_disk_is_one_line_and_nothing_is_written(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: namedtuple("usage", "free")(10**6))
    with pytest.raises(InputError, match="data/mine: expected 17 MB of free disk; got 1 MB"):
        prepare.main("mine")
    assert not Path("data").exists()


def test_a_size_that_cannot_be_had_is_named_by_its_key(workspace):
    section = CSV if workspace == "csv" else FOLDER
    write_params(section | {"train": 500}, section["classes"])
    expected = "^datasets.mine.prepare.train: expected at most 40, the samples that are left"
    with pytest.raises(InputError, match=expected):
        prepare.main("mine")


@pytest.mark.usefixtures("workspace")
def test_bad_data_leaves_nothing_behind():
    if Path("mine.csv").exists():
        Path("mine.csv").write_text("text,label\na,eggs\n")
    else:
        Path("mine/up/7.png").write_bytes(b"GIF89a")
    with pytest.raises(InputError, match=r"mine.csv: line 2|mine/up/7.png"):
        prepare.main("mine")
    assert not Path("data").exists()


@pytest.mark.usefixtures("workspace")
def test_an_experiment_elsewhere_reads_the_files_of_the_project(tmp_path, monkeypatch):
    prepare.main("mine")
    card = Path("data/mine/card.json").read_bytes()
    copy = tmp_path / "experiment"
    copy.mkdir()
    copy.joinpath("params.yaml").write_bytes(Path("params.yaml").read_bytes())
    monkeypatch.setenv("DVC_ROOT", str(Path.cwd()))
    monkeypatch.delenv("CATWISE_CACHE", raising=False)
    monkeypatch.chdir(copy)
    prepare.main("mine")
    assert Path("data/mine/card.json").read_bytes() == card
    assert cache_folder() == Path(os.environ["DVC_ROOT"], "data/.downloads")


@pytest.mark.parametrize("workspace", ["csv"], indirect=True)
@pytest.mark.usefixtures("workspace")
def test_weights_that_cannot_be_had_leave_nothing_behind(monkeypatch):
    data = prepare.load(params.load().datasets["mine"].prepare, bins=2)
    minilm = {"vocabulary": "minilm", "vocabulary_size": 30522, "weights": "minilm"}
    write_params(CSV | minilm, CSV["classes"])
    monkeypatch.setattr(prepare, "load", lambda section, bins: data)
    monkeypatch.setattr("catwise.data.bert_files.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^minilm: expected the package"):
        prepare.main("mine")
    assert not Path("data").exists()


@pytest.mark.parametrize(
    ("section", "classes"),
    [
        (CSV, CSV["classes"]),
        (FOLDER, FOLDER["classes"]),
        (EMOTION, ["joy", "fear"]),
        (
            EMOTION | {"vocabulary": "bert-base-cased", "vocabulary_size": 28996, "train": 100},
            ["joy", "fear"],
        ),
        (CIFAR | {"source": "stl10", "test": "all"}, ["car", "cat"]),
        (CIFAR, ["automobile", "cat"]),
    ],
)
def test_a_section_of_each_source_is_valid(tmp_path, monkeypatch, section, classes):
    monkeypatch.chdir(tmp_path)
    write_params(section, classes)
    assert params.load().datasets["mine"].prepare.source == section["source"]


@pytest.mark.parametrize(
    ("section", "classes", "message"),
    [
        (CIFAR, ["car", "cat"], "figures.classes.0: expected one of airplane, automobile"),
        (CSV, ["ham", "eggs"], "figures.classes.1: expected one of spam, ham; got 'eggs'"),
        (CSV | {"classes": ["spam"]}, ["spam", "ham"], "datasets.mine.prepare.classes: expected"),
        (
            CSV | {"classes": ["spam", "ham", "spam"]},
            ["spam", "ham"],
            "datasets.mine.prepare: expected each class once",
        ),
        (
            FOLDER | {"colour": "rgb", "size": 11},
            ["up", "down"],
            "datasets.mine.prepare.size: expected 12 or more for a resnet9, which halves it thrice",
        ),
        (
            EMOTION | {"vocabulary": "bert-base-cased"},
            ["joy", "fear"],
            "vocabulary_size of 28996 for bert-base-cased",
        ),
        (
            EMOTION | {"max_length": 3},
            ["joy", "fear"],
            "max_length: expected greater than or equal to 4; got 3",
        ),
        (CIFAR | {"train": "some"}, ["cat", "dog"], "datasets.mine.prepare.train: expected"),
        (
            CIFAR | {"train": 0},
            ["cat", "dog"],
            "datasets.mine.prepare.train: expected greater than or equal to 1; got 0",
        ),
        (
            FOLDER | {"test": "all"},
            ["up", "down"],
            "prepare.test: expected a valid integer; got 'all'",
        ),
        (
            CSV | {"test": "all"},
            ["spam", "ham"],
            "prepare.test: expected a valid integer; got 'all'",
        ),
        (CIFAR | {"size": 32}, ["cat", "dog"], "prepare.size: expected no such key; got 32"),
        (
            FOLDER | {"colour": "blue"},
            ["up", "down"],
            "prepare.colour: expected 'grey' or 'rgb'; got 'blue'",
        ),
    ],
)
def test_a_mistake_in_a_section_is_named(tmp_path, monkeypatch, section, classes, message):
    monkeypatch.chdir(tmp_path)
    write_params(section, classes)
    with pytest.raises(InputError) as caught:
        params.load()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
