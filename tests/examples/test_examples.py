"""The examples do what they say, and each is short enough to be read at a glance."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from examples import own_classifier

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("[!_]*.py")), ids=lambda path: path.name)
def test_an_example_is_shorter_than_sixty_lines(path):
    assert len(path.read_text().splitlines()) < 60


@pytest.mark.slow
def test_the_example_finds_the_labels_that_it_changed_and_writes_weights(tmp_path, capsys):
    with torch.random.fork_rng():
        own_classifier.main(str(tmp_path / "weights.csv"))
    verdict, _, _, _, *samples = capsys.readouterr().out.splitlines()
    assert re.match(r"verdict: room for a joint improvement of about .* \(95 % .* to .*\)", verdict)
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
