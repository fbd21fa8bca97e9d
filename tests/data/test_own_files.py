import numpy as np
import pytest
from PIL import Image

from catwise.core.errors import InputError
from catwise.data.own_files import (
    count_classes,
    load_csv,
    load_image_folder,
    median_side_and_colour,
)


def folder(root, **sizes):
    """One flat image for each number: ``cats=[7, 9]`` writes two, of these levels."""
    for name, levels in sizes.items():
        (root / name).mkdir()
        for position, level in enumerate(levels):
            Image.new("RGB", (5, 3), (level, 0, 0)).save(root / name / f"{position}.png")
    return root


def test_a_folder_per_class_becomes_squares_in_the_given_order(tmp_path):
    folder(tmp_path, dogs=[10, 20], cats=[30])
    (tmp_path / "cats" / ".DS_Store").write_text("")
    (tmp_path / "README.md").write_text("")
    raw = load_image_folder(str(tmp_path), ["dogs", "cats"], 4, "rgb")
    x, y = raw.parts["all"]
    assert raw.names == ("dogs/0.png", "dogs/1.png", "cats/0.png")
    assert count_classes(str(tmp_path)) == {"cats": 1, "dogs": 2}
    assert median_side_and_colour(str(tmp_path)) == (3, True)
    assert x.shape == (3, 3, 4, 4)
    assert x.dtype == np.uint8
    assert x[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert y.tolist() == [0, 0, 1]
    grey, _ = load_image_folder(str(tmp_path), ["dogs", "cats"], 4, "grey").parts["all"]
    assert grey.shape == (3, 1, 4, 4)


def test_a_photo_is_turned_upright(tmp_path):
    folder(tmp_path, a=[], b=[1])
    image = Image.fromarray(np.repeat([[0, 0, 255, 255]], 4, axis=0).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 3  # orientation: upside down
    image.save(tmp_path / "a" / "0.png", exif=exif)
    x, _ = load_image_folder(str(tmp_path), ["a", "b"], 4, "grey").parts["all"]
    np.testing.assert_array_equal(x[0, 0], np.asarray(image)[::-1, ::-1])


def test_what_is_wrong_in_a_folder_is_named(tmp_path):
    def assert_error(match, path=tmp_path):
        with pytest.raises(InputError, match=match) as caught:
            load_image_folder(str(path), ["cats", "dogs"], 4, "rgb")
        assert "\n" not in str(caught.value)

    assert_error("path: expected a folder with one folder per class", tmp_path / "nowhere")
    folder(tmp_path, cats=[1], dogs=[])
    assert_error("dogs: expected images; got an empty folder")
    (tmp_path / "dogs" / "0.png").write_bytes((tmp_path / "cats" / "0.png").read_bytes()[:40])
    assert_error(r"dogs/0.png: expected an image; got \w+")
    Image.new("I;16", (4, 4)).save(tmp_path / "dogs" / "0.png")
    assert_error("dogs/0.png: expected 8 bits per channel; got mode I")
    (tmp_path / "dogs" / "0.png").unlink()
    (tmp_path / "dogs" / "0.png").mkdir()
    assert_error("dogs/0.png: expected an image; got a folder")
    with pytest.raises(InputError, match=r"dogs/0.png: expected an image; got a folder"):
        median_side_and_colour(str(tmp_path))
    (tmp_path / "birds").mkdir()
    assert_error("expected the folders cats, dogs; got birds, cats, dogs")


@pytest.mark.parametrize(("names", "inner"), [(("test", "train"), "train"), (("a", "b"), "a")])
def test_classes_that_are_a_folder_deeper_are_found(tmp_path, names, inner):
    for name in names:
        (tmp_path / name).mkdir()
        folder(tmp_path / name, cats=[1], dogs=[2])
    expected = rf"{names[0]}: expected images; got folders; give {tmp_path / inner}$"
    with pytest.raises(InputError, match=expected):
        count_classes(str(tmp_path))


def test_a_csv_is_read_with_quotes_commas_and_lines(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text(
        '\ufefflabel,id,text\nham,1,"one, ""two"",\nthree"\n\nspam,2,vier für fünf\n',
        encoding="utf-8",
    )
    raw = load_csv(str(path), ["spam", "ham"])
    assert raw.parts["all"][0] == ['one, "two",\nthree', "vier für fünf"]
    assert raw.parts["all"][1].tolist() == [1, 0]
    assert raw.names == ("line 3", "line 5")  # where each row ends
    assert count_classes(str(path)) == {"ham": 1, "spam": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: expected columns text and label; got no label or text"),
        (b"text\na\n", "line 1: expected columns text and label; got no label"),
        (b"text,label,label\n", "line 1: expected each column once; got label again"),
        (b"text,label\n", "expected rows after the header; got none"),
        (b"text,label\na,ham\nb,eggs\n", "line 3: expected a label of spam, ham; got 'eggs'"),
        (b"text,label\na,ham\nb\n", "line 3: expected 2 columns; got more or fewer"),
        (b"text,label\na,ham,1\n", "line 2: expected 2 columns; got more or fewer"),
        (b"text,label\n ,ham\n", "line 2: expected a text; got none"),
        (b"text,label\na, \n", "line 2: expected a label; got none"),
        (b'text,label\n"a,ham\n', "line 2: expected CSV; got: unexpected end of data"),
        (b"text,label\na,ham\nb\xfc,ham\n", "line 3: expected UTF-8; got byte 0xfc"),
        (
            b"text,label\n" + b"a" * 200000 + b",ham\n",
            "line 2: expected CSV; got: field larger than",
        ),
    ],
)
def test_what_is_wrong_in_a_csv_is_named_by_its_line(tmp_path, content, message):
    path = tmp_path / "texts.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_csv(str(path), ["spam", "ham"])
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_blanks_around_a_label_make_no_class(tmp_path):
    path = tmp_path / "texts.csv"
    path.write_text("text,label\na,ham\nb,ham \nc, spam\n")
    raw = load_csv(str(path), ["ham", "spam"])
    assert count_classes(str(path)) == {"ham": 2, "spam": 1}
    assert raw.parts["all"][1].tolist() == [0, 0, 1]
    assert raw.notes == ("read as one class with and without blanks around it: ham",)
    path.write_text("text,label\na,ham \nb,spam\n")
    assert load_csv(str(path), ["ham", "spam"]).notes == ()


def test_a_csv_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"path: expected a CSV file; got .*: No such file"):
        load_csv(str(tmp_path / "none.csv"), ["spam", "ham"])


def test_grey_images_are_grey_in_whatever_mode(tmp_path):
    for name, mode in (("a", "RGB"), ("b", "L")):
        (tmp_path / name).mkdir()
        Image.new("L", (9, 7), 50).convert(mode).save(tmp_path / name / "0.png")
    assert median_side_and_colour(str(tmp_path)) == (7, False)


def test_a_label_that_is_missing_is_named_by_its_line(tmp_path):
    (tmp_path / "texts.csv").write_text("text,label\na,ham\nb,\n")
    with pytest.raises(InputError, match=r"texts.csv: line 3: expected a label; got none"):
        count_classes(str(tmp_path / "texts.csv"))
