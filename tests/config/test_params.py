import sys
from copy import deepcopy
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from catwise.config.params import Params, load
from catwise.core.errors import InputError
from catwise.pipeline.stage import run
from stages import prepare

ROOT = Path(__file__).parents[2]


TREE = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())


def write_params(path: Path, key: str, value: object) -> Path:
    """Write the project's parameters of ``linear`` and one other data set, with one key set.

    A key that ends in '-' is deleted.
    """
    *parents, last = key.rstrip("-").split(".")
    names = {"linear", parents[1] if parents[:1] == ["datasets"] and parents[1:] else "digits"}
    tree = {"run": {"datasets": sorted(names)}}
    tree["datasets"] = {name: deepcopy(TREE["datasets"][name]) for name in sorted(names)}
    node = tree
    for parent in parents:
        node = node[int(parent) if isinstance(node, list) else parent]
    if key.endswith("-"):
        del node[last]
    else:
        node[int(last) if isinstance(node, list) else last] = value
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump(tree, file)
    return path


def differences(one, other, key=""):
    """Yield the keys below which two trees differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for name in one:
            yield from differences(one[name], other[name], f"{key}.{name}".lstrip("."))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, f"{key}.{number}")
    elif one != other:
        yield key


def test_the_narrow_and_the_wide_cifar10_differ_in_width_and_budget_alone():
    """The number format follows the width: auto is for hours, float32 so that machines agree."""
    width = {"train.width", *(f"{name}.precision" for name in ("train", "curvature", "influence"))}
    budget = {"subsets", "fidelity", *(f"reweight.cases.{number}.budget" for number in range(7))}
    sets = TREE["datasets"]
    found = set(differences(sets["cifar10_narrow"], sets["cifar10"]))
    budgets = {key for key in found if ".budget" in key}
    assert {key.partition(".budget")[0] + ".budget" for key in budgets} <= budget
    assert "train.width" in found
    assert found - budgets <= width | budget


@pytest.mark.parametrize(
    ("name", "keys"),
    [("longtail", {"prepare.imbalance"}), ("noisy", {"prepare.flip_share", "prepare.train"})],
)
def test_a_spoiled_cifar10_is_trained_as_the_narrow_one(name, keys):
    sets = TREE["datasets"]
    found = set(differences(sets["cifar10_narrow"], sets[f"cifar10_{name}"]))
    assert {other for other in found if other.startswith(("prepare", "train"))} == keys


def test_the_projects_own_file_is_valid():
    assert isinstance(load(ROOT / "params.yaml"), Params)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "datasets.digits.train.lr",
            0.1,
            "datasets.digits.train.lr: expected no such key; got 0.1",
        ),
        (
            "datasets.digits.train.epochs-",
            None,
            "datasets.digits.train.epochs: expected this key; got none",
        ),
        (
            "datasets.digits.train.epochs",
            "ten",
            "datasets.digits.train.epochs: expected a valid integer; got 'ten'",
        ),
        ("datasets.digits.train.epochs", 2.5, "datasets.digits.train.epochs: expected"),
        (
            "datasets.digits.train.epochs",
            True,
            "datasets.digits.train.epochs: expected a valid integer; got True",
        ),
        ("datasets.digits.train.epochs", 0, "epochs: expected greater than or equal to 1; got 0"),
        (
            "datasets.digits.train.learning_rate",
            float("nan"),
            "learning_rate: expected a finite number; got nan",
        ),
        (
            "datasets.digits.train.learning_rate",
            float("inf"),
            "learning_rate: expected a finite number; got inf",
        ),
        (
            "datasets.digits.prepare.imbalance",
            0,
            "prepare.imbalance: expected greater than 0; got 0",
        ),
        ("datasets.digits.prepare.flip_to", "last", "prepare.flip_to: expected"),
        (
            "datasets.digits.train.refresh",
            5,
            "train.refresh: expected 0 for a cnn, which has no batch norm; got 5",
        ),
        ("datasets.cifar10_narrow.train.precision", "half", "train.precision: expected"),
        ("datasets.digits.prepare.flip_share", 1.0, "flip_share: expected less than 1; got 1.0"),
        ("datasets.digits.prepare.test", 1700, "at most 1697 of the 1797"),
        ("datasets.linear.prepare.flips", [301, 0], "flips at most train = 300 per class"),
        ("datasets.linear.prepare.flips", [1], "datasets.linear.prepare.flips: expected"),
        ("datasets.linear.prepare.source", "circle", "datasets.linear.prepare"),
        ("datasets.digits.curvature.kind", "exact", "datasets.digits.curvature"),
        (
            "datasets.cifar10_narrow.curvature.draw",
            "every",
            "datasets.cifar10_narrow.curvature.samples: expected all with draw: every; got 12500",
        ),
        (
            "datasets.emotion.prepare.max_length",
            513,
            "datasets.emotion.prepare.max_length: expected at most 512, the positions of minilm",
        ),
        (
            "datasets.digits.removal",
            {"method": "trimming", "max_rounds": 2, "seeds": 2},
            "datasets.digits.removal.method: expected top_share for a cnn; got 'trimming'",
        ),
        (
            "datasets.digits.curvature.damping",
            0,
            "curvature.damping: expected greater than 0; got 0",
        ),
        (
            "datasets.digits.curvature.earlier",
            [2, 20],
            "rising epochs before the last, 20; got [2, 20]",
        ),
        (
            "datasets.digits.curvature.earlier",
            [2, 1],
            "rising epochs before the last, 20; got [2, 1]",
        ),
        (
            "datasets.digits.influence.bins",
            2,
            "influence.bins: expected greater than or equal to 3; got 2",
        ),
        ("datasets.digits.figures.classes.1", "10", "figures.classes.1: expected one of 0, 1, 2"),
        (
            "datasets.digits.figures.classes",
            ["4", "4"],
            "figures.classes.1: expected each class once; got '4' again",
        ),
        (
            "datasets.linear.device",
            "auto",
            "linear.device: expected cpu for logistic regression; got 'auto'",
        ),
        (
            "run.datasets",
            ["linear", "mnist"],
            "run.datasets.1: expected one of digits, linear; got 'mnist'",
        ),
        ("run.datasets", ["linear", "linear"], "each data set once; got 'linear' again"),
        ("run.datasets", [], "run.datasets: expected"),
        (
            "datasets.digits.train.model",
            "resnet9",
            "train.model: expected cnn for these data; got 'resnet9'",
        ),
        (
            "datasets.cifar10.train.model",
            "cnn",
            "train.model: expected resnet9 for these data; got 'cnn'",
        ),
        ("datasets.emotion.prepare.weights", "none", "train.model: expected bert for these data"),
        (
            "datasets.emotion_small.prepare.weights",
            "bert-base-cased",
            "vocabulary bert-base-cased with weights",
        ),
        (
            "datasets.emotion_small.train.width",
            40,
            "train.width: expected a multiple of 32; got 40",
        ),
        ("run.datasets", "linear", "run.datasets: expected a valid list; got 'linear'"),
        ("run.colour", 1, "run.colour: expected no such key"),
        (
            "datasets.digits.reweight.cases.0.epoch",
            "auto",
            "reweight.cases.0: expected a number as epoch",
        ),
        (
            "datasets.digits.reweight.cases.0.epoch",
            20,
            "reweight.cases.0.epoch: expected at most 19; got 20",
        ),
        (
            "datasets.digits.reweight.cases.0.targets",
            ["10"],
            "reweight.cases.0.targets: expected some of 0, 1",
        ),
        (
            "datasets.digits.reweight.population",
            10,
            "reweight.population: expected a multiple of 4; got 10",
        ),
        (
            "datasets.digits.reweight-",
            None,
            "datasets.digits.reweight: expected this key; got none",
        ),
        ("datasets.digits", None, "datasets.digits: expected"),
        ("datasets.digits.reweight.cases.0.recipe", [[]], "reweight.cases.0.recipe: expected"),
        (
            "datasets.digits.reweight.searches",
            [{"anchor": "start", "rule": "printed", "program": "linear"}] * 2,
            "datasets.digits.reweight: expected each search and each direction once",
        ),
        (
            "datasets.digits.reweight.directions",
            [{"anchor": "unrolled", "filter": "damped", "query": "loss"}],
            "directions.0: expected filter exact with anchor unrolled, and with no other",
        ),
        (
            "datasets.digits.reweight.cases.1.budget.searches",
            5,
            "reweight: expected budgets of at most 2 searches, as many as are listed; got",
        ),
        (
            "datasets.digits.reweight.searches",
            [],
            "datasets.digits.reweight: expected budgets of at most 0 searches",
        ),
        (
            "datasets.digits.reweight.generations",
            -1,
            "generations: expected greater than or equal to 0; got -1",
        ),
        (
            "datasets.digits.train.optimizer",
            "adamw",
            "directions.1.anchor: expected start or end with optimizer adamw; got 'unrolled'",
        ),
        (
            "datasets.digits.reweight.unrolled.orders",
            0,
            "unrolled.orders: expected greater than or equal to 1; got 0",
        ),
        ("datasets.digits.reweight.merge", 1.0, "reweight.merge: expected less than 1; got 1.0"),
        ("datasets.digits.reweight.cases.0.budget", "half", "reweight.cases.0.budget: expected"),
        (
            "datasets.digits.reweight.cases.0.budget-",
            None,
            "reweight.cases.0.budget: expected this key; got none",
        ),
        (
            "datasets.digits.reweight.cases.1.budget.population",
            10,
            "reweight.cases.1.budget.population: expected a multiple of 4; got 10",
        ),
        (
            "datasets.digits.reweight.cases.1.budget.seeds",
            1,
            "reweight.cases.1.budget.seeds: expected greater than or equal to 2; got 1",
        ),
        (
            "datasets.cifar10_narrow.prepare.train",
            [[]],
            "datasets.cifar10_narrow.prepare.train: expected",
        ),
        ("datasets.digits.train", 7, "datasets.digits.train: expected"),
        (
            "datasets.digits.influence.augmentations",
            4,
            "influence.augmentations: expected 0 where training does not augment; got 4",
        ),
        (
            "datasets.linear.influence.augmentations",
            1,
            "influence.augmentations: expected 0, as logistic regression has one optimum",
        ),
        (
            "datasets.linear.improve.influence",
            ["exact"],
            "improve.influence: expected endpoint, of one optimum; got exact",
        ),
        (
            "datasets.digits.improve.influence",
            ["exact", "exact"],
            "datasets.digits.improve: expected each kind of influence once",
        ),
        (
            "datasets.digits.improve.influence",
            ["ekfac"],
            "influence.0: expected 'endpoint', 'endpoint_fixed', 'middle', 'segments', "
            "'last_layer' or 'exact'",
        ),
        (
            "datasets.stl10.removal.influence",
            ["endpoint", "segments"],
            "removal.influence: expected no segments where influence.segments is 0; got endpoint",
        ),
        (
            "datasets.cifar10_noisy.removal.influence",
            ["exact"],
            "removal.influence: expected exact of a cnn by sgd without crops alone; got exact",
        ),
        (
            "datasets.cifar10_noisy.improve.influence",
            ["exact"],
            "improve.influence: expected exact of a cnn by sgd without crops alone; got exact",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(tmp_path, key, value, message):
    with pytest.raises(InputError) as caught:
        load(write_params(tmp_path / "params.yaml", key, value))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "params.yaml" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "run: [", "- 1", "run: {datasets: [linear]}\nrun: {}", "\x00"]
)
def test_a_file_that_is_no_mapping_is_one_line(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match="expected") as caught:
        load(path)
    assert "\n" not in str(caught.value)


MINIMAL = b"run:\n  datasets: [linear]\ndatasets:\n  linear: "
BOMB = b"[&a [x, x, x, x, x, x, x, x], " + b", ".join(
    b"&%c [%s]" % (letter + 1, b", ".join([b"*%c" % letter] * 8)) for letter in b"abcdefghij"
)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"!!int ten", "line 4"),
        (b"!!bool ten", "line 4"),
        (b"2020-13-45", "line 4"),
        (b"0x_", "line 4"),
        (b"9" * 5000, "line 4"),
        (b"\xff", "line 4: expected UTF-8 text; got byte 0xff"),
        (b"\x00", "line 4: expected UTF-8 text; got byte 0x00"),
        (b"!!python/object/apply:os.system [touch executed]", "line 4"),
        (b"[" * 1000, "sections within sections without end"),
        (b"&a [*a]", "datasets.linear: expected"),
        (BOMB + b"]", "datasets.linear: expected"),
        (b'{"a\\nb\\u2028c": 1}', "datasets.linear"),
    ],
)
def test_a_value_that_cannot_be_is_one_line_with_its_key_or_line(
    tmp_path, monkeypatch, value, message
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_bytes(MINIMAL + value + b"\n")
    with pytest.raises(InputError) as caught:
        load(path)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["params.yaml"]


def test_a_folder_in_place_of_the_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match="expected the parameters file; got: Is a directory"):
        load(tmp_path)


def test_logistic_regression_has_no_epoch_to_reweight(tmp_path):
    cases = deepcopy(TREE["datasets"]["digits"]["reweight"])
    with pytest.raises(InputError, match=r"datasets\.linear\.reweight: expected null"):
        load(write_params(tmp_path / "params.yaml", "datasets.linear.reweight", cases))


@pytest.mark.parametrize(
    ("left", "reason"), [("improve", "calibrated verdict"), ("fidelity", "scores P by them")]
)
def test_what_goes_by_subsets_needs_them(tmp_path, left, reason):
    (other,) = {"improve", "fidelity"} - {left}
    digits = TREE["datasets"]["digits"] | {"subsets": None, other: None}
    path = write_params(tmp_path / "params.yaml", "datasets.digits", digits)
    with pytest.raises(InputError, match=rf"digits\.subsets: expected a section.*{reason}"):
        load(path)


def test_numbers_as_dvc_writes_them_are_numbers(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(
        (ROOT / "params.yaml").read_text().replace("weight_decay: 0.001", "weight_decay: 1e-05")
    )
    assert load(path).datasets["digits"].train.weight_decay == 1e-5


def test_a_stage_says_it_in_one_line_exits_with_2_and_writes_nothing(tmp_path, monkeypatch, capsys):
    """The mistake is in a section that prepare does not read: the whole file is checked first."""
    write_params(tmp_path / "params.yaml", "datasets.digits.removal.share", 2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["prepare", "linear"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        run(prepare.main, "")
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "datasets.digits.removal.share: expected less than 1; got 2" in error
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
