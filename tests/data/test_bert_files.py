"""BERT's own tokenizer and weights: nothing is downloaded."""

import pytest

from catwise.core.errors import InputError
from catwise.data import bert_files


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    folder = tmp_path / "mirror" / bert_files.BERT
    folder.mkdir(parents=True)
    monkeypatch.setenv("CATWISE_MIRROR", str(tmp_path / "mirror"))
    return folder


def test_the_mirrors_folder_is_given_if_it_is_whole(mirror):
    (mirror / "config.json").write_text('{"vocab_size": 28996}')
    with pytest.raises(
        InputError,
        match=r"model\.safetensors: expected this file .* got none; copy it there from",
    ):
        bert_files.weights_folder()
    (mirror / "model.safetensors").write_bytes(b"weights")
    assert bert_files.weights_folder() == str(mirror)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "a model's configuration in JSON"), ('{"vocab_size": 30522}', "28996; got 30522")],
)
def test_a_configuration_that_is_not_cased_berts_is_refused(mirror, content, message):
    (mirror / "config.json").write_text(content)
    (mirror / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(InputError, match=message):
        bert_files.weights_folder()


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
        bert_files.weights_folder()


def test_a_full_disk_is_reported_before_the_download(tmp_path, monkeypatch):
    monkeypatch.delenv("CATWISE_MIRROR", raising=False)
    monkeypatch.setenv("CATWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
    with pytest.raises(InputError, match="expected 500 MB of free disk; got 0 MB"):
        bert_files.weights_folder()


def test_the_hubs_files_lie_in_one_folder(tmp_path, monkeypatch):
    def cached(repository, file, cache_dir):
        path = cache_dir / repository / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"vocab_size": 28996}')
        return str(path)

    monkeypatch.delenv("CATWISE_MIRROR", raising=False)
    monkeypatch.setenv("CATWISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", cached)
    assert bert_files.weights_folder() == str(tmp_path / "cache" / "hub" / bert_files.BERT)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected a tokenizer in JSON"),
        ('{"model": {"vocab": {"a": 0}}}', "expected a vocabulary of 28996; got 1"),
    ],
)
def test_a_tokenizer_that_is_not_berts_is_refused(mirror, content, message):
    with pytest.raises(InputError, match="expected this file in the mirror; got none"):
        bert_files.load_tokenizer()
    (mirror / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match=message):
        bert_files.load_tokenizer()
