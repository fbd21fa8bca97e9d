"""Texts as token ids: a WordPiece vocabulary, learned or read, and the fixed-length arrays that a model takes."""

import json
from collections.abc import Sequence

import numpy as np

from catwise.core.errors import InputError

__all__ = ["SPECIAL", "decode", "encode", "learn", "size"]

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def learn(texts: Sequence[str], vocabulary_size: int) -> str:
    """A cased WordPiece tokenizer with at most ``vocabulary_size`` tokens of ``texts``, as JSON; the same every time.

    The library numbers the pieces that continue a word in the order of a hash table with a new seed in each process,
    and breaks ties of frequency by number: two runs then differ in about one token in a hundred. So those pieces are
    named beforehand, in the order of their characters.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

    normalizer = normalizers.BertNormalizer(lowercase=False)
    alphabet = sorted(set("".join(normalizer.normalize_str(text) for text in texts)) - {" "})
    smallest = len(SPECIAL) + 2 * len(alphabet)
    if vocabulary_size < smallest:
        raise InputError(
            f"prepare.vocabulary_size: expected at least {smallest}, for {len(alphabet)} characters;"
            f" got {vocabulary_size}"
        )
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    named = [*SPECIAL, *(f"##{character}" for character in alphabet)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        special_tokens=named,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # Anew, so that only the five are special: the trainer made the named pieces special too.
    learned = Tokenizer(models.WordPiece(tokenizer.get_vocab(), unk_token="[UNK]"))
    learned.normalizer, learned.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    learned.add_special_tokens(list(SPECIAL))
    learned.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return learned.to_str()


def encode(
    tokenizer: str, texts: Sequence[str], max_length: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """(ids, mask, how many texts were cut): [CLS] text [SEP] [PAD]... as int32 (n, max_length), mask 0 on padding."""
    from tokenizers import Tokenizer

    loaded = Tokenizer.from_str(tokenizer)
    loaded.enable_truncation(max_length)
    loaded.enable_padding(length=max_length, pad_id=loaded.token_to_id("[PAD]"), pad_token="[PAD]")
    coded = loaded.encode_batch(list(texts))
    ids = np.array([one.ids for one in coded], dtype=np.int32)
    mask = np.array([one.attention_mask for one in coded], dtype=np.int32)
    return ids, mask, sum(bool(one.overflowing) for one in coded)


def decode(tokenizer: str, ids_nt: np.ndarray) -> list[str]:
    """The words of each row as a reader sees them, without padding and the marks of beginning and end."""
    names = {number: name for name, number in json.loads(tokenizer)["model"]["vocab"].items()}
    hidden = {"[PAD]", "[CLS]", "[SEP]"}
    rows = ([names[number] for number in row] for row in ids_nt.tolist())
    return [" ".join(name for name in row if name not in hidden).replace(" ##", "") for row in rows]


def size(tokenizer: str) -> int:
    """The number of ids: the rows of an embedding."""
    return len(json.loads(tokenizer)["model"]["vocab"])
