"""Samples are the same whether they come as tensors, as a Dataset or as a DataLoader."""

import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    SubsetRandomSampler,
    TensorDataset,
)

from catwise.core.errors import InputError
from catwise.core.losses import per_sample_margin, per_sample_probability
from catwise.diagnosis import diagnose
from catwise.influence.factors import fit_factors
from catwise.influence.reading import as_samples
from catwise.influence.samples import input_marks
from catwise.influence.vectors import influence_vectors
from tests.helpers import small

FLOATS = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


class Items(Dataset):
    """Hold any items."""

    def __init__(self, items):
        self.items = list(items)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, number):
        return self.items[number]


class ByName(nn.Module):
    """Classify tokens with their mask, as models of transformers do: by names, with an output."""

    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(30, 6), nn.Linear(6, 3)

    def forward(self, input_ids, attention_mask=None):
        mask = attention_mask[..., None].to(self.words.weight)
        hidden = (self.words(input_ids) * mask).sum(1) / mask.sum(1)
        return Output(self.head(hidden.tanh()))


class Output:
    def __init__(self, logits):
        self.logits = logits


class ByPosition(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids, mask):
        return self.model(ids, mask).logits


def padded(items):
    """Collate texts of different lengths, as the collators of transformers do."""
    length = max(len(item["input_ids"]) for item in items)
    ids = torch.zeros(len(items), length, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, item in enumerate(items):
        ids[row, : len(item["input_ids"])] = torch.tensor(item["input_ids"])
        mask[row, : len(item["input_ids"])] = 1
    labels = torch.tensor([item["label"] for item in items])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "text": ["..."] * len(ids)}


def p_nk(model, train, query):
    fitted = fit_factors(
        model, train, kind="ekfac", damping=0.1, seed=0, batch_size=7, embeddings=True
    )
    groups = as_samples(query, model).labels
    return influence_vectors(model, fitted, train, query, groups, 3, batch_size=5)


@pytest.fixture(scope="module")
def images():
    return small.conv_net(), small.images(24), small.images(12, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dataset", "list", "loader", "shuffled", "lists"])
def test_a_dataset_gives_the_vectors_of_its_tensors(images, kind):
    model, *parts = images
    make = {
        "dataset": lambda part: Items(zip(*part, strict=True)),
        "list": lambda part: list(zip(*part, strict=True)),
        "loader": lambda part: DataLoader(TensorDataset(*part), batch_size=3),
        "shuffled": lambda part: DataLoader(TensorDataset(*part), batch_size=3, shuffle=True),
        "lists": lambda part: Items([(x, int(y)) for x, y in zip(*part, strict=True)]),
    }[kind]
    torch.testing.assert_close(
        p_nk(model, *map(make, parts)), p_nk(model, *parts), rtol=1e-12, atol=1e-14
    )


@pytest.fixture
def texts():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ByName().double()
    lengths = [3, 5, 8, 4, 6, 7] * 4
    return model, small.texts(lengths, 8), small.texts(lengths[:12], 8, seed=2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:inputs that the model's forward does not name")
@pytest.mark.parametrize("kind", ["collated", "dictionary", "parts", "hugging face"])
def test_dictionaries_and_outputs_are_understood(texts, kind):
    model, *parts = texts

    def make(part):
        ids, mask, labels = part
        inputs = {"input_ids": ids, "attention_mask": mask}
        if kind == "dictionary":
            return inputs | {"labels": labels, "idx": torch.arange(len(ids))}
        if kind == "parts":
            named = [{name: value[n] for name, value in inputs.items()} for n in range(len(ids))]
            return Items(zip(named, labels, strict=True))
        if kind == "hugging face":
            datasets = pytest.importorskip("datasets")
            columns = {name: value.tolist() for name, value in inputs.items()}
            columns |= {"label": labels.tolist(), "text": ["..."] * len(ids)}
            return datasets.Dataset.from_dict(columns)
        items = [
            {"input_ids": row[real.bool()].tolist(), "label": int(label)}
            for row, real, label in zip(*part, strict=True)
        ]
        return DataLoader(items, batch_size=4, collate_fn=padded)

    from catwise.core.losses import per_sample_loss

    expected = p_nk(ByPosition(model), *parts)
    found = p_nk(model, *map(make, parts))
    # padding to the batch's longest text changes the bases of the embedding's outputs alone if the
    # mask were not understood; products are equal up to rounding
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert per_sample_loss(model, as_samples(make(parts[0]), model).rows(slice(0, 3))).shape == (3,)


@pytest.mark.slow
def test_nothing_is_kept_of_a_dataset_but_its_labels():
    """Read 100,000 samples of 1 kB; what is held at once is a batch of them and the labels."""

    class Large(Dataset):
        def __len__(self):
            return 100_000

        def __getitem__(self, number):
            if number >= len(self):
                raise IndexError
            return np.full(256, number, np.float32), number % 3

    tracemalloc.start()
    samples = as_samples(Large(), nn.Linear(256, 3))
    peak = tracemalloc.get_traced_memory()[1]  # of numpy's arrays
    tracemalloc.stop()
    assert len(samples) == 100_000
    assert peak < 10e6 < 100_000 * 1024


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x, y: Items([]), "train: expected samples; got none"),
        (lambda x, y: (x[:0], y[:0]), "train: expected samples; got none"),
        (lambda x, y: (x, y[:5]), "train: expected inputs and as many labels; got parts of"),
        (lambda x, y: Items([(a,) for a in x]), r"train: expected items of inputs and a label"),
        (lambda x, y: (x, y[:, None]), r"train: expected labels as whole .*int64 of \(24, 1\)$"),
        (lambda x, y: (x, y / 2), r"train: expected labels as whole .*float32 of \(24,\)$"),
        (
            lambda x, y: Items(zip(x, y[:, None], strict=True)),
            r"train: expected labels as whole .*int64 of \(24, 1\)$",
        ),
        (
            lambda x, y: Items(zip(x, y / 2, strict=True)),
            r"train: expected labels as whole .*float32 of \(24,\)$",
        ),
        (
            lambda x, y: Items([{"x": a} for a in x]),
            "expected items with labels or label; got x",
        ),
        (
            lambda x, y: DataLoader(TensorDataset(x, y), sampler=SubsetRandomSampler(range(4))),
            "train: expected a DataLoader over its whole Dataset; got a sampler of 4 of 24 samples;"
            " give torch.utils.data.Subset",
        ),
        (
            lambda x, y: type("Stream", (IterableDataset,), {"__iter__": iter})(),
            "train: expected tensors, or a Dataset with numbered items; got Stream",
        ),
    ],
)
def test_what_cannot_be_read_is_one_line(images, make, words):
    model, train, _ = images
    with pytest.raises(InputError, match=words) as caught:
        as_samples(make(*train), model, "train")
    assert "\n" not in str(caught.value)


def test_arrays_of_numpy_are_read_as_tensors(images):
    model, (x, y), _ = images
    array = x.numpy()[::-1]  # neither contiguous nor writable
    array.setflags(write=False)
    for data in ((array, y.numpy()), [array, y], {"input": array, "label": y.numpy()}):
        inputs, labels = as_samples(data, model).rows(slice(2, 5))
        inputs = inputs["input"] if isinstance(inputs, dict) else inputs
        assert torch.equal(inputs, x.flip(0)[2:5])
        assert torch.equal(labels, y[2:5])
    with pytest.raises(InputError, match="train: expected arrays of numbers; got one of <U1"):
        as_samples((array, np.array(["a"] * 24)), model, "train")


def test_labels_may_be_a_list_or_a_series(images):
    model, (x, y), _ = images
    series = pytest.importorskip("pandas").Series(y.numpy(), index=range(24, 0, -1))
    for labels in (y.tolist(), list(y), series):
        for data in ((x, labels), [x, labels], {"input": x, "label": labels}):
            samples = as_samples(data, model, "train")
            assert torch.equal(samples.labels, y)
            assert len(samples.rows(slice(0, 5))[-1]) == 5
    for labels in (["a"] * 24, [[0], [1, 2]]):
        with pytest.raises(InputError, match="train: expected arrays of numbers; got one of"):
            as_samples((x, labels), model, "train")


def test_inputs_take_the_dtype_of_the_model_and_leave_their_graph(images):
    for dtype in (torch.float32, torch.float64):
        model = small.conv_net().to(dtype)
        for x, y in ((part[0].to(other), part[1]) for part in images[1:] for other in FLOATS):
            for data in ((x.requires_grad_(), y), Items(zip(x, y, strict=True))):
                found, _ = as_samples(data, model).rows(slice(0, 5))
                assert found.dtype == dtype
                assert not found.requires_grad
    whole, _ = as_samples((torch.arange(6), torch.arange(6)), model).rows(slice(0, 5))
    assert whole.dtype == torch.int64


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32])
@pytest.mark.parametrize("make", [tuple, lambda parts: Items(zip(*parts, strict=True))])
def test_whole_labels_of_any_width_are_read_as_int64(images, make, kind):
    model, (x, y), _ = images
    samples = as_samples(make((x, y.to(kind))), model)
    assert torch.equal(samples.labels, y)
    assert samples.labels.dtype == torch.int64
    for loss in (per_sample_probability, per_sample_margin):  # which index by the labels
        assert torch.equal(loss(model, samples.rows(slice(0, 5))), loss(model, (x[:5], y[:5])))


def test_a_model_without_parameters_is_one_line(images):
    with pytest.raises(InputError, match="model: expected parameters; got none"):
        diagnose(nn.Flatten(), *images[1:], "abc")


def test_randomness_is_noticed_and_refused(images):
    model, (x, y), query = images

    class Augmented(Items):
        def __getitem__(self, number):
            return x[number] + torch.rand(()), y[number]

    with pytest.raises(InputError, match="the same samples when they are read again; got others"):
        diagnose(model, Augmented(y), query, "abc")


def test_randomness_of_the_last_samples_alone_is_noticed(images):
    model, (x, y), query = images

    class Noisy(Items):
        def __getitem__(self, number):
            return x[number % 24] + (number >= 580) * torch.rand(()), y[number % 24]

    with pytest.raises(InputError, match="the same samples when they are read again; got others"):
        diagnose(model, Noisy(y.repeat(25)), query, "abc")


def test_all_inputs_of_a_dictionary_beside_labels_are_given_to_the_model():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x, **others):
            return self.linear(x * others["mask"])

    torch.manual_seed(0)
    model, x, mask = Masked(), torch.randn(24, 4), (torch.rand(24, 4) > 0.5).float()
    y, query = torch.arange(24) % 3, ({"x": torch.randn(12, 4), "mask": torch.ones(12, 4)},)
    query = (*query, torch.arange(12) % 3)
    named = [({"x": x[row], "mask": mask[row]}, y[row]) for row in range(24)]
    columns = {"x": x, "mask": mask, "labels": y}
    given = (({"x": x, "mask": mask}, y), named, DataLoader(named, batch_size=5), columns)
    p_nk, *others = (diagnose(model, train, query, "abc").p_nk.tolist() for train in given)
    assert others == [p_nk] * 3
    masked = ({"x": x * mask, "mask": torch.ones(24, 4)}, y)
    np.testing.assert_allclose(diagnose(model, masked, query, "abc").p_nk, p_nk, atol=1e-5)


def test_a_column_that_the_model_does_not_name_is_left_out_with_a_warning(recwarn):
    class Renamed(nn.Linear):
        def forward(self, x, mask=None):
            return super().forward(x if mask is None else x * mask)

    x, y = torch.randn(6, 4), torch.arange(6)
    columns = {"x": x, "labels": y}
    assert list(as_samples(columns, Renamed(4, 3)).rows(slice(None))[0]) == ["x"]
    assert not recwarn
    with pytest.warns(UserWarning, match="inputs that the model's forward does not name: hidden$"):
        as_samples({**columns, "hidden": x}, Renamed(4, 3))


def test_samples_stay_as_they_are_where_the_model_works_in_place():
    class InPlace(nn.Linear):
        def forward(self, x):
            return super().forward(x.sub_(3.0).mul_(2.0))

    x, y = torch.randn(24, 4), torch.arange(24) % 3
    x_query, x_before = torch.randn(12, 4), x.clone()
    query = (x_query, torch.arange(12) % 3)
    model, plain = InPlace(4, 3), nn.Linear(4, 3)
    plain.load_state_dict(model.state_dict())
    query_before = (2 * (x_query - 3), query[1])
    expected = diagnose(plain, (2 * (x - 3), y), query_before, "abc").p_nk
    np.testing.assert_allclose(diagnose(model, (x, y), query, "abc").p_nk, expected, atol=1e-6)
    assert (x == x_before).all()


@pytest.mark.parametrize("kind", ["IterableDataset", "DatasetDict"])
def test_a_streamed_or_divided_data_set_of_hugging_face_is_refused(kind):
    datasets = pytest.importorskip("datasets")
    whole = datasets.Dataset.from_dict({"x": [[1.0]], "label": [0]})
    given = {
        "IterableDataset": whole.to_iterable_dataset(),
        "DatasetDict": datasets.DatasetDict(train=whole),
    }
    with pytest.raises(InputError, match=f"a Dataset with numbered items; got {kind}; make a list"):
        as_samples(given[kind], nn.Linear(1, 2))


def test_inputs_and_logits_of_minus_infinity_are_masks(images):
    class Additive(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x, mask):
            masked = self.linear(x * mask.exp())
            return torch.cat([masked, masked.new_full((len(x), 1), -torch.inf)], dim=1)

    torch.manual_seed(0)
    mask = torch.where(torch.rand(24, 4) > 0.5, 0.0, -torch.inf)
    train = (torch.randn(24, 4), mask, torch.arange(24) % 3)
    query = (torch.randn(12, 4), mask[:12], torch.arange(12) % 3)
    assert np.isfinite(diagnose(Additive(), train, query, "abc").p_nk).all()


def test_items_that_are_no_tensors_are_one_line(images):
    model, (_, y), query = images
    numpy_labels = DataLoader(
        [(torch.zeros(1, 8, 8), 0)] * 24,
        collate_fn=lambda items: (torch.stack([x for x, _ in items]), np.zeros(len(items))),
    )
    with pytest.raises(InputError, match=r"^train: expected items of inputs .*; got Tensor, ndarr"):
        diagnose(model, numpy_labels, query, "abc")
    with pytest.raises(InputError, match=r"^train: expected items of inputs and a label, numbers"):
        diagnose(model, Items([("word", label) for label in y]), query, "abc")
    for item in (object(), [1, object()]):
        items = Items([(item, label) for label in y])
        with pytest.raises(InputError, match=r"^train: expected items of tensors and a label"):
            diagnose(model, items, query, "abc")


def test_labels_that_change_later_are_noticed(images):
    model, (x, y), _ = images
    labels = y.clone()

    class Changing(Items):
        def __getitem__(self, number):
            return x[number], labels[number]

    samples = as_samples(Changing(y), model, "train")
    labels[7] = (labels[7] + 1) % 3
    with pytest.raises(InputError, match="train: expected the label that sample 7 had before"):
        samples.rows(torch.tensor([3, 7]))


def test_a_sample_that_is_not_finite_is_named(images):
    model, (x, y), query = images
    x = x.clone()
    x[11, 0, 2, 2] = torch.nan
    with pytest.raises(InputError, match=r"^train: expected finite inputs; got nan for sample 11$"):
        diagnose(model, Items(zip(x, y, strict=True)), query, "abc")


def test_half_precision_is_diagnosed_in_float32(images):
    model, train, query = (
        small.conv_net().half(),
        *((x.half(), y) for x, y in (small.images(24), small.images(12, seed=1))),
    )
    found = diagnose(model, train, query, "abc")
    whole = diagnose(
        small.conv_net().half().float(), *((x.float(), y) for x, y in (train, query)), "abc"
    )
    np.testing.assert_array_equal(found.p_nk, whole.p_nk)
    assert next(model.parameters()).dtype == torch.float16


@pytest.mark.parametrize(("one", "other"), [("int32", "int64"), ("float32", "float64")])
def test_samples_with_the_same_inputs_are_found_in_another_number_format(one, other):
    x, y = torch.arange(6).reshape(3, 2), torch.zeros(3)
    first, second = ((x.to(getattr(torch, name)), y) for name in (one, other))
    np.testing.assert_array_equal(input_marks(first), input_marks(second))
    by_name = ({"input": second[0]}, y)
    np.testing.assert_array_equal(input_marks(by_name), input_marks(second))
    assert len(set(input_marks(second))) == 3


@pytest.mark.parametrize("filler", [0, 1])
def test_texts_are_the_same_however_far_they_are_padded(filler):
    def padded(*texts, to):
        rows = [[*text, *[filler] * (to - len(text))] for text in texts]
        mask = [[1] * len(text) + [0] * (to - len(text)) for text in texts]
        return {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(mask)}, None

    short, long = padded([5, 6], [7, 0], [7], to=2), padded([5, 6], [7, 0], [7], [6, 5], to=4)
    np.testing.assert_array_equal(input_marks(short), input_marks(long)[:3])
    assert len(set(input_marks(long))) == 4
    added = long[0] | {"attention_mask": (long[0]["attention_mask"] - 1.0) * 1e9}
    assert len(set(input_marks((added, None)))) == 4  # a mask that is added hides where it is not 0
