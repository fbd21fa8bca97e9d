import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForPreTraining, BertForSequenceClassification, logging

from catwise.core.errors import InputError
from catwise.influence.factors import fit_factors
from catwise.influence.layers import coverage
from catwise.influence.vectors import influence_vectors
from catwise.training import bert

LENGTHS = [4, 7, 3, 7, 5, 6, 2, 5, 4, 3, 6, 2]
SIZES = {
    "vocab_size": 30,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 12,
}
MISSING = "model.safetensors of a BERT; got: Error no file named model.safetensors"


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def reader():
    return bert.small(30, 16, 3, width=64, layers=2).double().eval()


def texts(padded_to, lengths=LENGTHS, dtype=torch.int64):
    """Random ids, the same for every padding."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.zeros(len(lengths), padded_to, dtype=dtype)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(1, 30, (length,), generator=generator, dtype=dtype)
        mask[row, :length] = 1
    return ids, mask, torch.arange(len(lengths)) % 3


def assert_close(actual, expected):
    """Compare up to the rounding of float64 in sums of another length."""
    atol = 1e-11 * float(expected.detach().abs().max())
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=atol)


def test_logits_are_those_of_the_whole_length(reader):
    ids, mask, _ = texts(16)
    assert_close(reader(ids, mask), reader.classifier(input_ids=ids, attention_mask=mask).logits)


def test_logits_of_a_text_do_not_depend_on_its_batch(reader):
    ids, mask, _ = texts(16)
    alone = torch.cat([reader(ids[[row]], mask[[row]]) for row in range(len(ids))])
    assert_close(alone, reader(ids, mask))


def test_no_padding_is_computed(reader):
    seen = []
    reader.classifier.bert.encoder.register_forward_hook(
        lambda _, inputs, __: seen.append(inputs[0].shape[1])
    )
    for padded_to in (7, 16):
        reader(*texts(padded_to)[:-1])
    assert seen == [max(LENGTHS)] * 2


def test_ids_of_32_bits_are_ids(reader):
    assert torch.equal(reader(*texts(9, dtype=torch.int32)[:-1]), reader(*texts(9)[:-1]))


def vectors(model, batch, mask):
    options = {"kind": "ekfac", "draw": "balanced", "damping": 0.1, "seed": 3, "batch_size": 5}
    fitted = fit_factors(model, batch, mask=mask, **options)
    return influence_vectors(model, fitted, batch, batch, batch[-1], 3, batch_size=5)


@pytest.mark.slow
def test_padding_does_not_move_influence(reader):
    """Batches of five texts, each cut to a length of its own."""
    short, long = (vectors(reader, texts(padded_to), bert.real_positions) for padded_to in (7, 16))
    assert_close(long, short)
    assert not torch.allclose(
        vectors(reader, texts(16), None), short, rtol=1e-3
    )  # a mask is needed


@pytest.mark.slow
def test_influence_is_that_of_a_model_that_does_not_cut(reader, monkeypatch):
    cut = vectors(reader, texts(16), bert.real_positions)
    monkeypatch.setattr(bert, "_cut", lambda mask: mask)
    assert_close(vectors(reader, texts(16), bert.real_positions), cut)


@pytest.mark.parametrize("width", [32, 96])
def test_a_small_bert_has_the_size_asked_for(width):
    model = bert.small(50, 12, 4, width=width, layers=3)
    assert model(*texts(12)[:-1]).shape == (12, 4)
    per_layer = (
        12 * width**2 + 13 * width
    )  # four square matrices, two of four times the width, biases, two norms
    outside = (
        50 + 12 + 1 + 2
    ) * width  # embeddings of tokens, positions and the one segment, and their norm
    assert (
        sum(p.numel() for p in model.parameters())
        == outside + 3 * per_layer + width**2 + width + 4 * width + 4
    )
    assert model.classifier.config.num_attention_heads == width // 32
    norms = 3 * 4 * width
    assert coverage(model) == pytest.approx(
        1 - (outside + norms) / sum(p.numel() for p in model.parameters())
    )


def test_the_generator_decides_weights_and_dropout():
    batch = texts(12)[:-1]
    outputs = []
    for _ in range(2):
        torch.manual_seed(5)
        model = bert.small(50, 12, 4, width=32, layers=1).train()
        outputs.append([model(*batch), model(*batch)])
    assert torch.equal(outputs[0][0], outputs[1][0])
    assert torch.equal(outputs[0][1], outputs[1][1])
    assert not torch.equal(outputs[0][0], outputs[0][1])


@pytest.fixture
def folder(tmp_path):
    """Lay files out as BERT's own repository does: with other heads, and the norms' old names."""
    logging.disable_progress_bar()
    BertForPreTraining(BertConfig(**SIZES, max_position_embeddings=16)).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in load_file(path).items()
    }
    save_file(old, path, metadata={"format": "pt"})
    return tmp_path


def test_the_weights_of_a_folder_are_taken_and_the_last_layer_is_new(folder):
    stored = load_file(folder / "model.safetensors")
    models = [bert.pretrained(str(folder), 5), bert.pretrained(str(folder), 5)]
    weights = [dict(model.classifier.named_parameters()) for model in models]
    for name, tensor in weights[0].items():
        if not name.startswith("classifier."):
            key = name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            )
            assert torch.equal(tensor, stored[key]), name
    assert not torch.equal(weights[0]["classifier.weight"], weights[1]["classifier.weight"])
    assert models[0](*texts(16)[:-1]).shape == (12, 5)


def test_a_pretrained_model_has_influence(folder):
    model = bert.pretrained(str(folder), 3).double()
    assert vectors(model, texts(16), bert.real_positions).abs().min() > 0


def test_half_precision_weights_become_single(folder):
    path = folder / "model.safetensors"
    save_file(
        {name: tensor.half() for name, tensor in load_file(path).items()},
        path,
        metadata={"format": "pt"},
    )
    assert {p.dtype for p in bert.pretrained(str(folder), 3).parameters()} == {torch.float32}


def test_a_classifier_of_other_classes_gives_all_but_its_last_layer(folder):
    other = BertForSequenceClassification(
        BertConfig(**SIZES, max_position_embeddings=16, num_labels=2)
    )
    other.save_pretrained(folder)
    model = bert.pretrained(str(folder), 4)
    assert torch.equal(model.classifier.bert.pooler.dense.weight, other.bert.pooler.dense.weight)
    assert model.classifier.classifier.out_features == 4


def test_pickled_weights_are_not_read(folder):
    path = folder / "model.safetensors"
    torch.save(load_file(path), folder / "pytorch_model.bin")
    path.unlink()
    with pytest.raises(InputError, match=MISSING):
        bert.pretrained(str(folder), 3)


def test_a_cut_file_is_one_line(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(
        InputError, match="got: Error while deserializing header: incomplete metadata"
    ):
        bert.pretrained(str(folder), 3)


def test_a_missing_weight_is_never_drawn_at_random(folder):
    path = folder / "model.safetensors"
    save_file(
        {k: v for k, v in load_file(path).items() if "query" not in k},
        path,
        metadata={"format": "pt"},
    )
    with pytest.raises(
        InputError,
        match=r"all weights of its config\.json; got 4 that are .* first bert\.encoder\.layer\.0",
    ):
        bert.pretrained(str(folder), 3)


def test_weights_of_another_width_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 16}))
    with pytest.raises(InputError, match=r"got 6 that are .* first bert\..*\.intermediate"):
        bert.pretrained(str(folder), 3)
