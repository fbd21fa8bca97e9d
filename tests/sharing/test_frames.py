"""The tables hold what the diagnosis holds, and the issues are ranked by what is known."""

import sys

import numpy as np
import pytest

from catwise.core.errors import InputError
from tests.helpers.diagnoses import CLASSES, diagnosis, noisy


def test_the_table_has_every_number_of_the_diagnosis():
    margin_n = np.arange(240.0)
    table = diagnosis().to_frame(margin_n)
    assert list(table) == [
        *("sample", "label", "predicted"),
        *(f"influence on {name}" for name in CLASSES),
        *("weight", "running_margin"),
    ]
    influences = table[[f"influence on {name}" for name in CLASSES]]
    np.testing.assert_array_equal(influences.to_numpy(), diagnosis().p_nk)
    np.testing.assert_array_equal(table["weight"], diagnosis().weights_n)
    np.testing.assert_array_equal(table["running_margin"], margin_n)
    model, train, _ = noisy()
    assert list(table["label"]) == [CLASSES[label] for label in train[1]]
    assert list(table["predicted"]) == [CLASSES[label] for label in model(train[0]).argmax(1)]
    assert "running_margin" not in diagnosis().to_frame()


def test_without_a_margin_the_wrong_labels_are_found_by_influence():
    """A tenth of the labels is wrong: a rule without information has that precision."""
    wrong_n = np.arange(240) % 10 == 0
    table = diagnosis().label_issues()
    assert list(table) == ["is_label_issue", "label_quality", "given_label", "predicted_label"]
    order = np.argsort(diagnosis().p_nk.sum(axis=1))
    np.testing.assert_array_equal(table["label_quality"].to_numpy()[order], np.arange(240) / 239)
    issues_n = table["is_label_issue"].to_numpy()
    assert wrong_n[issues_n].mean() > 0.5
    assert issues_n[wrong_n].mean() > 0.5
    assert (table["given_label"] != table["predicted_label"])[issues_n].all()


def test_a_running_margin_decides_alone():
    margin_n = np.linspace(-1, 3, 240)
    table = diagnosis().label_issues(margin_n)
    np.testing.assert_array_equal(table["is_label_issue"], margin_n < 0)
    assert table["label_quality"].is_monotonic_increasing
    assert table["label_quality"].iloc[[0, -1]].tolist() == [0, 1]
    for wrong in (margin_n[1:], np.append(margin_n[1:], np.nan)):
        with pytest.raises(
            InputError, match="running_margin: expected a finite number for each of"
        ):
            diagnosis().label_issues(wrong)


def test_no_label_is_wrong_in_a_class_that_is_not_learnt():
    """What the model takes for other classes as a whole says nothing about single labels."""
    labels_n = diagnosis().labels_n
    margin_n = np.linspace(-1, 3, 240)
    margin_n[labels_n == 2] -= 1.5
    with pytest.warns(UserWarning, match=r"^not learnt, so that its labels cannot be judged: 3$"):
        table = diagnosis().label_issues(margin_n)
    issues_n = table["is_label_issue"].to_numpy()
    assert margin_n[labels_n == 2].max() > 0
    assert not issues_n[labels_n == 2].any()
    np.testing.assert_array_equal(issues_n[labels_n != 2], (margin_n < 0)[labels_n != 2])


def test_without_pandas_one_line_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError) as caught:
        diagnosis().to_frame()
    assert str(caught.value) == (
        "to_frame: expected the package pandas; got none; pip install '.[report]' in the"
        " folder of catwise"
    )
