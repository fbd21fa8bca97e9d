"""The paper's claims are judged on its own data sets, not on what was made of them on purpose."""

from pathlib import Path

import pytest

from catwise.config import params
from stages.claims import is_spoiled

SETS = params.load(Path(__file__).parents[2] / "params.yaml").datasets


@pytest.mark.parametrize(
    ("name", "spoiled"),
    [
        *(("cifar10", False), ("cifar10_narrow", False), ("emotion", False)),
        *(("cifar10_longtail", True), ("cifar10_noisy", True)),
    ],
)
def test_a_long_tail_and_wrong_labels_are_no_evidence(name, spoiled):
    assert is_spoiled(SETS[name].prepare.model_dump()) == spoiled


def test_results_from_before_there_was_an_imbalance_are_evidence():
    assert not is_spoiled({"source": "cifar10", "train": 10000, "flip_share": 0.0})
