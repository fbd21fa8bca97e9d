"""A file is whole, or an error names it."""

import pickle
from contextlib import suppress

import numpy as np
import pytest
import torch

from catwise.core.errors import InputError
from catwise.pipeline import files
from catwise.pipeline.artifacts import read_tensors, write_tensors
from catwise.pipeline.tables import read_table

WRITERS = {
    "arrays.npz": (lambda path: files.write_npz(path, P=np.arange(500.0)), files.read_npz),
    "table.csv": (
        lambda path: files.write_csv(path, [{"class": "1", "loss": 0.5}] * 9),
        lambda path: read_table(path, {"class": str, "loss": float}),
    ),
    "about.json": (lambda path: files.write_json(path, {"P": [1.5] * 9}), files.read_json),
    "weights.safetensors": (
        lambda path: write_tensors(path, {"P": torch.arange(500.0)}),
        read_tensors,
    ),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"",
        lambda whole: pickle.dumps({"P": 1}),
        lambda whole: None,
    ],
    ids=["truncated", "empty", "pickle", "missing"],
)
def test_a_damaged_file_is_one_line_that_names_it(name, damage, tmp_path):
    path = tmp_path / name
    write, read = WRITERS[name]
    write(path)
    read(path)
    content = damage(path.read_bytes())
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: expected .*`dvc repro`") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["arrays.npz", "weights.safetensors"])
def test_no_flipped_bit_of_an_array_is_missed(name, tmp_path):
    path = tmp_path / name
    write, read = WRITERS[name]
    write(path)
    whole, before = path.read_bytes(), read(path)["P"]
    for position in range(0, len(whole), 7):
        flipped = bytes([whole[position] ^ 1 << position % 8])
        path.write_bytes(whole[:position] + flipped + whole[position + 1 :])
        with suppress(InputError):
            assert bool((read(path)["P"] == before).all())  # where the bit is that of a date, say


def test_a_key_that_a_file_lacks_is_named_with_the_file(tmp_path):
    files.write_json(tmp_path / "about.json", {"counts": {"train": 3}})
    content = files.read_json(tmp_path / "about.json")
    assert content == {"counts": {"train": 3}}
    with pytest.raises(InputError, match=r"about\.json: expected 'classes' in it; got 'counts'"):
        content["classes"]
    with pytest.raises(InputError, match=r"about\.json: expected 'test' in it; got 'train'"):
        content["counts"]["test"]


def test_what_json_does_not_have_becomes_null_or_plain(tmp_path):
    value = {1: (np.float32(0.5), float("nan")), "counts": np.arange(2), "flag": np.bool_(True)}
    files.write_json(tmp_path / "about.json", value)
    expected = {"1": [0.5, None], "counts": [0, 1], "flag": True}
    assert files.read_json(tmp_path / "about.json") == expected
