"""What is saved is loaded to the last bit, or refused in one line; nothing is half-written."""

import json
import sys
from copy import deepcopy
from dataclasses import replace
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np
import pytest
import torch

from catwise.core.errors import InputError
from catwise.diagnosis import diagnose, load_diagnosis
from catwise.sharing import folder
from tests.helpers import small
from tests.helpers.diagnoses import diagnosis, noisy


@pytest.mark.slow
@pytest.mark.parametrize("packages", ["pyarrow", "none"])
def test_a_diagnosis_is_loaded_as_it_was_saved(tmp_path, monkeypatch, packages):
    if packages == "none":
        monkeypatch.setattr(folder, "find_spec", lambda name: None)
    diagnosis().save(tmp_path / "saved")
    table = "samples.parquet" if packages == "pyarrow" else "samples.csv"
    names = {path.name for path in (tmp_path / "saved").iterdir()}
    assert names == {"diagnosis.json", "factors.safetensors", table}
    loaded = load_diagnosis(tmp_path / "saved")
    assert str(loaded) == str(diagnosis())
    assert loaded.fitted is None
    for name in ("p_nk", "weights_n", "labels_n", "predicted_n"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(diagnosis(), name))
    assert folder.plain(loaded.ceiling) == folder.plain(diagnosis().ceiling)
    assert loaded.label_names == diagnosis().label_names


def test_the_record_is_json_for_everyone(tmp_path):
    ceiling = replace(diagnosis().ceiling, gap=float("inf"))
    replace(diagnosis(), ceiling=ceiling).save(tmp_path)
    text = (tmp_path / "diagnosis.json").read_text()
    record = json.loads(text, parse_constant=pytest.fail)
    assert record["sentence"] == diagnosis().verdict.text
    assert record["ceiling"]["crossfitted"]["low"] == ceiling.crossfitted.low
    assert load_diagnosis(tmp_path).ceiling.gap == float("inf")


@pytest.mark.slow
def test_with_its_model_a_loaded_diagnosis_answers_as_before(tmp_path):
    model, train, query = noisy()
    asked = diagnosis().ask(query, measure="margin")
    asked.save(tmp_path)
    loaded = load_diagnosis(tmp_path, deepcopy(model), train, batch_size=50)
    np.testing.assert_array_equal(loaded.p_nk, asked.p_nk)
    np.testing.assert_array_equal(loaded.ask(query).p_nk, diagnosis().p_nk)


def test_statistics_of_batch_norm_are_asked_for_and_kept(tmp_path):
    model, train, query = small.conv_net(), small.images(40), small.images(60, seed=1)
    moving = diagnose(model, train, query, "abc")
    fixed = diagnose(model, train, query, "abc", statistics="fixed")
    assert not np.allclose(fixed.p_nk, moving.p_nk, rtol=1e-3)
    fixed.save(tmp_path)
    again = load_diagnosis(tmp_path, model, train).ask(query)
    np.testing.assert_allclose(again.p_nk, fixed.p_nk)
    with pytest.raises(InputError, match="statistics: expected moving or fixed; got 'mine'"):
        diagnose(model, train, query, "abc", statistics="mine")


def test_what_does_not_belong_to_it_is_refused(tmp_path):
    model, train, _ = noisy()
    diagnosis().save(tmp_path)

    def said(match, *arguments):
        with pytest.raises(InputError, match=match) as caught:
            load_diagnosis(tmp_path, *arguments)
        assert "\n" not in str(caught.value)

    other = deepcopy(model)
    with torch.no_grad():
        other[2].weight[0, 0] *= 1.001
    said("model: expected the weights that the factors were fitted at", other, train)
    said("train: expected the 240 training samples", model, (train[0], train[1].flip(0)))
    shifted = (train[0] + 1, train[1])
    said("train: expected the training samples of the diagnosis; got others of", model, shifted)
    said("expected model and train, or neither", model)
    asked = tmp_path / "diagnosis.json"
    asked.write_text(asked.read_text().replace(diagnosis().fitted.fingerprint, 64 * "0"))
    said("expected the factors of diagnosis.json beside it; got others", model, train)


@pytest.mark.parametrize("name", ["diagnosis.json", "factors.safetensors", "samples.parquet"])
def test_a_damaged_or_missing_file_is_one_line(tmp_path, name):
    model, train, _ = noisy()
    diagnosis().save(tmp_path)
    file = tmp_path / name
    content = bytearray(file.read_bytes())
    for damaged in (b"", content[: len(content) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match=f"{name}: expected a saved diagnosis; got a damaged"):
            load_diagnosis(tmp_path, model, train)
    file.unlink()
    with pytest.raises(InputError, match=f"{name}: expected a file of a saved diagnosis; got none"):
        load_diagnosis(tmp_path, model, train)


@pytest.mark.parametrize("field", ["samples", "coverage", "measure"])
def test_a_record_without_a_field_is_one_line(tmp_path, field):
    diagnosis().save(tmp_path)
    file = tmp_path / "diagnosis.json"
    file.write_text(file.read_text().replace(f'"{field}":', '"other":'))
    with pytest.raises(InputError, match=rf"diagnosis.json: expected .*damaged one: '{field}'$"):
        load_diagnosis(tmp_path)


def test_a_table_in_parquet_without_pyarrow_is_one_line(tmp_path, monkeypatch):
    diagnosis().save(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"samples.parquet: expected pyarrow, which reads it"):
        load_diagnosis(tmp_path)


def test_one_flipped_bit_of_the_factors_is_noticed(tmp_path):
    model, train, _ = noisy()
    diagnosis().save(tmp_path)
    file = tmp_path / "factors.safetensors"
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="its tensors do not fit its checksum"):
        load_diagnosis(tmp_path, model, train)


def test_a_report_where_a_folder_is_names_it(tmp_path):
    (tmp_path / "page").mkdir()
    with pytest.raises(InputError, match=r"/page: expected to write there; got: Is a directory$"):
        folder.write_text(tmp_path / "page", "")
    assert list(tmp_path.iterdir()) == [tmp_path / "page"]


def test_a_record_of_before_the_inputs_were_kept_is_read(tmp_path):
    model, train, _ = noisy()
    diagnosis().save(tmp_path)
    file = tmp_path / "diagnosis.json"
    file.write_text(file.read_text().replace('"inputs":', '"other":'))
    assert load_diagnosis(tmp_path, model, train).fitted is not None


def test_a_record_of_before_the_accuracy_and_the_pair_were_kept_is_read(tmp_path):
    diagnosis().save(tmp_path)
    file = tmp_path / "diagnosis.json"
    text = file.read_text()
    for name in ("accuracy_k", "pair", "absent"):
        text = text.replace(f'"{name}":', '"other":')
    text = text.replace('"coverage":', '"other":', 1)  # that of the verdict
    file.write_text(text)
    loaded = load_diagnosis(tmp_path)
    assert loaded.accuracy_k is None
    assert loaded.verdict.sentence == diagnosis().verdict.sentence
    assert len(loaded.ceiling.blocking) == 2


@pytest.mark.parametrize("write", ["write_text", "write_bytes"])  # of the record, of the factors
def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch, write):
    diagnosis().save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    changed = replace(diagnosis(), coverage=0.5)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, write, full)
    with pytest.raises(InputError, match="expected to write there; got: No space left on device"):
        changed.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_without_safetensors_one_line_says_so(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "safetensors"]:
        monkeypatch.delitem(sys.modules, name)
    find = PathFinder.find_spec

    def without(name, *arguments):
        return None if name.startswith("safetensors") else find(name, *arguments)

    monkeypatch.setattr(PathFinder, "find_spec", without)
    with pytest.raises(InputError, match="save: expected the package safetensors; got none"):
        diagnosis().save(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
