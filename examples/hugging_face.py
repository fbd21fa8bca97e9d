"""Diagnose a model of transformers on a tokenised Dataset, both made here without a download.

python -m examples.hugging_face report.html
"""

import random
import sys

import torch
import transformers
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.utils.data import DataLoader

from catwise import diagnose

CLASSES = {"complaint": ["broken", "late", "refund"], "praise": ["great", "fast", "thanks"]}
OTHERS = ["the", "parcel", "was", "my", "order", "and", "i", "am", "today"]
WORDS = ["[PAD]", *OTHERS, *CLASSES["complaint"], *CLASSES["praise"]]
CORE = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}))
CORE.pre_tokenizer = pre_tokenizers.Whitespace()
TOKENIZER = transformers.PreTrainedTokenizerFast(tokenizer_object=CORE, pad_token="[PAD]")


def mails(n: int, wrong: int) -> Dataset:
    """Return n texts, the first ``wrong`` with the other label, and who sent each."""
    true = random.choices([0, 1], k=n)
    signs = [random.choice(list(CLASSES.values())[label]) for label in true]
    texts = [" ".join([*random.choices(OTHERS, k=random.randint(2, 9)), sign]) for sign in signs]
    given = [1 - label if row < wrong else label for row, label in enumerate(true)]
    return Dataset.from_dict({"text": texts, "label": given, "sender": random.choices("ab", k=n)})


def loader(part: Dataset, shuffle: bool = False) -> DataLoader:
    """Return the tokenised texts in batches, padded to the longest of each."""
    tokens = part.map(lambda rows: TOKENIZER(rows["text"]), remove_columns=["text", "sender"])
    return DataLoader(
        tokens, 30, shuffle, collate_fn=transformers.DataCollatorWithPadding(TOKENIZER)
    )


def main(page: str) -> None:
    transformers.set_seed(0)
    train, query = mails(300, wrong=30), mails(200, wrong=0)
    sizes = {"hidden_size": 36, "intermediate_size": 64, "num_hidden_layers": 2}
    config = transformers.BertConfig(vocab_size=len(WORDS), **sizes)
    model = transformers.BertForSequenceClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.002)
    for batch in [*loader(train, shuffle=True)] * 8:
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    diagnosis = diagnose(model, loader(train), loader(query), list(CLASSES), embeddings=True)
    print(diagnosis, diagnosis.ask(loader(query), query["sender"]).verdict, sep="\nby sender: ")
    diagnosis.report(page, texts=train["text"], title="BERT on your texts")


if __name__ == "__main__":
    main(sys.argv[1])
