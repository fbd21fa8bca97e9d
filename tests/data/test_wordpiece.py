import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from catwise.core.errors import InputError
from catwise.data import wordpiece

WORDS = np.array(["tri", "umph", "café", "Over", "under", "go", "ing", "lex", "icon", "x9"])
TEXTS = [
    " ".join("".join(pair) for pair in row)
    for row in np.random.default_rng(0).choice(WORDS, (400, 6, 2))
]
LEARN = """
import json, sys
from catwise.data import wordpiece
print(wordpiece.learn(json.load(sys.stdin), 150))
"""


def vocabulary(tokenizer):
    return json.loads(tokenizer)["model"]["vocab"]


def test_a_vocabulary_learned_in_another_process_is_the_same():
    """The library seeds its hash tables anew in each process, and numbers by them."""
    learned = [
        subprocess.run(
            [sys.executable, "-c", LEARN],
            input=json.dumps(TEXTS),
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        ).stdout.strip()
        for _ in range(2)
    ]
    assert [wordpiece.learn(TEXTS, 150)] * 2 == learned


def test_ids_are_dense_and_the_special_tokens_come_first():
    tokenizer = wordpiece.learn(TEXTS, 150)
    words = vocabulary(tokenizer)
    assert sorted(words.values()) == list(range(wordpiece.size(tokenizer)))
    assert wordpiece.size(tokenizer) <= 150
    assert [words[token] for token in wordpiece.SPECIAL] == [0, 1, 2, 3, 4]


def test_tokens_join_to_the_words_they_came_from():
    tokenizer = wordpiece.learn(TEXTS, 100)
    ids, mask, cut = wordpiece.encode(tokenizer, TEXTS, 120)
    names = {number: token for token, number in vocabulary(tokenizer).items()}
    assert cut == 0
    for text, row, shown in zip(TEXTS, ids, mask, strict=True):
        tokens = [names[token] for token in row[shown == 1]]
        assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")
        assert " ".join(tokens[1:-1]).replace(" ##", "") == text
        assert (row[shown == 0] == 0).all()


def test_a_long_text_is_cut_and_counted_and_an_unknown_character_is_unknown():
    tokenizer = wordpiece.learn(TEXTS, 150)
    ids, mask, cut = wordpiece.encode(tokenizer, ["go " * 50, "ψ"], 8)
    assert (ids.shape, ids.dtype, mask.dtype, cut) == ((2, 8), np.int32, np.int32, 1)
    assert (ids[0, 0], ids[0, -1], mask[0].sum()) == (2, 3, 8)
    assert ids[1].tolist() == [2, 1, 3, 0, 0, 0, 0, 0]


def test_a_vocabulary_smaller_than_the_alphabet_is_refused():
    with pytest.raises(
        InputError, match="vocabulary_size: expected at least 11, for 3 characters; got 10"
    ):
        wordpiece.learn(["abc cab"], 10)


def test_decoding_gives_the_words_back_without_padding():
    tokenizer = wordpiece.learn(TEXTS, 150)
    ids, _, _ = wordpiece.encode(tokenizer, TEXTS[:5], 64)
    assert wordpiece.decode(tokenizer, ids) == TEXTS[:5]
