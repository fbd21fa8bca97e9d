"""The examples do what they say, and each is short enough to be read at a glance."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from examples import (
    hugging_face,
    image_folder,
    improve_estimator,
    logistic_regression,
    own_classifier,
)

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("[!_]*.py")), ids=lambda path: path.name)
def test_an_example_is_shorter_than_sixty_lines(path):
    assert len(path.read_text().splitlines()) < 60


@pytest.mark.slow
def test_the_example_finds_the_labels_that_it_changed_and_writes_weights(tmp_path, capsys):
    with torch.random.fork_rng():
        own_classifier.main(str(tmp_path / "weights.csv"))
    verdict, _, _, _, _, _, *samples = capsys.readouterr().out.splitlines()
    assert re.match(r"verdict: room: other weights could .* \(95 % interval .*\)", verdict)
    line = re.compile(r"sample +\d+, label \d: +-[\d.]+ nats, (wrong on purpose|as it was)")
    notes = [line.fullmatch(sample)[1] for sample in samples]
    assert len(notes) == 10
    assert notes.count("wrong on purpose") >= 7  # a tenth of the training set is
    with (tmp_path / "weights.csv").open() as file:
        rows = list(csv.DictReader(file))
    weights = np.array([float(row["weight"]) for row in rows])
    assert [int(row["sample"]) for row in rows] == list(range(1200))
    assert weights.min() >= 0
    assert weights.max() <= 2
    assert weights.mean() == pytest.approx(1, abs=1e-6)  # six digits are written


@pytest.mark.slow
def test_the_exact_hessian_predicts_the_training_without_the_most_harmful_sample(capsys):
    logistic_regression.main()
    out = capsys.readouterr().out
    predicted, realised = (
        np.array(re.search(rf"without sample \d+, {what}: (.*)", out)[1].split(), dtype=float)
        for what in ("predicted", "realised")
    )
    numbers = re.findall(r"(\d+) \([^)]+, predicted ", out)
    assert {int(number) for number in numbers} <= set(range(8))  # eight labels are wrong
    assert len(numbers) == 5
    assert (np.sign(predicted) == np.sign(realised)).all()
    assert predicted.sum() == pytest.approx(realised.sum(), rel=0.5)  # first order, one sample


@pytest.mark.slow
def test_a_model_of_transformers_finds_the_texts_with_a_wrong_label(tmp_path, capsys):
    hugging_face.main(str(tmp_path / "page.html"))
    out = capsys.readouterr().out
    numbers = re.findall(r"(\d+) \([^)]+, predicted ", out)
    assert sum(int(number) < 30 for number in numbers) >= 4  # the first 30 of 300 are wrong
    assert "covered by the influence: 100 %" in out
    assert "by sender: " in out
    assert (tmp_path / "page.html").read_text().count('<p class="text">') == 24


@pytest.mark.slow
def test_a_torchvision_model_is_diagnosed_on_an_image_folder(tmp_path, capsys, monkeypatch):
    rng = np.random.default_rng(0)
    for name, level in (("dark", 60), ("light", 180)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(24):
            pixels = rng.integers(level - 50, level + 50, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    monkeypatch.setattr(image_folder, "EPOCHS", 1)
    image_folder.main(str(tmp_path / "photos"), str(tmp_path / "page.html"))
    out = capsys.readouterr().out
    assert re.search(r"^verdict: ", out, re.M)
    assert float(re.search(r"covered by the influence: ([\d.]+) %", out)[1]) > 99
    page = (tmp_path / "page.html").read_text()
    assert len(re.findall(r"<h4>.*photos/(?:dark|light)/\d+.png</h4>", page)) == 24


@pytest.mark.slow
def test_the_example_improves_an_estimator_or_says_that_it_does_not(tmp_path, capsys):
    improve_estimator.main(str(tmp_path / "weights.csv"))
    out = capsys.readouterr().out
    assert re.search(r"^round 1: (room|at its ceiling)", out, re.M)
    assert re.search(r"^end \((ceiling|none accepted|last round)\): ", out, re.M)
    wrong, right = re.search(r"labels (\S+), of right ones (\S+)", out).groups()
    assert float(wrong) <= float(right)
    weights = np.loadtxt(tmp_path / "weights.csv", delimiter=",", skiprows=1)[:, 1]
    assert weights.mean() == pytest.approx(1, abs=1e-5)
