"""Other libraries are compared on the same work, and what one cannot do stands in its row."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.peers import measure
from benchmarks.peers.case import Case
from catwise.report.peers import advice, peer_rows

ROOT = Path(__file__).parents[2]
SMALL = {  # 197 samples, and 10 halves
    "prepare": {"validation_a": 100, "validation_b": 100, "test": 1400},
    "train": {"width": 4, "epochs": 3},
    "curvature": {"earlier": []},
    "influence": {"runs": 1},
    "subsets": {"halves": 10, "removals": 0, "seeds": 1},
    "removal": {"influence": ["endpoint"]},
    "reweight": {},
    "improve": {},
}


def unable(work):
    raise NotImplementedError("no\nconvolutions")


@pytest.mark.slow
def test_a_small_case_needs_no_other_library_and_is_measured_once(tmp_path, monkeypatch):
    ours = {name: measure.METHODS[name] for name in ("catwise, endpoint", "catwise, segments")}
    methods = {**ours, "unable": ("none", "json", unable), "absent": ("none", "no_module", unable)}
    monkeypatch.setattr(measure, "METHODS", methods)
    case = Case("digits_peers", tmp_path / "case", "digits", SMALL)
    result = measure.compare("small", case, tmp_path / "kept")
    rows = result["methods"]
    assert rows["unable"] == {
        "version": "not installed",
        "reason": "NotImplementedError: no convolutions",
    }
    assert rows["absent"]["reason"] == "ModuleNotFoundError: No module named 'no_module'"
    for name in ours:
        assert rows[name]["times a training"] > 0
        assert rows[name]["peak bytes"] > 0
        value, low, high = rows[name]["LDS"]["loss"]
        assert low <= value <= high
    assert len({len(row) for row in peer_rows(result)}) == 1

    monkeypatch.setattr(measure, "_row", unable)  # nothing is measured again
    again = measure.compare("small", case, tmp_path / "kept")
    assert json.dumps(again) == json.dumps(result)


def test_the_area_of_flipped_labels_is_that_of_scikit_learn_within_its_interval():
    rng = np.random.default_rng(0)
    flipped_n = np.arange(40) < 8
    totals_n = rng.integers(5, size=40) - 2.0 * flipped_n  # with ties
    value, low, high = measure.flip_auc(totals_n, flipped_n, rng)
    assert value == pytest.approx(roc_auc_score(flipped_n, -totals_n), abs=1e-12)
    assert low < value < high
    assert measure.flip_auc(-1.0 * flipped_n, flipped_n, rng) == (1, 1, 1)


def test_the_cheapest_method_within_the_interval_of_the_best_is_named():
    def row(price, lds, auc):
        return {"times a training": price, "LDS": {"loss": lds}, "flipped label AUC": auc}

    methods = {
        "dear": row(9.0, (0.8, 0.7, 0.9), (0.7, 0.6, 0.8)),
        "cheap": row(0.5, (0.75, 0.6, 0.8), (0.5, 0.4, 0.6)),
        "poor": row(0.1, (0.5, 0.4, 0.6), (0.6, 0.5, 0.7)),
        "margin": {"times a training": 0.2, "flipped label AUC": (0.9, 0.8, 1.0)},
        "failed": {"version": "1", "reason": "no"},
    }
    predict, labels, influence = advice({"methods": methods})
    assert "dear, LDS 0.80" in predict
    assert "within its interval is cheap, 0.75" in predict
    assert labels.endswith("margin, AUC 0.90 (0.80 to 1.00), at 0.20 trainings.")
    assert "dear, AUC 0.70" in influence
    assert "is poor, 0.60" in influence


def test_the_comparison_in_the_repository_is_whole():
    cases = json.loads((ROOT / "reports/benchmarks/peers.json").read_text())["cases"]
    assert "digits" in cases
    for case in cases.values():
        assert set(case["methods"]) == set(measure.METHODS)
