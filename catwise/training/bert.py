"""BERT as a classifier of texts: a small one from scratch, or with the weights of a folder."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from catwise.core.errors import InputError
from catwise.core.losses import Batch

if TYPE_CHECKING:
    from transformers import BertForSequenceClassification

__all__ = ["Bert", "pretrained", "real_positions", "small"]

ATTENTION = (
    "eager"  # plain products and a softmax, which can be differentiated as often as curvature asks
)


class Bert(nn.Module):
    """Token ids and their mask, 1 on tokens and 0 on the padding at the right -> (n, k) logits.

    A batch is cut to its longest text: the same logits for less work.
    """

    def __init__(self, classifier: "BertForSequenceClassification"):
        super().__init__()
        self.classifier = classifier

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        mask = _cut(mask)
        ids = ids[:, : mask.shape[1]]
        # an input of each sample for every embedding, so that each has a gradient of its own
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        return self.classifier(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            token_type_ids=torch.zeros_like(positions),
        ).logits


def _cut(mask: Tensor) -> Tensor:
    """The mask (n, length) without the columns that are padding in all rows."""
    return mask[:, : int(mask.sum(1).max())]


def real_positions(batch: Batch) -> Tensor:
    """The mask of (ids, mask, y) as the layers inside see it, (n, t): what ``fit_factors`` asks for."""
    return _cut(batch[1])


def small(vocabulary_size: int, max_length: int, num_classes: int, width: int, layers: int) -> Bert:
    """A BERT of ``width``, a multiple of 32 (a head for each), as torch's global generator initialises it.

    Differs from BERT-base beside the size: weights start at a deviation of 0.1 in place of 0.02, which at this width
    is closer to 1 / sqrt(width) and, on Emotion with one seed, 3 points more accurate.
    """
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 32,
        intermediate_size=4 * width,
        max_position_embeddings=max_length,
        type_vocab_size=1,  # one text a sample, not a pair
        initializer_range=0.1,
        num_labels=num_classes,
        attn_implementation=ATTENTION,
    )
    return Bert(BertForSequenceClassification(config))


def pretrained(folder: str, num_classes: int) -> Bert:
    """The BERT of a folder with ``config.json`` and ``model.safetensors``, in float32; pickled weights are not read.

    Only the last layer is new, as torch's global generator initialises it: InputError where another weight is missing.
    """
    from safetensors import SafetensorError
    from transformers import BertForSequenceClassification, logging

    logging.set_verbosity_error()  # else a table of the new layer's name, and of the unused language model's
    logging.disable_progress_bar()
    try:
        classifier, told = BertForSequenceClassification.from_pretrained(
            folder,
            num_labels=num_classes,
            attn_implementation=ATTENTION,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # told below, by name
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"{folder}: expected config.json and model.safetensors of a BERT; got: {said}"
        ) from None
    lacking = {*told["missing_keys"], *(name for name, *_ in told["mismatched_keys"])}
    if others := sorted(name for name in lacking if not name.startswith("classifier.")):
        raise InputError(
            f"{folder}: expected all weights of its config.json; {len(others)} differ, first {others[0]}"
        )
    return Bert(classifier)
