"""BERT's own tokenizer and weights, from the mirror if one is set, else from the hub."""

import json
from collections.abc import Callable
from pathlib import Path

from catwise.core.errors import InputError
from catwise.data import downloads, mirror

__all__ = ["BERT", "WEIGHTS", "folder", "tokenizer"]

BERT = "google-bert/bert-base-cased"
WEIGHTS = ("config.json", "model.safetensors")  # all that a model is made of


def tokenizer() -> str:
    """BERT's own cased WordPiece tokenizer, as JSON."""
    path = _file("tokenizer.json")
    content = path.read_text()
    _require_vocabulary(path, "a tokenizer", lambda: len(json.loads(content)["model"]["vocab"]))
    return content


def folder() -> str:
    """The folder of BERT's ``config.json`` and ``model.safetensors`` (0.4 GB)."""
    if not mirror.folder():
        downloads.require_space(downloads.cache(), 500_000_000)
    config, weights = (_file(name) for name in WEIGHTS)
    _require_vocabulary(
        config, "a model's configuration", lambda: json.loads(config.read_text())["vocab_size"]
    )
    return str(weights.parent)


def _file(name: str) -> Path:
    if local := mirror.folder():
        path = local / BERT / name
        mirror.verified(path, local)
        return path
    import httpx2
    import huggingface_hub

    huggingface_hub.logging.set_verbosity_error()
    with downloads.one_line(BERT, "a download", downloads.WAY_OUT, httpx2.HTTPError):
        return Path(
            huggingface_hub.hf_hub_download(BERT, name, cache_dir=downloads.cache() / "hub")
        )


def _require_vocabulary(path: Path, what: str, size: Callable[[], int]) -> None:
    try:
        came = size()
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{path}: expected {what} in JSON; got something else, or a part of it"
        ) from None
    if came != 28996:
        raise InputError(f"{path}: expected a vocabulary of 28996; got {came}")
