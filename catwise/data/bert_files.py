"""Get BERT's own tokenizer and weights, from the mirror if one is set, else from the hub."""

import json
from collections.abc import Callable
from pathlib import Path

from catwise.core.errors import InputError
from catwise.data import downloads, mirror

__all__ = ["BERT", "WEIGHTS", "load_tokenizer", "weights_folder"]

BERT = "google-bert/bert-base-cased"
VOCABULARY_SIZE = 28996
WEIGHTS = ("config.json", "model.safetensors")  # all that a model is made of


def load_tokenizer() -> str:
    """Return BERT's own cased WordPiece tokenizer, as JSON."""
    path = _file("tokenizer.json")
    content = path.read_text()
    _require_vocabulary(path, "a tokenizer", lambda: len(json.loads(content)["model"]["vocab"]))
    return content


def weights_folder() -> str:
    """Return the folder of BERT's ``config.json`` and ``model.safetensors`` (0.4 GB)."""
    if not mirror.mirror_folder():
        downloads.require_space(downloads.cache_folder(), 500_000_000)
    config, weights = (_file(name) for name in WEIGHTS)
    _require_vocabulary(
        config, "a model's configuration", lambda: json.loads(config.read_text())["vocab_size"]
    )
    return str(weights.parent)


def _file(name: str) -> Path:
    """Return the path of a file of BERT's, after its check or its download."""
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


def _require_vocabulary(path: Path, what: str, read_size: Callable[[], int]) -> None:
    """Raise InputError unless ``read_size`` returns the size of BERT's vocabulary."""
    try:
        size = read_size()
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{path}: expected {what} in JSON; got something else, or a part of it"
        ) from None
    if size != VOCABULARY_SIZE:
        raise InputError(f"{path}: expected a vocabulary of {VOCABULARY_SIZE}; got {size}")
