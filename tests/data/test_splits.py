import hashlib
from dataclasses import replace

import numpy as np
import pytest

from catwise.core.errors import InputError
from catwise.data import synthetic
from catwise.data.dataset import HELD_OUT, SPLITS, pack, unpack
from catwise.data.digits import digits
from catwise.data.encoding import encode_texts, measure_channels
from catwise.data.raw import Raw
from catwise.data.splits import split_in_four
from catwise.data.spoil import Spoiling, flip_labels

SYNTHETIC = {"train": 300, "validation_a": 40, "validation_b": 50, "test": 60}
DIGITS = {"validation_a": 300, "validation_b": 300, "test": 297}


@pytest.fixture(params=["linear", "nonlinear", "digits"])
def make(request):
    if request.param == "digits":
        return lambda seed: digits(np.random.default_rng(seed), DIGITS, Spoiling(flip_share=0.1))
    return lambda seed: getattr(synthetic, request.param)(
        np.random.default_rng(seed), SYNTHETIC, [50, 20]
    )


def rows(x):
    return {hashlib.sha256(sample.tobytes()).hexdigest() for sample in x}


def test_no_sample_is_in_two_splits(make):
    data = make(0)
    hashes = [rows(data.x[split]) for split in SPLITS]
    assert sum(map(len, hashes)) == len(set().union(*hashes))


def test_the_seed_alone_decides(make):
    one, same, other = make(0), make(0), make(1)
    for split in SPLITS:
        np.testing.assert_array_equal(one.x[split], same.x[split])
        np.testing.assert_array_equal(one.y[split], same.y[split])
    assert not np.array_equal(one.x["train"], other.x["train"])


def test_linear_has_the_papers_counts_and_a_line_that_separates_its_true_labels():
    data = synthetic.linear(np.random.default_rng(0), SYNTHETIC, [50, 20])
    true = np.where(data.flipped, 1 - data.y["train"], data.y["train"])
    assert [int((data.flipped & (true == k)).sum()) for k in (0, 1)] == [50, 20]
    assert np.bincount(true).tolist() == [300, 300]
    np.testing.assert_array_equal(data.x["train"][:, 0] > 0, true == 1)
    for split in HELD_OUT:
        np.testing.assert_array_equal(data.x[split][:, 0] > 0, data.y[split] == 1)
        assert np.bincount(data.y[split]).tolist() == [SYNTHETIC[split]] * 2


def test_a_disc_is_uniform():
    """Half of the points lie within radius / sqrt(2), up to 5 standard errors of that share."""
    x = synthetic.linear(np.random.default_rng(0), {**SYNTHETIC, "test": 20000}, [0, 0]).x["test"][
        :20000
    ]
    share = (np.hypot(x[:, 0] + 1.1, x[:, 1]) < np.sqrt(0.5)).mean()
    assert share == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(20000))


def test_the_radius_of_nonlinear_orange_depends_on_the_angle():
    x = synthetic.nonlinear(np.random.default_rng(0), SYNTHETIC | {"test": 20000}, [0, 0]).x[
        "test"
    ][20000:] - [1.1, 0]
    radius, angle = np.hypot(*x.T), np.arctan2(x[:, 1], x[:, 0])
    left, right = radius[np.abs(angle) > 3].max(), radius[np.abs(angle) < 0.14].max()
    assert left == pytest.approx(1.8, abs=0.05)
    assert right == pytest.approx(0.2, abs=0.05)


def test_digits_splits_are_stratified_and_hold_every_image():
    data = digits(np.random.default_rng(0), DIGITS, Spoiling(flip_share=0.1))
    assert sum(len(data.y[split]) for split in SPLITS) == 1797
    for split in HELD_OUT:
        assert np.bincount(data.y[split]).min() >= 28
    assert data.x["train"].shape == (900, 1, 8, 8)
    assert data.x["train"].min() == 0
    assert data.x["train"].max() == 1


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_flips_change_exactly_the_stated_share_to_another_class(rng, share):
    labels = np.arange(1000) % 7
    given, flipped = flip_labels(rng, labels, Spoiling(flip_share=share), 7)
    assert flipped.sum() == round(share * 1000)
    np.testing.assert_array_equal(given != labels, flipped)
    assert set(given) <= set(range(7))


def test_a_share_out_of_range_is_named(rng):
    with pytest.raises(InputError, match=r"flip_share: expected 0 <= share < 1; got 1"):
        flip_labels(rng, np.arange(4), Spoiling(flip_share=1.0), 2)


SIZES = {"train": "all", "validation_a": 20, "validation_b": 30, "test": "all"}


def raw_images(rng, *parts):
    """Noise of 2 channels in 3 unequal classes, 120 images a part."""
    parts = {
        part: (
            rng.integers(0, 256, (120, 2, 4, 4), dtype=np.uint8),
            np.repeat([0, 1, 2], [60, 40, 20]),
        )
        for part in parts
    }
    return Raw(("a", "b", "c"), "none", "here", parts)


def raw_texts(rng, *parts):
    parts = {
        part: (
            [f"{part} {n:06d}" for n in rng.permutation(10**6)[:120]],
            np.repeat([0, 1, 2], [60, 40, 20]),
        )
        for part in parts
    }
    return Raw(("a", "b", "c"), "none", "here", parts)


def prepared(raw, seed=0, share=0.0, **sizes):
    sizes = SIZES | ({"test": 10} if "all" in raw.parts else {}) | sizes
    data = split_in_four(np.random.default_rng(seed), raw, sizes, Spoiling(flip_share=share))
    return encode_texts(data, 12, 80, None) if data.texts else measure_channels(data)


def samples(data, name):
    if data.texts:
        return data.texts[name]
    return [image.tobytes() for image in data.x[name]]


PARTS = [("train", "test"), ("train", "validation", "test"), ("all",)]


@pytest.fixture(params=[(kind, parts) for kind in (raw_images, raw_texts) for parts in PARTS])
def raw(request, rng):
    kind, parts = request.param
    return kind(rng, *parts)


def test_files_are_split_by_the_seed_alone(raw):
    one, same, other = prepared(raw, 0, 0.1), prepared(raw, 0, 0.1), prepared(raw, 1, 0.1)
    for name, array in one.arrays().items():
        np.testing.assert_array_equal(array, same.arrays()[name])
    assert (one.card, one.tokenizer) == (same.card, same.tokenizer)
    assert samples(one, "validation_a") != samples(other, "validation_a")


def test_every_split_holds_each_class_in_proportion_and_comes_from_its_part(raw):
    data = prepared(raw, train=60 if "train" in raw.parts else 12)
    for split in SPLITS:
        exact = len(data.y[split]) * np.array([3, 2, 1]) / 6
        assert np.abs(np.bincount(data.y[split]) - exact).max() < 1
    if isinstance(raw.parts.get("train", ([], 0))[0], list) and "train" in raw.parts:
        homes = {split: {text.split()[0] for text in data.texts[split]} for split in SPLITS}
        held_out = {"validation" if "validation" in raw.parts else "test"}
        assert homes == {
            "train": {"train"},
            "validation_a": held_out,
            "validation_b": held_out,
            "test": {"test"},
        }


def test_all_means_what_is_left(raw):
    data = prepared(raw)
    counts = {split: len(data.y[split]) for split in SPLITS}
    expected = {"train": 120, "validation_a": 20, "validation_b": 30, "test": 120}
    if "all" in raw.parts:
        expected |= {"train": 60, "test": 10}
    elif "validation" not in raw.parts:
        expected |= {"test": 70}
    assert counts == expected


def test_held_out_splits_depend_neither_on_the_training_size_nor_on_flips(raw):
    one, other = prepared(raw, train=12, test=10), prepared(raw, share=0.5, train=24, test=10)
    for split in HELD_OUT:
        assert samples(one, split) == samples(other, split)
        np.testing.assert_array_equal(one.y[split], other.y[split])
    assert other.flipped.sum() == 12


def test_texts_are_sorted_by_length_with_all_that_belongs_to_them(rng):
    texts = ["word " * count for count in rng.permutation(120) + 1]
    raw = Raw(("a", "b"), "none", "here", {"all": (texts, np.arange(120) % 2)})
    split = split_in_four(rng, raw, SIZES | {"test": 10}, Spoiling(flip_share=0.2))
    split = replace(split, names=split.texts)
    encoded = encode_texts(split, 200, 80, None)
    for part in SPLITS:
        lengths = encoded.mask[part].sum(axis=1)
        assert (np.diff(lengths) > 0).all()
        assert encoded.names[part] == encoded.texts[part] == sorted(split.texts[part], key=len)
        given = dict(zip(split.texts[part], split.y[part], strict=True))
        assert [given[text] for text in encoded.texts[part]] == encoded.y[part].tolist()
    flipped = dict(zip(split.texts["train"], split.flipped, strict=True))
    assert [flipped[text] for text in encoded.texts["train"]] == encoded.flipped.tolist()
    assert 0 < encoded.flipped.sum() < len(encoded.flipped)


def planted(raw, *pairs):
    """``raw`` with the content of (part, row) copied to another (part, row)."""
    parts = {part: (x.copy(), y.copy()) for part, (x, y) in raw.parts.items()}
    for (source, row), (target, position) in pairs:
        parts[target][0][position] = parts[source][0][row]
    return Raw(raw.classes, raw.licence, raw.origin, parts)


@pytest.mark.parametrize("kind", [raw_images, raw_texts])
def test_copies_of_training_samples_and_second_copies_leave_the_held_out_side(rng, kind):
    raw = kind(rng, "train", "validation", "test")
    raw = planted(
        raw,
        (("train", 0), ("train", 119)),  # stays, twice
        (("train", 1), ("test", 5)),  # leaves test
        (("train", 2), ("validation", 6)),  # leaves validation
        (("test", 7), ("test", 8)),  # the second leaves
        (("test", 9), ("validation", 9)),  # stays in test
    )
    for train in ("all", 6):
        data = prepared(raw, train=train, validation_b=98)
        contents = [set(samples(data, split)) for split in SPLITS]
        assert sum(map(len, contents)) == len(set.union(*contents))
        assert [len(data.y[split]) for split in HELD_OUT] == [20, 98, 118]
        assert data.card["copies_dropped"] == {"test": 2, "validation": 2}
    assert prepared(raw, validation_b=98).card["copies_within_train"] == 1
    with pytest.raises(
        InputError, match=r"^validation_b: expected at most 98, the samples that are left"
    ):
        prepared(raw, validation_b=99)


@pytest.mark.parametrize("kind", [raw_images, raw_texts])
def test_in_one_part_copies_follow_their_first_into_train_or_go(rng, kind):
    raw = planted(kind(rng, "all"), *((("all", row), ("all", row + 20)) for row in range(20)))
    data = prepared(raw)
    train, *held_out = (samples(data, split) for split in SPLITS)
    contents = [set(part) for part in (train, *held_out)]
    assert sum(map(len, contents)) == len(set.union(*contents)) == 100
    assert [len(part) for part in held_out] == [20, 30, 10]
    firsts_in_train = len(set(train) & {*samples_of(raw)[:20]})
    assert len(train) == 40 + firsts_in_train
    assert data.card["copies_within_train"] == firsts_in_train
    assert data.card["copies_dropped"] == {"all": 20 - firsts_in_train}


def samples_of(raw):
    return [x if isinstance(x, str) else x.tobytes() for x in raw.parts["all"][0]]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            {"train": 121},
            "train: expected at most 120, the samples that are left; got 121",
        ),
        ({"test": 71}, "test: expected at most 70, the samples that are left; got 71"),
        (
            {"validation_a": 2},
            "validation_a: expected a sample of every class; got none of 'c' in 2",
        ),
        (
            {"validation_b": 100},
            "test: expected a sample of every class; got none of 'a' in 0",
        ),
    ],
)
def test_a_size_that_cannot_be_had_is_named(rng, sizes, message):
    with pytest.raises(InputError, match=message):
        prepared(raw_images(rng, "train", "test"), **sizes)


def test_images_keep_their_bytes_and_the_card_their_mean_and_deviation(rng):
    raw = raw_images(rng, "train", "test")
    raw.parts["train"][0][:, 1] = 7
    data = prepared(raw, train=60)
    x = data.x["train"]
    assert x.dtype == np.uint8
    np.testing.assert_allclose(
        data.card["mean"], x.mean((0, 2, 3)) / 255, atol=1e-6
    )  # six digits are stored
    np.testing.assert_allclose(
        data.card["std"], [x[:, 0].std() / 255, 1], atol=1e-6
    )  # 1: nothing to divide by


def test_a_learned_vocabulary_sees_the_training_texts_alone(rng):
    raw = raw_texts(rng, "train", "test")
    other = Raw(
        raw.classes,
        "",
        "",
        raw.parts | {"test": ([f"βψω {n}" for n in range(120)], raw.parts["test"][1])},
    )
    one, two = prepared(raw, train=60), prepared(other, train=60)
    assert one.tokenizer == two.tokenizer
    np.testing.assert_array_equal(one.x["train"], two.x["train"])
    assert one.tokenizer != prepared(raw, train=30).tokenizer


def test_texts_come_back_from_their_bytes(rng):
    for texts in (["a", "", "é ψ 🙂", "line\nline"], [], [""]):
        assert unpack(*pack(texts)) == texts
    data = prepared(raw_texts(rng, "train", "test"))
    arrays = data.arrays()
    assert {array.dtype.kind for array in arrays.values()} <= set("iu")
    for split in SPLITS:
        assert unpack(arrays[f"{split}/text"], arrays[f"{split}/offsets"]) == data.texts[split]
        assert (
            arrays[f"{split}/x"].shape == arrays[f"{split}/mask"].shape == (len(data.y[split]), 12)
        )
