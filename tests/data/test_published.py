"""Published data sets, each written small in its own format: nothing is downloaded."""

import hashlib
import http.client
import io
import json
import pickle
import socket
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from threading import Thread

import datasets as hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torchvision
from PIL import Image

from catwise.core.errors import InputError
from catwise.data.catalogue import PUBLISHED
from catwise.data.downloads import locked, require_space
from catwise.data.published import load_published

COUNTS = {"train": (3, 2), "test": (2, 1)}


@pytest.fixture(autouse=True)
def outside(monkeypatch, tmp_path):
    """A mirror and a cache of our own, two classes for every set, and no way out to the network."""
    for name, spec in PUBLISHED.items():
        counts = COUNTS | ({"validation": (1, 2)} if name == "emotion" else {})
        small = replace(spec, classes=spec.classes[:2], counts=counts, partial={}, gigabytes=1e-6)
        monkeypatch.setitem(PUBLISHED, name, small)
    monkeypatch.setenv("CATWISE_MIRROR", str(tmp_path))
    monkeypatch.setenv("CATWISE_CACHE", str(tmp_path / "cache"))

    def closed(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", closed)


def labels(part, name="ag_news"):
    return np.repeat([0, 1], PUBLISHED[name].counts[part])


def hub_table(name, samples, y, classes=None):
    """A table in the hub's schema: the classes are in the metadata."""
    spec = PUBLISHED[name]
    kind = (
        pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        if spec.column == "img"
        else pa.string()
    )
    label = {"names": list(classes or spec.classes), "_type": "ClassLabel"}
    features = {
        spec.column: {"_type": "Image"}
        if spec.column == "img"
        else {"dtype": "string", "_type": "Value"}
    }
    about = {"huggingface": json.dumps({"info": {"features": {**features, "label": label}}})}
    schema = pa.schema([(spec.column, kind), ("label", pa.int64())], metadata=about)
    return pa.table(
        {spec.column: pa.array(samples, kind), "label": pa.array(y, pa.int64())}, schema=schema
    )


def text_mirror(root, name="ag_news", **changed):
    """A whole mirror of a text set; ``changed`` replaces the table of a part."""
    folder = root / PUBLISHED[name].hub
    folder.mkdir(parents=True, exist_ok=True)
    for part in PUBLISHED[name].counts:
        y = labels(part, name)
        table = changed.get(part) or hub_table(
            name, [f"{part} {row} ü" for row in range(len(y))], y
        )
        pq.write_table(table, folder / f"{part}-00000-of-00001.parquet")
    return folder


def encoded(pixels, kind):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return {"bytes": file.getvalue(), "path": None}


def image_mirror(root, rng, kind="PNG", size=32):
    folder = root / PUBLISHED["cifar10"].hub
    folder.mkdir(parents=True)
    pixels = {}
    for part in COUNTS:
        pixels[part] = rng.integers(0, 256, (len(labels(part)), size, size, 3), dtype=np.uint8)
        table = hub_table("cifar10", [encoded(image, kind) for image in pixels[part]], labels(part))
        pq.write_table(table, folder / f"{part}-00000-of-00001.parquet")
    return pixels


def error_of(name="ag_news"):
    with pytest.raises(InputError) as caught:
        load_published(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["emotion", "ag_news"])
def test_a_mirrors_texts_are_read_as_they_are(tmp_path, name):
    text_mirror(tmp_path, name)
    raw = load_published(name)
    assert raw.classes == PUBLISHED[name].classes
    for part in PUBLISHED[name].counts:
        x, y = raw.parts[part]
        assert x == [f"{part} {row} ü" for row in range(len(y))]
        np.testing.assert_array_equal(y, labels(part, name))
    assert raw.notes == ()


@pytest.mark.parametrize(("kind", "notes"), [("PNG", 0), ("JPEG", 2)])
def test_a_mirrors_images_are_channels_first_and_jpegs_are_noted(tmp_path, rng, kind, notes):
    pixels = image_mirror(tmp_path, rng, kind)
    raw = load_published("cifar10")
    for part in COUNTS:
        x, y = raw.parts[part]
        assert x.dtype == np.uint8
        np.testing.assert_array_equal(y, labels(part))
        if kind == "PNG":
            np.testing.assert_array_equal(x, pixels[part].transpose(0, 3, 1, 2))
    assert len(raw.notes) == notes
    assert all("JPEG" in note for note in raw.notes)


def test_the_shards_of_a_split_are_joined_in_order_and_none_may_be_missing(tmp_path):
    folder = text_mirror(tmp_path)
    whole = folder / "train-00000-of-00001.parquet"
    table = pq.read_table(whole)
    whole.unlink()
    pq.write_table(table[:2], folder / "train-00000-of-00002.parquet")
    assert "expected all of train-*-of-*.parquet; got train-00000-of-00002.parquet" in error_of()
    pq.write_table(table[2:], folder / "train-00001-of-00002.parquet")
    assert load_published("ag_news").parts["train"][0] == table["text"].to_pylist()


@pytest.mark.parametrize("kept", [0, 3, 100, -1])
def test_a_truncated_parquet_file_is_named(tmp_path, kept):
    path = text_mirror(tmp_path) / "test-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:kept])
    assert f"{path}: expected a whole parquet file" in error_of()


def test_a_file_is_checked_against_the_mirrors_sums(tmp_path):
    paths = sorted(text_mirror(tmp_path).glob("*"))
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  ./{path.relative_to(tmp_path)}"
        for path in paths
    ]
    (tmp_path / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    assert len(load_published("ag_news").parts["train"][0]) == 5
    pq.write_table(hub_table("ag_news", list("abc"), labels("test")), paths[0])
    assert f"{paths[0]}: expected the sha256 in" in error_of()
    (tmp_path / "SHA256SUMS").write_text(sums[1])
    assert "no line" in error_of()


@pytest.mark.parametrize(
    ("samples", "y", "classes", "message"),
    [
        (list("abcd"), [0, 0, 0, 1], None, "expected 5 samples, 3/2; got 4, 3/1"),
        (list("abcde"), [0, 0, 1, 1, 1], None, "expected 5 samples, 3/2; got 5, 2/3"),
        (list("abcde"), [0, 0, 0, 1, 7], None, "expected labels 0 to 1; got 7"),
        (list("abcde"), [0, 0, 0, 1, -1], None, "expected labels 0 to 1; got -1"),
        (list("abcde"), [0, 0, 0, 1, None], None, "expected no empty cells; got 1"),
        ([*"abcd", None], [0, 0, 0, 1, 1], None, "expected no empty cells; got 1"),
        (
            list("abcde"),
            [0, 0, 0, 1, 1],
            ["Sports", "World"],
            "expected classes World, Sports; got Sports, World",
        ),
    ],
)
def test_samples_that_are_not_the_originals_are_refused(tmp_path, samples, y, classes, message):
    text_mirror(tmp_path, train=hub_table("ag_news", samples, y, classes))
    assert message in error_of()


def test_a_missing_column_is_named(tmp_path):
    text_mirror(tmp_path, train=pa.table({"sentence": ["a"], "label": [0]}))
    assert "expected columns text and label; got sentence, label" in error_of()


@pytest.fixture
def partial_mirror(tmp_path, monkeypatch):
    """A mirror with two of the five samples, as the catalogue says of it."""
    few = replace(PUBLISHED["ag_news"], partial={"train": (1, 1)})
    monkeypatch.setitem(PUBLISHED, "ag_news", few)
    text_mirror(tmp_path, train=hub_table("ag_news", ["a", "b"], [0, 1]))


@pytest.mark.usefixtures("partial_mirror")
def test_a_part_of_the_original_is_taken_from_a_mirror_and_noted():
    assert load_published("ag_news").notes == (
        "the mirror's train split is a part of the original: 2 of 5 samples",
    )


def test_a_broken_or_wrong_image_is_named_by_its_row(tmp_path, rng):
    image_mirror(tmp_path, rng, size=31)
    assert "row 0: expected an image of (32, 32); got (31, 31)" in error_of("cifar10")
    image = encoded(np.zeros((32, 32, 3), dtype=np.uint8), "PNG")
    broken = {"bytes": image["bytes"][:60], "path": None}
    folder = tmp_path / PUBLISHED["cifar10"].hub
    table = hub_table("cifar10", [image, image, broken, image, image], labels("train"))
    pq.write_table(table, folder / "train-00000-of-00001.parquet")
    assert "row 2: expected an image" in error_of("cifar10")


def test_a_mirror_without_the_set_or_no_mirror_at_all_is_named(tmp_path, monkeypatch):
    assert "expected all of train-*-of-*.parquet; got none" in error_of("emotion")
    assert "stl10_binary: expected the binary files of stl10" in error_of("stl10")
    monkeypatch.setenv("CATWISE_MIRROR", str(tmp_path / "nowhere"))
    assert "CATWISE_MIRROR: expected a folder" in error_of("cifar10")


def write_stl10(root, rng, monkeypatch):
    """Write STL-10's own format: labels from 1; bytes of each channel, *column by column*."""
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    images = {}
    for part in COUNTS:
        images[part] = rng.integers(0, 256, (len(labels(part)), 3, 96, 96), dtype=np.uint8)
        columns = b"".join(
            images[part][i, c, :, w].tobytes()
            for i in range(len(images[part]))
            for c in range(3)
            for w in range(96)
        )
        (folder / f"{part}_X.bin").write_bytes(columns)
        (folder / f"{part}_y.bin").write_bytes(bytes((labels(part) + 1).tolist()))
    sums = {
        part: [
            [path.name, hashlib.md5(path.read_bytes()).hexdigest()]
            for path in sorted(folder.glob(f"{part}*"))
        ]
        for part in COUNTS
    }
    monkeypatch.setattr(torchvision.datasets.STL10, "train_list", sums["train"])
    monkeypatch.setattr(torchvision.datasets.STL10, "test_list", sums["test"])
    return images


@pytest.mark.parametrize("mirrored", [True, False])
def test_stl10s_columns_become_rows(tmp_path, rng, monkeypatch, mirrored):
    if not mirrored:  # what an earlier run has downloaded is read again without a network
        monkeypatch.delenv("CATWISE_MIRROR")
    images = write_stl10(tmp_path / ("" if mirrored else "cache"), rng, monkeypatch)
    raw = load_published("stl10")
    for part in COUNTS:
        np.testing.assert_array_equal(raw.parts[part][0], images[part])
        np.testing.assert_array_equal(raw.parts[part][1], labels(part))


@pytest.mark.parametrize("file", ["train_X.bin", "test_y.bin"])
def test_an_stl10_file_that_is_cut_or_changed_has_the_wrong_checksum(
    tmp_path, rng, monkeypatch, file
):
    write_stl10(tmp_path, rng, monkeypatch)
    path = tmp_path / "stl10_binary" / file
    path.write_bytes(path.read_bytes()[:-1])
    assert "stl10_binary: expected files with the published checksums" in error_of("stl10")


def test_an_stl10_label_out_of_range_is_named(tmp_path, rng, monkeypatch):
    write_stl10(tmp_path, rng, monkeypatch)
    content = bytes([1, 1, 3])
    (tmp_path / "stl10_binary" / "test_y.bin").write_bytes(content)
    torchvision.datasets.STL10.test_list[1][1] = hashlib.md5(content).hexdigest()
    assert "expected labels 0 to 1; got 2" in error_of("stl10")


def test_cifar10s_own_files_are_read_by_torchvision(tmp_path, rng, monkeypatch):
    """torchvision checks and unpacks CIFAR-10's pickles; our own code reads none."""
    monkeypatch.delenv("CATWISE_MIRROR")
    folder = tmp_path / "cache" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    images = {
        part: rng.integers(0, 256, (len(labels(part)), 3, 32, 32), dtype=np.uint8)
        for part in COUNTS
    }
    for part, file, attribute in [
        ("train", "data_batch_1", "train_list"),
        ("test", "test_batch", "test_list"),
    ]:
        flat = images[part].reshape(len(images[part]), -1)
        content = pickle.dumps({"data": flat, "labels": labels(part).tolist()})
        (folder / file).write_bytes(content)
        listed = [[file, hashlib.md5(content).hexdigest()]]
        monkeypatch.setattr(torchvision.datasets.CIFAR10, attribute, listed)
    content = pickle.dumps({"label_names": ["airplane", "automobile"]})
    (folder / "batches.meta").write_bytes(content)
    meta = {
        "filename": "batches.meta",
        "key": "label_names",
        "md5": hashlib.md5(content).hexdigest(),
    }
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "meta", meta)
    raw = load_published("cifar10")
    for part in COUNTS:
        np.testing.assert_array_equal(raw.parts[part][0], images[part])
        np.testing.assert_array_equal(raw.parts[part][1], labels(part))


def from_folder(monkeypatch, root):
    """The hub, but its repositories are folders."""
    load = hub.load_dataset
    monkeypatch.delenv("CATWISE_MIRROR")
    monkeypatch.setattr(
        hub, "load_dataset", lambda name, **options: load(str(root / name), **options)
    )


def test_the_hub_and_its_mirror_give_the_same(tmp_path, monkeypatch):
    text_mirror(tmp_path, "emotion")
    mirrored = load_published("emotion")
    from_folder(monkeypatch, tmp_path)
    read = load_published("emotion")
    for part, (x, y) in read.parts.items():
        assert x == mirrored.parts[part][0]
        np.testing.assert_array_equal(y, mirrored.parts[part][1])
    assert (read.classes, read.licence) == (mirrored.classes, mirrored.licence)


@pytest.mark.usefixtures("partial_mirror")
def test_a_part_of_the_original_is_refused_from_the_hub(tmp_path, monkeypatch):
    from_folder(monkeypatch, tmp_path)
    assert "expected 5 samples, 3/2; got 2, 1/1" in error_of()


def test_the_hubs_other_classes_or_a_broken_file_are_one_line(tmp_path, monkeypatch):
    folder = text_mirror(
        tmp_path, train=hub_table("ag_news", list("abcde"), labels("train"), ["yes", "no"])
    )
    from_folder(monkeypatch, tmp_path)
    assert "expected text and a label of World, Sports" in error_of()
    (folder / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    monkeypatch.setenv("CATWISE_CACHE", str(tmp_path / "another"))
    assert "ag_news: expected a download; got" in error_of()


@pytest.mark.parametrize("name", ["cifar10", "stl10"])
def test_a_download_that_breaks_off_is_one_line(tmp_path, monkeypatch, name):
    def broken(*_, **__):
        raise http.client.IncompleteRead(b"", 170498071)

    monkeypatch.delenv("CATWISE_MIRROR")
    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, **_: url)
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", broken)
    assert f"{name}: expected a download; got IncompleteRead" in error_of(name)
    monkeypatch.setattr(
        "torchvision.datasets.utils._urlretrieve", lambda _, path: Path(path).write_bytes(b"half")
    )
    assert (
        f"{name}: expected a download; got RuntimeError: File not found or corrupted."
        in error_of(name)
    )


@pytest.mark.parametrize("name", ["cifar10", "stl10"])
def test_without_a_network_the_way_out_is_named(tmp_path, monkeypatch, name):
    monkeypatch.delenv("CATWISE_MIRROR")
    message = error_of(name)
    assert "Name or service not known" in message
    assert "set CATWISE_MIRROR" in message


@pytest.mark.parametrize(
    "error", [ConnectionError("Couldn't reach\nthe hub"), hub.exceptions.DatasetGenerationError()]
)
def test_what_the_hub_raises_without_a_network_is_one_line(monkeypatch, error):
    """The real thing tries six times, for half a minute."""

    def load(*_, **__):
        raise error

    monkeypatch.delenv("CATWISE_MIRROR")
    monkeypatch.setattr(hub, "load_dataset", load)
    assert "set CATWISE_MIRROR" in error_of()


@pytest.mark.parametrize("name", ["cifar10", "stl10", "ag_news"])
def test_a_full_disk_is_reported_before_anything_is_downloaded(tmp_path, monkeypatch, name):
    monkeypatch.delenv("CATWISE_MIRROR")
    monkeypatch.setattr("shutil.disk_usage", lambda _: namedtuple("usage", "free")(999))
    assert "expected 0 MB of free disk; got 0 MB" in error_of(name)
    assert not (tmp_path / "cache").exists()


def test_two_stages_do_not_download_into_a_folder_at_once(tmp_path):
    order = []

    def second():
        with locked(tmp_path / "cache"):
            order.append("second")

    thread = Thread(target=second)
    with locked(tmp_path / "cache"):
        thread.start()
        thread.join(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_space_is_asked_for_where_the_folder_will_be(tmp_path):
    require_space(tmp_path / "not" / "yet", 1)
    with pytest.raises(InputError, match="yet: expected 1,000,000,000,000 MB of free disk"):
        require_space(tmp_path / "not" / "yet", 10**18)


def test_the_published_counts_add_up(monkeypatch):
    monkeypatch.undo()
    sizes = {
        name: {part: sum(n) for part, n in spec.counts.items()} for name, spec in PUBLISHED.items()
    }
    assert sizes == {
        "cifar10": {"train": 50000, "test": 10000},
        "stl10": {"train": 5000, "test": 8000},
        "emotion": {"train": 16000, "validation": 2000, "test": 2000},
        "ag_news": {"train": 120000, "test": 7600},
    }
    for spec in PUBLISHED.values():
        assert {len(n) for n in (*spec.counts.values(), *spec.partial.values())} == {
            len(spec.classes)
        }
