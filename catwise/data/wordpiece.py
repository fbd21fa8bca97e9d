"""Encode texts as token ids: a WordPiece vocabulary, learned or given, and arrays of one length."""

import json
from collections.abc import Sequence

import numpy as np

from catwise.core.errors import InputError

__all__ = ["SPECIAL", "decode", "encode", "learn", "size"]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def learn(texts: Sequence[str], vocabulary_size: int) -> str:
    """Learn a cased WordPiece tokenizer from ``texts``, and return it as JSON.

    It has at most ``vocabulary_size`` tokens, and is the same every time. The library itself
    numbers the pieces that continue a word in the order of a hash table, which has a new seed in
    each process, and breaks ties of frequency by number: two runs differ in about one token in a
    hundred. Therefore those pieces are given to it beforehand, in the order of their characters.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    normalizer = normalizers.BertNormalizer(lowercase=False)
    alphabet = sorted(set("".join(normalizer.normalize_str(text) for text in texts)) - {" "})
    smallest = len(SPECIAL) + 2 * len(alphabet)
    if vocabulary_size < smallest:
        raise InputError(
            f"vocabulary_size: expected at least {smallest}, for {len(alphabet)} characters;"
            f" got {vocabulary_size}"
        )
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[*SPECIAL, *(f"##{character}" for character in alphabet)],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # The trainer made all that it was given special; in a second tokenizer only the five are.
    learned = Tokenizer(models.WordPiece(tokenizer.get_vocab(), unk_token="[UNK]"))
    learned.normalizer, learned.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    learned.add_special_tokens(list(SPECIAL))
    learned.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return learned.to_str()


def encode(
    tokenizer: str, texts: Sequence[str], max_length: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Encode each text as ``[CLS] text [SEP] [PAD]...``.

    Returns the ids and the mask, 0 on padding, both int32 (n, max_length), and how many texts were
    cut to fit.

    >>> ids, mask, cut = encode(learn(["a b", "b"], 20), ["a b", "b"], max_length=5)
    >>> mask.sum(axis=1), cut
    (array([4, 3]), 0)
    """
    from tokenizers import Tokenizer

    loaded = Tokenizer.from_str(tokenizer)
    loaded.enable_truncation(max_length)
    loaded.enable_padding(length=max_length, pad_id=loaded.token_to_id("[PAD]"), pad_token="[PAD]")
    encodings = loaded.encode_batch(list(texts))
    ids = np.array([encoding.ids for encoding in encodings], dtype=np.int32)
    mask = np.array([encoding.attention_mask for encoding in encodings], dtype=np.int32)
    return ids, mask, sum(bool(encoding.overflowing) for encoding in encodings)


def decode(tokenizer: str, ids_nt: np.ndarray) -> list[str]:
    """Return the words of each row as a reader sees them, without padding, beginning and end.

    >>> tokenizer = learn(["tea time", "tea"], 40)
    >>> decode(tokenizer, encode(tokenizer, ["tea time"], max_length=12)[0])
    ['tea time']
    """
    tokens = {number: name for name, number in json.loads(tokenizer)["model"]["vocab"].items()}
    hidden = {"[PAD]", "[CLS]", "[SEP]"}
    rows = ([tokens[number] for number in row] for row in ids_nt.tolist())
    shown = (" ".join(token for token in row if token not in hidden) for row in rows)
    return [text.replace(" ##", "") for text in shown]


def size(tokenizer: str) -> int:
    """Return the number of token ids, which is the number of rows of an embedding.

    >>> size(learn(["a b"], 20))
    9
    """
    return len(json.loads(tokenizer)["model"]["vocab"])
